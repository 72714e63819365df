//! Damage is reported with its place, and never returned as data.

use raft_core::{
    GroupId, HardState, LogIndex, LogStore, ReplicaId, StableState, StableStore, StorageError,
    StoredEntry, Term,
};

use crate::support::{GROUP, Place, append, entry, entry_key, vote_key};

#[tokio::test]
async fn every_flipped_byte_of_a_payload_is_reported_with_the_entrys_index() {
    let place = Place::new();
    let log = place.open().log_store(GROUP).unwrap();
    append(&log, None, vec![entry(1, 1), entry(1, 2), entry(2, 3)]).await;
    drop(log);

    for position in 0..12 {
        place.rewrite("payload", &entry_key(2), |record| record[position] ^= 0x40);
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
        place.rewrite("payload", &entry_key(2), |record| record[position] ^= 0x40);
    }
}

#[tokio::test]
async fn a_payload_that_is_gone_is_corrupt_and_not_absent() {
    let place = Place::new();
    let log = place.open().log_store(GROUP).unwrap();
    append(&log, None, vec![entry(1, 1), entry(1, 2)]).await;
    drop(log);
    place.remove("payload", &entry_key(1));

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
    append(&log, None, vec![entry(1, 1), entry(1, 2), entry(1, 3)]).await;
    drop(log);
    place.rewrite("meta", &entry_key(2), |record| record[6] ^= 1);

    let log = place.open().log_store(GROUP).unwrap();
    let found = log
        .read(LogIndex::new(1), LogIndex::new(3), usize::MAX)
        .await
        .unwrap();
    assert!(
        matches!(&found[1], StoredEntry::Corrupt { meta: None, .. }),
        "{found:?}"
    );

    let outcome = log.metadata(LogIndex::new(1), LogIndex::new(3)).await;
    match outcome {
        Err(StorageError::Corrupt { what, .. }) => assert!(what.contains("i2"), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_damaged_vote_is_lost_and_not_empty() {
    let place = Place::new();
    let stable = place.open().stable_store(GROUP);
    let state = HardState {
        current_term: Term::new(4),
        voted_for: Some(ReplicaId::first(2)),
    };
    stable.save(state).await.unwrap();
    drop(stable);
    place.rewrite("state", &vote_key(), |record| record[7] ^= 1);

    let found = place.open().stable_store(GROUP).load().await.unwrap();

    assert!(matches!(found, StableState::Lost { .. }), "{found:?}");
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

#[tokio::test]
async fn groups_share_a_store_and_nothing_else() {
    let place = Place::new();
    let store = place.open();
    let (one, two) = (
        store.log_store(GroupId::new(1)),
        store.log_store(GroupId::new(2)),
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    let batches = (0..50u64).map(|_| ());

    for (number, ()) in (1..).zip(batches) {
        let both = (
            append(&one, None, vec![entry(1, number)]),
            append(&two, None, vec![entry(2, number)]),
        );
        tokio::join!(both.0, both.1);
    }
    append(&one, Some(1), vec![]).await;

    assert_eq!(one.bounds().await.unwrap().last.index, LogIndex::ZERO);
    assert_eq!(two.bounds().await.unwrap().last, entry(2, 50).log_id);
}
