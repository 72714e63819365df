//! The duties of a [`LogStore`](crate::log_store), each with its check.

mod appends;
mod ends;
mod reads;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::appends::{
    a_gap_an_overlap_and_a_cut_below_the_purge_are_refused, a_long_history_reads_as_its_calls_say,
    an_append_interrupted_by_a_crash_is_all_or_nothing, an_append_survives_a_crash,
    appends_take_effect_in_order, calls_in_flight_take_effect_in_order,
};
pub use self::ends::{
    a_purge_is_remembered, a_reset_interrupted_by_a_crash_is_all_or_nothing,
    a_reset_replaces_the_whole_log, after_a_failed_write_the_store_is_closed,
    bounds_are_the_truth_after_a_crash,
};
pub use self::reads::{
    a_damaged_payload_is_corrupt_and_never_data,
    a_repair_replaces_the_very_same_entry_and_nothing_else, each_index_reads_as_entry_or_absent,
    every_kind_of_entry_comes_back_as_it_was, metadata_outlives_a_damaged_payload,
    reads_stop_at_the_byte_limit,
};
pub use super::cut_off::{
    a_reset_cut_off_at_any_operation_is_all_or_nothing,
    an_append_cut_off_at_any_operation_is_all_or_nothing,
};
pub use super::failing::after_any_failed_operation_the_log_is_closed;
use crate::entry::{Entry, LogSlice};
use crate::log_store::{AppendBatch, LogBounds, LogStore, StoredEntry};
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
