//! The duties of a [`LogStore`](crate::log_store), each with its check.

use async_trait::async_trait;
use bytes::Bytes;

use super::interrupt;
use crate::entry::{Entry, EntryKind, EntryMeta, LogSlice};
use crate::error::StorageError;
use crate::log_store::{AppendBatch, LogBounds, LogStore, StorageHealth, StoredEntry};
use crate::types::{LogId, LogIndex, RequestId};

/// How the suite handles a store.
#[async_trait]
pub trait LogStoreHarness: Send {
    /// The store under test.
    type Store: LogStore;

    /// Opens the store. What is durable from before is there.
    async fn open(&mut self) -> Self::Store;

    /// Ends the store as a crash would, without a chance to save anything more.
    async fn crash(&mut self, store: Self::Store);

    /// Damages the stored payload of an entry; the store is not open meanwhile.
    /// Answers false if this backend's payloads cannot be damaged.
    async fn damage_payload(&mut self, index: LogIndex) -> bool;

    /// Makes the next write of the open store fail. Answers false if it cannot.
    async fn fail_next_write(&mut self, store: &Self::Store) -> bool;
}

/// An append of commands of these terms, from `first` on, after a cut at `cut`.
fn batch(cut: Option<u64>, first: u64, terms: &[u64]) -> AppendBatch {
    let entry = |(index, &term): (u64, &u64)| {
        let request = RequestId {
            boot: term,
            sequence: index,
        };
        Entry::command(
            LogId::new(term, index),
            request,
            Bytes::from(vec![b'x'; 100]),
        )
    };
    let entries = (first..).zip(terms).map(entry).collect();
    AppendBatch {
        truncate_from: cut.map(LogIndex::new),
        entries: LogSlice::new(entries).expect("terms are given in order"),
    }
}

async fn append(store: &impl LogStore, cut: Option<u64>, first: u64, terms: &[u64]) {
    store
        .append(batch(cut, first, terms))
        .await
        .expect("an append within the contract succeeds");
}

async fn bounds(store: &impl LogStore) -> LogBounds {
    store
        .bounds()
        .await
        .expect("bounds of a sound store can be read")
}

async fn read(store: &impl LogStore, first: u64, last: u64) -> Vec<StoredEntry> {
    let (first, last) = (LogIndex::new(first), LogIndex::new(last));
    store
        .read(first, last, usize::MAX)
        .await
        .expect("a sound store can be read")
}

/// The whole log as (term, index), read entry by entry; `duty` names what is checked.
async fn ids(store: &impl LogStore, duty: &str) -> Vec<LogId> {
    let LogBounds { purged, last } = bounds(store).await;
    let entries = read(store, purged.index.get() + 1, last.index.get()).await;
    let id = |stored| match stored {
        StoredEntry::Entry(entry) => {
            let expected = batch(None, entry.index().get(), &[entry.term().get()]);
            assert_eq!(
                entry,
                expected.entries.entries()[0],
                "{duty}: an entry reads differently"
            );
            entry.log_id
        }
        other => panic!("{duty}: within the bounds stands {other:?}"),
    };
    if last.index == purged.index {
        Vec::new()
    } else {
        entries.into_iter().map(id).collect()
    }
}

fn log_ids(terms: &[u64]) -> Vec<LogId> {
    (1..)
        .zip(terms)
        .map(|(index, &term)| LogId::new(term, index))
        .collect()
}

/// Duty 1.
pub async fn an_append_survives_a_crash(harness: &mut impl LogStoreHarness) {
    let duty = "duty 1, durable before return";
    let store = harness.open().await;
    append(&store, None, 1, &[1, 1, 2]).await;
    append(&store, Some(3), 3, &[3, 3]).await;
    harness.crash(store).await;

    let store = harness.open().await;
    assert_eq!(ids(&store, duty).await, log_ids(&[1, 1, 3, 3]), "{duty}");
}

/// Duty 2.
pub async fn an_append_interrupted_by_a_crash_is_all_or_nothing(
    harness: &mut impl LogStoreHarness,
) {
    let duty = "duty 2, atomic";
    let store = harness.open().await;
    append(&store, None, 1, &[1, 1, 1, 1]).await;
    interrupt(store.append(batch(Some(3), 3, &[2, 2, 2]))).await;
    harness.crash(store).await;

    let store = harness.open().await;
    let found = ids(&store, duty).await;
    let allowed = [log_ids(&[1, 1, 1, 1]), log_ids(&[1, 1, 2, 2, 2])];
    assert!(allowed.contains(&found), "{duty}: found {found:?}");
}

/// Duty 3.
pub async fn appends_take_effect_in_order(harness: &mut impl LogStoreHarness) {
    let duty = "duty 3, in order";
    let store = harness.open().await;
    for index in 1..=20 {
        append(&store, None, index, &[1]).await;
    }
    append(&store, Some(11), 11, &[2]).await;
    append(&store, Some(12), 12, &[]).await;
    append(&store, None, 12, &[3]).await;

    let terms: Vec<u64> = [vec![1; 10], vec![2, 3]].concat();
    assert_eq!(ids(&store, duty).await, log_ids(&terms), "{duty}");
}

/// Duty 4.
pub async fn a_gap_an_overlap_and_a_cut_below_the_purge_are_refused(
    harness: &mut impl LogStoreHarness,
) {
    let duty = "duty 4, checked";
    let store = harness.open().await;
    append(&store, None, 1, &[1, 1, 1, 1]).await;
    store
        .purge(LogId::new(1, 2))
        .await
        .expect("a purge within the log succeeds");
    let before = bounds(&store).await;

    for (what, wrong) in [
        ("a gap", batch(None, 6, &[1])),
        ("an overlap", batch(None, 4, &[1])),
        ("a gap after a cut", batch(Some(4), 5, &[1])),
        ("a cut below the purge", batch(Some(2), 2, &[1])),
    ] {
        let outcome = store.append(wrong).await;
        let refused = matches!(outcome, Err(StorageError::Misuse { .. }));
        assert!(refused, "{duty}: {what} was answered with {outcome:?}");
    }
    assert_eq!(
        bounds(&store).await,
        before,
        "{duty}: a refused append changed the log"
    );
    assert_eq!(
        store.health(),
        StorageHealth::Healthy,
        "{duty}: a refusal is no failure"
    );
}

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
pub async fn a_damaged_payload_is_corrupt_and_never_data(harness: &mut impl LogStoreHarness) {
    let duty = "duty 5, reads tell the truth";
    let store = harness.open().await;
    append(&store, None, 1, &[1, 1, 1]).await;
    harness.crash(store).await;
    if !harness.damage_payload(LogIndex::new(2)).await {
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
    harness.damage_payload(LogIndex::new(2)).await;

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

/// Duty 8.
pub async fn a_purge_is_remembered(harness: &mut impl LogStoreHarness) {
    let duty = "duty 8, purge is remembered";
    let store = harness.open().await;
    append(&store, None, 1, &[1, 1, 2, 2]).await;
    store
        .purge(LogId::new(2, 3))
        .await
        .expect("a purge within the log succeeds");
    let beyond = store.purge(LogId::new(2, 9)).await;
    assert!(
        matches!(beyond, Err(StorageError::Misuse { .. })),
        "{duty}: beyond: {beyond:?}"
    );
    harness.crash(store).await;

    let store = harness.open().await;
    let expected = LogBounds {
        purged: LogId::new(2, 3),
        last: LogId::new(2, 4),
    };
    assert_eq!(bounds(&store).await, expected, "{duty}");
    store
        .purge(LogId::new(2, 4))
        .await
        .expect("the whole log can be purged");
    harness.crash(store).await;

    let store = harness.open().await;
    let empty = LogBounds {
        purged: LogId::new(2, 4),
        last: LogId::new(2, 4),
    };
    assert_eq!(bounds(&store).await, empty, "{duty}: an empty log");
    append(&store, None, 5, &[3]).await;
    assert_eq!(
        bounds(&store).await.last,
        LogId::new(3, 5),
        "{duty}: after an empty log"
    );
}

/// Duty 9.
pub async fn bounds_are_the_truth_after_a_crash(harness: &mut impl LogStoreHarness) {
    let duty = "duty 9, bounds are the truth after open";
    let store = harness.open().await;
    assert_eq!(
        bounds(&store).await,
        LogBounds::default(),
        "{duty}: a new log"
    );
    append(&store, None, 1, &[1, 1, 2, 2, 2]).await;
    append(&store, Some(3), 3, &[]).await;
    let cut = LogBounds {
        purged: LogId::ZERO,
        last: LogId::new(1, 2),
    };
    assert_eq!(bounds(&store).await, cut, "{duty}: after a cut");
    harness.crash(store).await;

    let store = harness.open().await;
    assert_eq!(bounds(&store).await, cut, "{duty}: after a cut and a crash");
}

/// Duty 10.
pub async fn a_reset_replaces_the_whole_log(harness: &mut impl LogStoreHarness) {
    let duty = "duty 10, reset is one step";
    let store = harness.open().await;
    append(&store, None, 1, &[1, 1, 2]).await;
    store
        .reset(LogId::new(4, 90))
        .await
        .expect("a reset succeeds");
    harness.crash(store).await;

    let store = harness.open().await;
    let expected = LogBounds {
        purged: LogId::new(4, 90),
        last: LogId::new(4, 90),
    };
    assert_eq!(bounds(&store).await, expected, "{duty}");
    append(&store, None, 91, &[4]).await;
    let found = read(&store, 91, 91).await;
    assert!(
        matches!(found[0], StoredEntry::Entry(_)),
        "{duty}: then {found:?}"
    );
}

/// Duty 11.
pub async fn after_a_failed_write_the_store_is_closed(harness: &mut impl LogStoreHarness) {
    let duty = "duty 11, failure is final";
    let store = harness.open().await;
    append(&store, None, 1, &[1]).await;
    if !harness.fail_next_write(&store).await {
        return;
    }

    let failed = store.append(batch(None, 2, &[1])).await;
    assert!(failed.is_err(), "{duty}: the write did not fail");
    let next = store.append(batch(None, 2, &[1])).await;
    assert!(
        matches!(next, Err(StorageError::Closed)),
        "{duty}: then {next:?}"
    );
    let health = store.health();
    let says_so = matches!(health, StorageHealth::Closed | StorageHealth::Full);
    assert!(says_so, "{duty}: health is {health:?}");
}
