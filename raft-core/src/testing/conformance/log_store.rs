//! The duties of a [`LogStore`](crate::log_store), each with its check.

use async_trait::async_trait;
use bytes::Bytes;

pub use super::cut_off::{
    a_reset_cut_off_at_any_operation_is_all_or_nothing,
    an_append_cut_off_at_any_operation_is_all_or_nothing,
};
pub use super::failing::after_any_failed_operation_the_log_is_closed;
use super::history::{ModelLog, Random, Step};
use super::{POLLS_BEFORE_CRASH, interrupt, not_checked};
use crate::entry::{Entry, EntryKind, EntryMeta, LogSlice, Payload};
use crate::error::StorageError;
use crate::log_store::{AppendBatch, LogBounds, LogStore, StorageHealth, StoredEntry};
use crate::membership::Membership;
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

    /// Lets so many more operations of the open store on its disk succeed; all later
    /// ones fail until the crash, as if the machine stopped between two of them.
    /// Answers false if it cannot, which is what the provided method says.
    async fn stop_after(&mut self, store: &Self::Store, operations: u64) -> bool {
        let _ = (store, operations);
        false
    }

    /// Lets so many more operations of the open store on its disk succeed and has the one
    /// after them fail with an error of the disk, be it a write, a sync or a rename; all
    /// later ones succeed again. What a failed sync was to make durable may be lost at the
    /// crash. Answers false if it cannot, which is what the provided method says.
    async fn fail_after(&mut self, store: &Self::Store, operations: u64) -> bool {
        let _ = (store, operations);
        false
    }

    /// Whether that operation came, and failed. Who provides the method above provides
    /// this one.
    async fn has_failed(&mut self, store: &Self::Store) -> bool {
        let _ = store;
        false
    }
}

/// An append of commands of these terms, from `first` on, after a cut at `cut`.
pub(super) fn batch(cut: Option<u64>, first: u64, terms: &[u64]) -> AppendBatch {
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

pub(super) async fn append(store: &impl LogStore, cut: Option<u64>, first: u64, terms: &[u64]) {
    store
        .append(batch(cut, first, terms))
        .await
        .expect("an append within the contract succeeds");
}

pub(super) async fn bounds(store: &impl LogStore) -> LogBounds {
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
pub(super) async fn ids(store: &impl LogStore, duty: &str) -> Vec<LogId> {
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

pub(super) fn log_ids(terms: &[u64]) -> Vec<LogId> {
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
    for polls in POLLS_BEFORE_CRASH {
        let store = harness.open().await;
        store.reset(LogId::ZERO).await.expect("a reset succeeds");
        append(&store, None, 1, &[1, 1, 1, 1]).await;
        let change = store.append(batch(Some(3), 3, &[2, 2, 2]));
        let outcome = interrupt(change, polls).await;
        harness.crash(store).await;

        let store = harness.open().await;
        let found = ids(&store, duty).await;
        let (before, after) = (log_ids(&[1, 1, 1, 1]), log_ids(&[1, 1, 2, 2, 2]));
        let is_allowed = found == after || (outcome.is_none() && found == before);
        assert!(is_allowed, "{duty}: {outcome:?}, then found {found:?}");
        harness.crash(store).await;
    }
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

/// Duty 3. The calls are begun in order and awaited in the opposite one.
pub async fn calls_in_flight_take_effect_in_order(harness: &mut impl LogStoreHarness) {
    let duty = "duty 3, in order";
    let store = harness.open().await;
    let mut calls = vec![
        store.append(batch(None, 1, &[1, 1, 2])),
        store.append(batch(Some(3), 3, &[3, 3])),
        store.purge(LogId::new(1, 1)),
        store.append(batch(None, 5, &[4])),
        store.append(batch(Some(5), 5, &[])),
    ];
    let mut results = Vec::new();
    let mut waiting = Vec::new();
    for mut call in calls.drain(..) {
        match interrupt(&mut call, 1).await {
            Some(result) => results.push(result),
            None => waiting.push(call),
        }
    }
    for call in waiting.into_iter().rev() {
        results.push(call.await);
    }

    let refused = results.iter().find(|result| result.is_err());
    assert!(refused.is_none(), "{duty}: {refused:?}");
    let expected = [LogId::new(1, 2), LogId::new(3, 3), LogId::new(3, 4)];
    assert_eq!(ids(&store, duty).await, expected, "{duty}");
}

/// Duties 3 and 9.
pub async fn a_long_history_reads_as_its_calls_say(harness: &mut impl LogStoreHarness) {
    let (mut model, mut random) = (ModelLog::default(), Random(1));
    let mut store = harness.open().await;
    let mut duty = "duty 3, in order";
    for number in 0..150 {
        let step = random.step(&model);
        let done = match &step {
            Step::Append { cut, first, terms } => store.append(batch(*cut, *first, terms)).await,
            Step::Purge(up_to) => store.purge(*up_to).await,
            Step::Reset(snapshot) => store.reset(*snapshot).await,
            Step::Crash => {
                harness.crash(store).await;
                store = harness.open().await;
                duty = "duty 9, bounds are the truth after open";
                Ok(())
            }
        };
        assert!(done.is_ok(), "{duty}: step {number}, {step:?}: {done:?}");
        model.take(&step);
        let place = format!("{duty}: after step {number}, {step:?}");
        assert_eq!(bounds(&store).await, model.bounds(), "{place}");
        assert_eq!(ids(&store, duty).await, model.ids(), "{place}");
    }
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
    let before = (bounds(&store).await, ids(&store, duty).await);

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
    let after = (bounds(&store).await, ids(&store, duty).await);
    assert_eq!(after, before, "{duty}: a refused append changed the log");
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
    let found = read(&store, 3, 4).await;
    let is_absent = matches!(found[0], StoredEntry::Absent { .. });
    assert!(is_absent, "{duty}: a purged entry reads as {:?}", found[0]);
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

/// Duty 10.
pub async fn a_reset_interrupted_by_a_crash_is_all_or_nothing(harness: &mut impl LogStoreHarness) {
    let duty = "duty 10, reset is one step";
    for polls in POLLS_BEFORE_CRASH {
        let store = harness.open().await;
        store.reset(LogId::ZERO).await.expect("a reset succeeds");
        append(&store, None, 1, &[1, 1, 2]).await;
        let before = (bounds(&store).await, ids(&store, duty).await);
        let snapshot = LogId::new(4, 90);
        let outcome = interrupt(store.reset(snapshot), polls).await;
        harness.crash(store).await;

        let store = harness.open().await;
        let found = (bounds(&store).await, ids(&store, duty).await);
        let (purged, last) = (snapshot, snapshot);
        let is_after = found == (LogBounds { purged, last }, Vec::new());
        let is_allowed = is_after || (outcome.is_none() && found == before);
        assert!(is_allowed, "{duty}: {outcome:?}, then found {found:?}");
        harness.crash(store).await;
    }
}

/// Duty 11.
pub async fn after_a_failed_write_the_store_is_closed(harness: &mut impl LogStoreHarness) {
    let duty = "duty 11, failure is final";
    let store = harness.open().await;
    append(&store, None, 1, &[1]).await;
    if !harness.fail_next_write(&store).await {
        not_checked(duty, "fail a write");
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
    for (what, refused) in [
        ("a purge", store.purge(LogId::new(1, 1)).await),
        ("a reset", store.reset(LogId::new(1, 9)).await),
    ] {
        let is_closed = matches!(refused, Err(StorageError::Closed));
        assert!(is_closed, "{duty}: {what} was answered with {refused:?}");
    }
    assert_eq!(
        ids(&store, duty).await,
        log_ids(&[1]),
        "{duty}: reads go on"
    );
    harness.crash(store).await;

    let store = harness.open().await;
    let found = ids(&store, duty).await;
    let is_whole = found == log_ids(&[1]) || found == log_ids(&[1, 1]);
    assert!(is_whole, "{duty}: reopened, found {found:?}");
    append(&store, Some(2), 2, &[2]).await;
    assert_eq!(
        ids(&store, duty).await,
        log_ids(&[1, 2]),
        "{duty}: reopened"
    );
}
