//! What a read promises, of damage too: duties 5 to 7, and repairs.

use bytes::Bytes;

use super::super::not_checked;
use super::{LogStoreHarness, append, log_ids, read};
use crate::entry::{Entry, EntryKind, EntryMeta, LogSlice, Payload};
use crate::error::StorageError;
use crate::log_store::{AppendBatch, LogStore, StoredEntry};
use crate::membership::Membership;
use crate::types::{LogId, LogIndex, RequestId};

/// Duty 5.
pub async fn each_index_reads_as_entry_or_absent(harness: &mut impl LogStoreHarness) {
    let duty = "duty 5, reads tell the truth";
    let store = harness.open().await;
    append(&store, None, 1, &[1, 1, 1]).await;
    store
        .purge(LogId::new(1, 1))
        .await
        .expect("a purge within the log succeeds");

    let found = read(&store, 1, 4).await;
    let is_entry = |index: usize| matches!(found.get(index), Some(StoredEntry::Entry(_)));
    let is_absent = |index: usize| matches!(found.get(index), Some(StoredEntry::Absent { .. }));
    assert!(
        is_absent(0),
        "{duty}: a purged entry reads as {:?}",
        found.first()
    );
    assert!(
        is_entry(1) && is_entry(2),
        "{duty}: entries read as {found:?}"
    );
    assert!(
        is_absent(3),
        "{duty}: beyond the end reads as {:?}",
        found.get(3)
    );
}

/// Duty 5.
pub async fn every_kind_of_entry_comes_back_as_it_was(harness: &mut impl LogStoreHarness) {
    let duty = "duty 5, reads tell the truth";
    let request = RequestId {
        boot: u64::MAX,
        sequence: 1,
    };
    let membership = Membership::of_ids([1, 2, u64::MAX]);
    let entries = vec![
        Entry::blank(LogId::new(1, 1)),
        Entry::command(LogId::new(1, 2), request, Bytes::new()),
        Entry::command(LogId::new(1, 3), request, Bytes::from(vec![0; 1 << 20])),
        Entry {
            log_id: LogId::new(u64::MAX, 4),
            payload: Payload::Membership(Box::new(membership)),
        },
    ];
    let store = harness.open().await;
    let run = LogSlice::new(entries.clone()).expect("terms are given in order");
    let change = AppendBatch {
        truncate_from: None,
        entries: run,
    };
    store.append(change).await.expect("an append succeeds");
    harness.crash(store).await;

    let store = harness.open().await;
    let found = read(&store, 1, 4).await;
    let metadata = store.metadata(LogIndex::new(1), LogIndex::new(4)).await;
    let expected: Vec<_> = entries.iter().map(EntryMeta::from).collect();
    assert_eq!(metadata.expect("metadata can be read"), expected, "{duty}");
    let is_same = found == Vec::from_iter(entries.into_iter().map(StoredEntry::Entry));
    assert!(is_same, "{duty}: an entry came back differently");
}

/// Duty 5.
pub async fn a_damaged_payload_is_corrupt_and_never_data(harness: &mut impl LogStoreHarness) {
    let duty = "duty 5, reads tell the truth";
    let store = harness.open().await;
    append(&store, None, 1, &[1, 1, 1]).await;
    harness.crash(store).await;
    if !harness.damage_payload(LogIndex::new(2)).await {
        not_checked(duty, "damage a payload");
        return;
    }

    let store = harness.open().await;
    let found = read(&store, 1, 3).await;
    match &found[1] {
        StoredEntry::Corrupt { index, .. } => assert_eq!(*index, LogIndex::new(2), "{duty}"),
        other => panic!("{duty}: a damaged entry reads as {other:?}"),
    }
    let sound =
        matches!(found[0], StoredEntry::Entry(_)) && matches!(found[2], StoredEntry::Entry(_));
    assert!(sound, "{duty}: its neighbours read as {found:?}");
}

/// Duty 12.
pub async fn a_repair_replaces_the_very_same_entry_and_nothing_else(
    harness: &mut impl LogStoreHarness,
) {
    let duty = "duty 12, repair changes no identity";
    let store = harness.open().await;
    append(&store, None, 1, &[1, 1, 1]).await;
    let before = read(&store, 1, 4).await;
    let StoredEntry::Entry(second) = before[1].clone() else {
        panic!("{duty}: what was appended reads as {before:?}");
    };
    let of_another_term = Entry::blank(LogId::new(9, 2));
    let beyond_the_end = Entry::blank(LogId::new(1, 4));
    for other in [of_another_term, beyond_the_end] {
        let run = LogSlice::new(vec![other]).expect("one entry is a run");
        let refused = store.repair(run).await;
        let is_refused = matches!(refused, Err(StorageError::Misuse { .. }));
        assert!(
            is_refused,
            "{duty}: {refused:?} for an entry that is not there"
        );
    }
    assert_eq!(
        read(&store, 1, 4).await,
        before,
        "{duty}: a refusal changed the log"
    );
    harness.crash(store).await;

    let could_damage = harness.damage_payload(LogIndex::new(2)).await;
    let store = harness.open().await;
    let run = LogSlice::new(vec![second]).expect("one entry is a run");
    match store.repair(run).await {
        Ok(()) => {}
        // A store may say that it cannot replace single entries.
        Err(StorageError::Misuse { .. }) => return not_checked(duty, "replace an entry"),
        Err(error) => panic!("{duty}: {error}"),
    }
    harness.crash(store).await;
    let store = harness.open().await;
    assert_eq!(
        read(&store, 1, 4).await,
        before,
        "{duty}: the log is another one"
    );
    if !could_damage {
        not_checked(duty, "damage a payload");
    }
}

/// Duty 6.
pub async fn reads_stop_at_the_byte_limit(harness: &mut impl LogStoreHarness) {
    let duty = "duty 6, reads are bounded";
    let store = harness.open().await;
    append(&store, None, 1, &[1; 50]).await;
    let (first, last) = (LogIndex::new(1), LogIndex::new(50));

    for (limit, most) in [(0, 1), (1, 1), (1000, 12)] {
        let found = store
            .read(first, last, limit)
            .await
            .expect("a sound store can be read");
        let count = found.len();
        assert!(
            (1..=most).contains(&count),
            "{duty}: {count} entries for {limit} bytes"
        );
    }
}

/// Duty 7.
pub async fn metadata_outlives_a_damaged_payload(harness: &mut impl LogStoreHarness) {
    let duty = "duty 7, metadata outlives payloads";
    let store = harness.open().await;
    append(&store, None, 1, &[1, 2, 2]).await;
    harness.crash(store).await;
    if !harness.damage_payload(LogIndex::new(2)).await {
        not_checked(duty, "damage a payload");
    }

    let store = harness.open().await;
    let (first, last) = (LogIndex::new(1), LogIndex::new(3));
    let found = store
        .metadata(first, last)
        .await
        .expect("metadata can be read");
    let meta = |log_id| EntryMeta {
        log_id,
        kind: EntryKind::Command,
    };
    let expected: Vec<_> = log_ids(&[1, 2, 2]).into_iter().map(meta).collect();
    assert_eq!(found, expected, "{duty}");
}
