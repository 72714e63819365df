//! Damage is reported with its place, and never returned as data.

use raft_core::{
    Incarnation, LogId, LogIndex, LogSlice, LogStore, StableState, StableStore, StorageError,
    StoredEntry,
};

use crate::support::{GROUP, Place, append, entry, mark_key, run_key, vote_key, vote_of};

#[tokio::test]
async fn every_flipped_byte_of_a_payload_is_reported_with_the_entrys_index() {
    let place = Place::new();
    let log = place.open().log_store(GROUP).unwrap();
    append(&log, None, vec![entry(1, 1), entry(1, 2), entry(2, 3)]).await;
    drop(log);

    // The first two entries share a run; each takes 16 bytes and its command.
    for position in 19..38 {
        place.rewrite("payload", &run_key(1), |bytes| bytes[position] ^= 0x40);
        let log = place.open().log_store(GROUP).unwrap();

        let found = log
            .read(LogIndex::new(1), LogIndex::new(3), usize::MAX)
            .await
            .unwrap();

        assert_eq!(found[0], StoredEntry::Entry(entry(1, 1)));
        match &found[1] {
            StoredEntry::Corrupt { index, meta, .. } => {
                assert_eq!(index.get(), 2);
                assert_eq!(meta.map(|meta| meta.log_id), Some(entry(1, 2).log_id));
            }
            other => panic!("byte {position}: {other:?}"),
        }
        assert_eq!(found[2], StoredEntry::Entry(entry(2, 3)));
        drop(log);
        place.rewrite("payload", &run_key(1), |bytes| bytes[position] ^= 0x40);
    }
}

#[tokio::test]
async fn a_payload_that_is_gone_is_corrupt_and_not_absent() {
    let place = Place::new();
    let log = place.open().log_store(GROUP).unwrap();
    append(&log, None, vec![entry(1, 1), entry(1, 2)]).await;
    drop(log);
    place.remove("payload", &run_key(1));

    let log = place.open().log_store(GROUP).unwrap();
    let found = log
        .read(LogIndex::new(1), LogIndex::new(2), usize::MAX)
        .await
        .unwrap();

    assert!(matches!(found[0], StoredEntry::Corrupt { .. }), "{found:?}");
}

#[tokio::test]
async fn damaged_metadata_is_reported_by_entry() {
    let place = Place::new();
    let log = place.open().log_store(GROUP).unwrap();
    for index in 1..=3 {
        append(&log, None, vec![entry(1, index)]).await;
    }
    drop(log);
    place.rewrite("meta", &run_key(2), |record| record[6] ^= 1);

    let log = place.open().log_store(GROUP).unwrap();
    let found = log
        .read(LogIndex::new(1), LogIndex::new(3), usize::MAX)
        .await
        .unwrap();
    assert_eq!(found[0], StoredEntry::Entry(entry(1, 1)));
    assert!(
        matches!(&found[1], StoredEntry::Corrupt { meta: None, .. }),
        "{found:?}"
    );
    assert_eq!(found[2], StoredEntry::Entry(entry(1, 3)));

    let outcome = log.metadata(LogIndex::new(1), LogIndex::new(3)).await;
    match outcome {
        Err(StorageError::Corrupt { what, .. }) => assert!(what.contains("i2"), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn damaged_metadata_of_a_run_is_damage_to_each_of_its_entries_and_no_other() {
    let place = Place::new();
    let log = place.open().log_store(GROUP).unwrap();
    append(&log, None, vec![entry(1, 1), entry(1, 2)]).await;
    append(&log, None, vec![entry(1, 3)]).await;
    drop(log);
    place.rewrite("meta", &run_key(1), |record| record[20] ^= 1);

    let log = place.open().log_store(GROUP).unwrap();
    let (first, last) = (LogIndex::new(1), LogIndex::new(3));
    let found = log.read(first, last, usize::MAX).await.unwrap();

    let is_damaged = |at: usize| matches!(&found[at], StoredEntry::Corrupt { meta: None, .. });
    assert!(is_damaged(0) && is_damaged(1), "{found:?}");
    assert_eq!(found[2], StoredEntry::Entry(entry(1, 3)));
}

/// The run before it does not reach so far: what is missing is not absent.
#[tokio::test]
async fn a_run_that_is_gone_is_damage() {
    let place = Place::new();
    let log = place.open().log_store(GROUP).unwrap();
    for index in 1..=3 {
        append(&log, None, vec![entry(1, index)]).await;
    }
    drop(log);
    place.remove("meta", &run_key(2));
    place.remove("payload", &run_key(2));

    let log = place.open().log_store(GROUP).unwrap();
    let found = log.read(LogIndex::new(2), LogIndex::new(2), 0).await;

    let found = found.unwrap();
    assert!(matches!(found[0], StoredEntry::Corrupt { .. }), "{found:?}");
}

#[tokio::test]
async fn a_damaged_vote_is_lost_and_not_empty() {
    let place = Place::new();
    let stable = place.open().stable_store(GROUP);
    stable.save(vote_of(0, 4)).await.unwrap();
    drop(stable);
    place.rewrite("state", &vote_key(), |record| record[7] ^= 1);

    assert_eq!(life_of_lost_vote(&place).await, Some(0));
}

/// The life whose vote is lost, as far as the store can tell.
async fn life_of_lost_vote(place: &Place) -> Option<u64> {
    match place.open().stable_store(GROUP).load().await.unwrap() {
        StableState::Lost { incarnation, .. } => incarnation.map(Incarnation::get),
        found => panic!("{found:?}"),
    }
}

#[tokio::test]
async fn the_mark_says_whose_vote_is_lost_and_damaged_it_says_nothing() {
    let place = Place::new();
    let stable = place.open().stable_store(GROUP);
    stable.save(vote_of(0, 4)).await.unwrap();
    stable.save(vote_of(300, 4)).await.unwrap();
    drop(stable);

    place.rewrite("state", &vote_key(), |record| record[7] ^= 1);
    assert_eq!(life_of_lost_vote(&place).await, Some(300));
    place.remove("state", &vote_key());
    assert_eq!(life_of_lost_vote(&place).await, Some(300));
    place.rewrite("identity", &mark_key(), |record| record[7] ^= 1);
    assert_eq!(life_of_lost_vote(&place).await, None);
}

#[tokio::test]
async fn a_log_without_a_vote_has_lost_it() {
    let place = Place::new();
    let log = place.open().log_store(GROUP).unwrap();
    append(&log, None, vec![entry(1, 1)]).await;
    drop(log);

    let found = place.open().stable_store(GROUP).load().await.unwrap();

    assert!(matches!(found, StableState::Lost { .. }), "{found:?}");
}

/// The checksum of each holds; they were not written together.
#[tokio::test]
async fn a_payload_of_an_earlier_leader_is_corrupt_and_not_this_entrys() {
    let place = Place::new();
    let log = place.open().log_store(GROUP).unwrap();
    append(&log, None, vec![entry(1, 1)]).await;
    let mut earlier = Vec::new();
    drop(log);
    place.rewrite("payload", &run_key(1), |record| earlier = record.clone());
    let log = place.open().log_store(GROUP).unwrap();
    append(&log, Some(1), vec![entry(2, 1)]).await;
    drop(log);
    place.rewrite("payload", &run_key(1), |record| *record = earlier);

    let log = place.open().log_store(GROUP).unwrap();
    let found = log
        .read(LogIndex::new(1), LogIndex::new(1), 0)
        .await
        .unwrap();

    assert!(matches!(found[0], StoredEntry::Corrupt { .. }), "{found:?}");
}

#[tokio::test]
async fn a_last_entry_without_metadata_is_not_taken_for_the_end_of_the_log() {
    let place = Place::new();
    let log = place.open().log_store(GROUP).unwrap();
    append(&log, None, vec![entry(1, 1)]).await;
    append(&log, None, vec![entry(1, 2)]).await;
    drop(log);
    place.remove("meta", &run_key(2));

    match place.open().log_store(GROUP) {
        Err(StorageError::Corrupt { what, .. }) => assert!(what.contains("i2"), "{what}"),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was opened"),
    }
}

#[tokio::test]
async fn a_purged_log_without_a_vote_has_lost_it() {
    let place = Place::new();
    let log = place.open().log_store(GROUP).unwrap();
    log.reset(LogId::new(4, 90)).await.unwrap();
    drop(log);

    let found = place.open().stable_store(GROUP).load().await.unwrap();

    assert!(matches!(found, StableState::Lost { .. }), "{found:?}");
}

#[tokio::test]
async fn a_damaged_payload_is_replaced_durably_by_the_very_same_entry_and_no_other() {
    let place = Place::new();
    let log = place.open().log_store(GROUP).unwrap();
    append(&log, None, vec![entry(1, 1), entry(1, 2)]).await;
    drop(log);
    place.damage_payload(2);
    let log = place.open().log_store(GROUP).unwrap();
    let run = |term, index| LogSlice::new(vec![entry(term, index)]).unwrap();

    for other in [run(2, 2), run(1, 3)] {
        let refused = log.repair(other).await;
        assert!(
            matches!(refused, Err(StorageError::Misuse { .. })),
            "{refused:?}"
        );
    }
    log.repair(run(1, 2)).await.unwrap();
    drop(log);

    let log = place.open().log_store(GROUP).unwrap();
    let found = log
        .read(LogIndex::new(2), LogIndex::new(2), usize::MAX)
        .await;
    assert_eq!(found.unwrap(), [StoredEntry::Entry(entry(1, 2))]);
}
