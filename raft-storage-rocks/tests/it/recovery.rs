//! What a crash may take, and what it may not.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use raft_core::{LogId, LogStore};
use raft_storage_rocks::{RocksOptions, RocksStore, StoreError};
use rocksdb::{DB, Options};

use crate::support::{GROUP, Place, append, entry, identity};

/// Longer than a busy machine takes for a write.
const PATIENCE: Duration = Duration::from_secs(60);

/// A crash image of a store that acknowledged twenty entries.
async fn crashed() -> Place {
    let place = Place::new();
    let store = place.open();
    let log = store.log_store(GROUP).unwrap();
    for index in 1..=20 {
        append(&log, None, vec![entry(7, index)]).await;
    }
    place.image()
}

/// The write-ahead log that holds the entries.
fn wal(place: &Place) -> (PathBuf, Vec<u8>) {
    let files = fs::read_dir(place.path()).unwrap();
    let mut wals = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .map(|path| (path.clone(), fs::read(path).unwrap()));
    wals.find(|(_, bytes)| position_of(bytes, b"7/10").is_some())
        .expect("one of them holds the entries")
}

fn position_of(bytes: &[u8], word: &[u8]) -> Option<usize> {
    bytes.windows(word.len()).position(|window| window == word)
}

fn open(place: &Place) -> Result<RocksStore, StoreError> {
    RocksStore::open(place.path(), &RocksOptions::default(), identity(1, 1))
}

async fn last(store: &RocksStore) -> LogId {
    let log = store.log_store(GROUP).unwrap();
    log.bounds().await.unwrap().last
}

/// How far the store says that it has acknowledged.
fn watermark(place: &Place) -> u64 {
    let bytes = fs::read(place.path().join("WATERMARK")).unwrap();
    u64::from_le_bytes(*bytes.first_chunk().unwrap())
}

/// How far what is written goes, synced or not.
fn written(place: &Place) -> u64 {
    let image = place.image();
    let families = ["identity", "state", "meta", "payload", "repaired"];
    let db = DB::open_cf_for_read_only(&Options::default(), image.path(), families, false);
    db.unwrap().latest_sequence_number()
}

fn assert_refused_as_damaged(place: &Place) {
    // The first attempt must not make the second one succeed.
    for attempt in 1..=2 {
        match open(place) {
            Err(StoreError::Damaged { reason, .. }) => {
                assert!(
                    reason.contains("acknowledged"),
                    "attempt {attempt}: {reason}"
                );
            }
            Err(other) => panic!("attempt {attempt}: {other:?}"),
            Ok(_) => panic!("attempt {attempt}: acknowledged entries are gone, without a word"),
        }
    }
}

#[tokio::test]
async fn a_damaged_record_in_the_middle_of_the_write_ahead_log_is_not_its_end() {
    let place = crashed().await;
    let (path, mut bytes) = wal(&place);
    let position = position_of(&bytes, b"7/10").unwrap();
    bytes[position] ^= 1;
    fs::write(path, bytes).unwrap();

    assert_refused_as_damaged(&place);
}

#[tokio::test]
async fn a_write_ahead_log_that_lost_its_end_is_refused() {
    let place = crashed().await;
    let (path, bytes) = wal(&place);
    let position = position_of(&bytes, b"7/15").unwrap();
    fs::write(path, &bytes[..position]).unwrap();

    assert_refused_as_damaged(&place);
}

/// What was being written when the crash came was not acknowledged.
#[tokio::test]
async fn a_torn_record_behind_what_was_acknowledged_is_the_end() {
    let place = crashed().await;
    let (path, mut bytes) = wal(&place);
    let position = position_of(&bytes, b"7/10").unwrap();
    let torn = bytes[position - 20..position + 2].to_vec();
    bytes.extend(torn);
    fs::write(path, bytes).unwrap();

    let store = open(&place).unwrap();

    assert_eq!(last(&store).await, LogId::new(7, 20));
}

#[tokio::test]
async fn a_store_without_a_watermark_opens() {
    let place = crashed().await;
    for content in [None, Some(""), Some("torn"), Some("twelve bytes")] {
        let path = place.path().join("WATERMARK");
        match content {
            None => fs::remove_file(path).unwrap(),
            Some(content) => fs::write(path, content).unwrap(),
        }
        let store = open(&place).unwrap();
        assert_eq!(last(&store).await, LogId::new(7, 20), "{content:?}");
    }
}

/// Purged entries are deleted without a sync. A change that writes nothing syncs nothing
/// either, so it does not make them durable, and a power cut may take them: a watermark
/// above them would say then that the store lost what it acknowledged.
#[tokio::test]
async fn a_change_that_writes_nothing_does_not_raise_the_watermark() {
    let place = Place::new();
    let store = place.open();
    let log = store.log_store(GROUP).unwrap();
    for index in 1..=9 {
        append(&log, None, vec![entry(7, index)]).await;
    }
    log.purge(LogId::new(7, 5)).await.unwrap();
    let deleted = async {
        while written(&place) == watermark(&place) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, deleted).await.unwrap();
    let before = watermark(&place);

    // It is raised after the answer, so the second answer says that the first is done.
    log.purge(LogId::new(7, 5)).await.unwrap();
    log.purge(LogId::new(7, 5)).await.unwrap();

    assert_eq!(watermark(&place), before);
    assert!(before < written(&place));
    append(&log, None, vec![entry(7, 10)]).await;
    append(&log, None, vec![entry(7, 11)]).await;
    assert!(before < watermark(&place));
}
