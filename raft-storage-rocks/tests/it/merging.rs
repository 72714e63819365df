//! Table files are not merged while one of them is damaged: RocksDB would end all writing.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use raft_core::{LogId, LogIndex, LogSlice, LogStore, StableStore, StoredEntry};
use raft_storage_rocks::{Pace, RocksLogStore};

use crate::support::{GROUP, Place, append, entry, raw, vote_of};

/// The store looks once a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// A closed store, all of which lies in table files that were merged once.
async fn merged() -> Place {
    let place = Place::new();
    let store = place.open();
    store.stable_store(GROUP).save(vote_of(0, 1)).await.unwrap();
    let log = store.log_store(GROUP).unwrap();
    for first in (1..100).step_by(10) {
        let run = (first..first + 10).map(|index| entry(1, index)).collect();
        append(&log, None, run).await;
    }
    drop((log, store));
    let db = raw(&place.path());
    for name in ["meta", "payload"] {
        let family = db.cf_handle(name).unwrap();
        db.compact_range_cf(family, None::<&[u8]>, None::<&[u8]>);
    }
    drop(db);
    place
}

/// Flips a bit in the block that holds the payloads.
fn damage_payload_file(place: &Place) -> PathBuf {
    let db = raw(&place.path());
    let files = db.live_files().unwrap();
    let mut files = files.iter().filter(|f| f.column_family_name == "payload");
    let name = files.next().unwrap().name.clone();
    drop(db);
    let path = place.path().join(name.trim_start_matches('/'));
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 0x10;
    fs::write(&path, bytes).unwrap();
    path
}

/// What RocksDB noted of its options when they last changed.
fn merges(place: &Place) -> bool {
    let files = fs::read_dir(place.path()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let options = names.filter(|name| name.starts_with("OPTIONS-") && !name.ends_with("tmp"));
    let Ok(text) = fs::read_to_string(place.path().join(options.max().unwrap())) else {
        // A newer one took its place.
        return merges(place);
    };
    let (_, payload) = text.split_once("[CFOptions \"payload\"]").unwrap();
    let (_, value) = payload.split_once("disable_auto_compactions=").unwrap();
    value.starts_with("false")
}

async fn read(log: &RocksLogStore, index: u64) -> StoredEntry {
    let index = LogIndex::new(index);
    let found = log.read(index, index, usize::MAX).await.unwrap();
    found.into_iter().next().unwrap()
}

#[tokio::test]
async fn merging_goes_on_when_the_damaged_file_is_purged() {
    let place = merged().await;
    let file = damage_payload_file(&place);
    let store = place.open();
    assert!(merges(&place));
    let log = store.log_store(GROUP).unwrap();

    let found = read(&log, 5).await;

    assert!(matches!(found, StoredEntry::Corrupt { .. }), "{found:?}");
    assert!(!merges(&place));
    for index in 101..=110 {
        append(&log, None, vec![entry(1, index)]).await;
    }
    log.purge(LogId::new(1, 105)).await.unwrap();
    let goes_on = async {
        while !merges(&place) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, goes_on).await.unwrap();
    assert!(!file.exists());
    append(&log, None, vec![entry(1, 111)]).await;
    assert_eq!(read(&log, 106).await, StoredEntry::Entry(entry(1, 106)));
}

/// The copy is read in place of the entry, and says nothing of the damaged block.
#[tokio::test]
async fn a_damaged_file_is_noticed_when_its_entries_are_mended() {
    let place = merged().await;
    damage_payload_file(&place);
    let log = place.open().log_store(GROUP).unwrap();
    let all = LogSlice::new((1..=100).map(|index| entry(1, index)).collect());
    log.repair(all.unwrap()).await.unwrap();
    drop(log);

    let store = place.open();
    assert!(merges(&place));
    let surveyed = store.scrub(&Pace::default(), |finding| panic!("{finding}"));

    assert_eq!(surveyed.unwrap().entries, 100);
    assert!(!merges(&place));
}

/// Its block is whole: it was damaged before it was written. A merge reads it as it is.
#[tokio::test]
async fn an_entry_that_rocksdb_can_read_does_not_end_merging() {
    let place = merged().await;
    place.damage_payload(5);
    let log = place.open().log_store(GROUP).unwrap();

    let found = read(&log, 5).await;

    assert!(matches!(found, StoredEntry::Corrupt { .. }), "{found:?}");
    assert!(merges(&place));
}
