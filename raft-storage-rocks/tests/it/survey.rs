//! Looking at a whole store: every damaged thing is named, with its place.

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use raft_core::{EntryKind, GroupId, LogId, LogIndex, LogStore, StableState, StableStore, Term};
use raft_storage_rocks::{DamagedPart, Finding, Pace, StoreError, StoredLog, Surveyed};

use crate::support::{GROUP, Place, append, entry, vote_of};

const OTHER: GroupId = GroupId::new(u64::MAX);

/// Two groups, closed cleanly: so all lies in table files.
async fn filled() -> Place {
    let place = Place::new();
    let store = place.open();
    for (group, count) in [(GROUP, 300), (OTHER, 5)] {
        let log = store.log_store(group).unwrap();
        append(
            &log,
            None,
            (1..=count).map(|index| entry(7, index)).collect(),
        )
        .await;
        store.stable_store(group).save(vote_of(0, 7)).await.unwrap();
    }
    place
}

fn scrub(place: &Place) -> (Surveyed, Vec<Finding>) {
    let log = StoredLog::open(place.path()).unwrap();
    let mut findings = Vec::new();
    let surveyed = log
        .scrub(&Pace::default(), |finding| findings.push(finding))
        .unwrap();
    assert_eq!(surveyed.damaged, findings.len() as u64);
    (surveyed, findings)
}

fn table_files(place: &Place) -> Vec<PathBuf> {
    let files = fs::read_dir(place.path()).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let mut tables: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|end| end == "sst"))
        .collect();
    tables.sort();
    tables
}

#[tokio::test]
async fn a_whole_store_has_no_findings_and_is_not_changed() {
    let place = filled().await;
    let names = || {
        let files = fs::read_dir(place.path())
            .unwrap()
            .map(|file| file.unwrap());
        let mut names: Vec<_> = files
            .map(|file| (file.file_name(), file.metadata().unwrap().len()))
            .collect();
        names.sort();
        names
    };
    let before = names();

    let (surveyed, findings) = scrub(&place);

    assert_eq!(findings, []);
    assert_eq!((surveyed.groups, surveyed.entries), (2, 305));
    let log = StoredLog::open(place.path()).unwrap();
    assert_eq!(log.groups().unwrap(), [GROUP, OTHER]);
    assert_eq!(log.bounds(OTHER).unwrap().last, LogId::new(7, 5));
    assert_eq!(log.vote(GROUP).unwrap(), StableState::Saved(vote_of(0, 7)));
    assert_eq!(names(), before);
}

#[tokio::test]
async fn a_damaged_entry_is_named_with_its_term_and_file() {
    let place = filled().await;
    place.damage_payload_of(GROUP, 211);

    let (surveyed, findings) = scrub(&place);

    assert_eq!(surveyed.entries, 305);
    let [finding] = findings.as_slice() else {
        panic!("{findings:?}");
    };
    let what = DamagedPart::Entry {
        index: LogIndex::new(211),
        term: Some(Term::new(7)),
        kind: Some(EntryKind::Command),
    };
    assert_eq!((finding.group, &finding.what), (GROUP, &what));
}

/// One byte in each table file at a time, in the block that holds its data.
#[tokio::test]
async fn a_flipped_byte_in_a_table_file_is_found_and_the_file_is_named() {
    let original = filled().await;
    let mut named = 0;
    for table in table_files(&original) {
        // The same store: another one would have its records in other files.
        let place = original.image();
        let table = &place.path().join(table.file_name().unwrap());
        let mut bytes = fs::read(table).unwrap();
        bytes[20] ^= 0x10;
        fs::write(table, bytes).unwrap();

        match StoredLog::open(place.path()) {
            Ok(_) => {
                let findings = scrub(&place).1;
                assert_ne!(findings, [], "{}", table.display());
                let files: BTreeSet<_> = findings.into_iter().flat_map(|one| one.file).collect();
                assert!(files.iter().all(|file| file == table), "{files:?}");
                named += files.len();
            }
            // The record that says whose the store is.
            Err(StoreError::Damaged { .. } | StoreError::Engine { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    // Those with entries at least: damaged bounds may lie in either of two files.
    assert!(named >= 2, "{named} files were named");
}

#[tokio::test]
async fn a_lost_vote_is_found() {
    let place = filled().await;
    let key = [&OTHER.get().to_be_bytes()[..], b"v"].concat();
    place.rewrite("state", &key, |record| record[8] ^= 1);

    let (_, findings) = scrub(&place);

    let [finding] = findings.as_slice() else {
        panic!("{findings:?}");
    };
    assert_eq!((finding.group, &finding.what), (OTHER, &DamagedPart::Vote));
}

#[tokio::test]
async fn a_store_in_use_is_read_at_a_bounded_rate() {
    let place = Place::new();
    let store = place.open();
    let log = store.log_store(GROUP).unwrap();
    append(&log, None, (1..=100).map(|index| entry(1, index)).collect()).await;
    store.stable_store(GROUP).save(vote_of(0, 1)).await.unwrap();
    let bytes = store.scrub(&Pace::default(), |_| ()).unwrap().bytes;

    let begun = Instant::now();
    let rate = NonZeroU64::new(bytes * 4).unwrap();
    let surveyed = store.scrub(&Pace::at(rate), |finding| panic!("{finding}"));

    assert_eq!(surveyed.unwrap().entries, 100);
    assert!(begun.elapsed() >= Duration::from_millis(250));
    let last = log.bounds().await.unwrap().last;
    assert_eq!(last, LogId::new(1, 100));
}

#[tokio::test]
async fn a_slow_look_ends_when_it_is_told_to() {
    let place = filled().await;
    let log = StoredLog::open(place.path()).unwrap();
    let pace = Pace::at(NonZeroU64::MIN);
    let stop = Arc::clone(&pace.stop);
    let looking = std::thread::spawn(move || log.scrub(&pace, |_| ()).unwrap());
    stop.store(true, Ordering::Release);
    assert!(looking.join().unwrap().entries < 305);
}

#[test]
fn where_no_store_is_none_is_opened() {
    let place = Place::new();
    let refused = StoredLog::open(place.path());
    assert!(matches!(refused, Err(StoreError::Foreign { .. })));
}
