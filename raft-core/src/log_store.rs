//! The contract of a log store.
//!
//! # Duties
//!
//! `raft_core::testing` has a check for each number.
//!
//! 1. **Durable before return.** When [`LogStore::append`] returns `Ok`, its
//!    whole effect survives a crash of the process and of the machine.
//! 2. **Atomic.** After a crash during `append`, the store holds either all of
//!    its effect or none: never a truncation without the run, never half a run.
//! 3. **In order.** Calls take effect in the order in which they were made.
//! 4. **Checked.** An append that would leave a gap, overlap what is kept, or cut
//!    below what was purged is refused as [`StorageError::Misuse`] and changes nothing.
//! 5. **Reads tell the truth.** [`LogStore::read`] answers for each index exactly
//!    one of entry, absent or corrupt; a damaged entry is never data and never absent.
//! 6. **Reads are bounded.** `read` stops once its answers exceed the byte limit,
//!    and answers at least one index of a range that is not empty.
//! 7. **Metadata outlives payloads.** [`LogStore::metadata`] names term, index and
//!    kind also of an entry whose payload is damaged.
//! 8. **Purge is remembered.** After [`LogStore::purge`], `bounds().purged` is at
//!    least the purged id, also after a crash; entries up to it read as absent.
//! 9. **Bounds are the truth after open.** They name what a crash left behind.
//! 10. **Reset is one step.** [`LogStore::reset`] replaces the whole log by the
//!     position of a snapshot, durably and atomically.
//! 11. **Failure is final.** After a failed write every further write is refused as
//!     [`StorageError::Closed`] until the store is reopened, and `health` says so.
//! 12. **Repair changes no identity.** [`LogStore::repair`] replaces the payload of
//!     an entry that is there under the same term and index, durably, and
//!     nothing else.

use async_trait::async_trait;

use crate::entry::{Entry, EntryMeta, LogSlice};
use crate::error::StorageError;
pub use crate::storage_health::StorageHealth;
use crate::types::{LogId, LogIndex};

/// Where a replica's log entries are durable. See the module's numbered duties.
///
/// One `LogStore` serves one group. Its methods take `&self`: reads go on while
/// an append waits for the disk. Appends, purges and resets are made by one
/// caller at a time.
#[async_trait]
pub trait LogStore: Send + Sync + 'static {
    /// Cuts the log at `batch.truncate_from`, appends `batch.entries`, and
    /// returns when both are durable. One sync for all of it.
    ///
    /// # Errors
    ///
    /// [`StorageError::Misuse`] (nothing changed), or a failure after which the
    /// store is closed (duty 11).
    async fn append(&self, batch: AppendBatch) -> Result<(), StorageError>;

    /// The entries from `first` to `last`, both included, as far as `max_bytes` goes.
    ///
    /// # Errors
    ///
    /// When the engine fails. Damage to an entry is an answer, not an error.
    async fn read(
        &self,
        first: LogIndex,
        last: LogIndex,
        max_bytes: usize,
    ) -> Result<Vec<StoredEntry>, StorageError>;

    /// Identity and kind of the entries from `first` to `last`, both included,
    /// as many as the store likes to give at once but at least one if any is there.
    ///
    /// # Errors
    ///
    /// When the engine fails, or [`StorageError::Corrupt`] when metadata itself is damaged.
    async fn metadata(
        &self,
        first: LogIndex,
        last: LogIndex,
    ) -> Result<Vec<EntryMeta>, StorageError>;

    /// What the log spans.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    async fn bounds(&self) -> Result<LogBounds, StorageError>;

    /// Forgets entries up to and including `up_to`. The space may be freed later.
    ///
    /// # Errors
    ///
    /// [`StorageError::Misuse`] when `up_to` lies beyond the log, or a failure.
    async fn purge(&self, up_to: LogId) -> Result<(), StorageError>;

    /// Replaces the whole log by the position of a snapshot: afterwards the log
    /// is empty and starts right after `snapshot`.
    ///
    /// # Errors
    ///
    /// A failure, after which the store is closed.
    async fn reset(&self, snapshot: LogId) -> Result<(), StorageError>;

    /// Replaces damaged entries by undamaged copies of the very same ones.
    ///
    /// # Errors
    ///
    /// [`StorageError::Misuse`] for an entry that is not there under this
    /// identity, or if the store cannot replace single entries, which is what
    /// the provided method says: the node then appends the log anew from there on.
    async fn repair(&self, entries: LogSlice) -> Result<(), StorageError> {
        let count = entries.len();
        let reason = format!("this store cannot replace single entries ({count} given)");
        Err(StorageError::Misuse { reason })
    }

    /// How the store is. Cheap; asked often.
    fn health(&self) -> StorageHealth;

    /// Whether `append`, `purge`, `reset` and `repair` are always done when they are
    /// polled first (and the reads too, if `repair` refuses), and never block the thread. The driver then calls them from
    /// its loop, which saves two task switches a batch. A store that waits for a
    /// disk says no, which is what the provided method says.
    fn is_done_at_once(&self) -> bool {
        false
    }
}

/// One change of the log.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AppendBatch {
    /// First entry to forget before appending, if any.
    pub truncate_from: Option<LogIndex>,
    /// What to append then.
    pub entries: LogSlice,
}

/// What a store holds at one index.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StoredEntry {
    /// The entry, verified.
    Entry(Entry),
    /// Nothing: never written, purged or truncated.
    Absent {
        /// The index asked for.
        index: LogIndex,
    },
    /// Something that is not what was written.
    Corrupt {
        /// The index asked for.
        index: LogIndex,
        /// The entry's metadata, if that is intact.
        meta: Option<EntryMeta>,
        /// How the damage shows.
        reason: String,
    },
}

/// What a log spans: `purged.index + 1 ..= last.index`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LogBounds {
    /// The last entry that was purged or replaced by a snapshot; zero if none.
    pub purged: LogId,
    /// The last entry; equal to `purged` when the log is empty.
    pub last: LogId,
}
