//! The handle for queries.

use std::sync::Arc;

use raft_core::{AppliedState, LogIndex, StorageError};
use rocksdb::ReadOptions;

use super::active::Active;
use super::moment::Moment;
use super::position::{MEMBERSHIP, RAFT};
use super::storage_error;

/// Reads the state of a [`RocksMachine`](super::RocksMachine). A cheap clone; it stays
/// valid across a restore, and keeps the database open.
///
/// Reads may wait for the disk: call them where blocking is allowed. Whether a read is
/// recent enough is not decided here but by asking the node before.
#[derive(Clone)]
pub struct StateReader {
    active: Arc<Active>,
}

impl StateReader {
    pub(super) const fn new(active: Arc<Active>) -> Self {
        Self { active }
    }

    /// Hands this moment of the state to `read`.
    pub fn read<T>(&self, read: impl FnOnce(&Moment<'_>) -> T) -> T {
        read(&self.active.state().moment())
    }

    /// Where the state stands: what a read sees by now. Costs no read.
    pub fn applied(&self) -> AppliedState {
        self.active.state().position()
    }

    /// The position up to which a crash loses nothing.
    pub fn durable_applied(&self) -> LogIndex {
        self.active.state().durable()
    }

    /// Bytes that the state takes on disk. What was applied lately is not yet there.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn size_on_disk(&self) -> Result<u64, StorageError> {
        self.active.state().size_on_disk()
    }

    /// A checksum over the application's records and the position: equal on all replicas
    /// that stand at the same entry, however they came there. Reads everything.
    ///
    /// The membership is not in it: it is the protocol's, and a replica that was restored has
    /// the one that came with the snapshot, where others may have none yet.
    ///
    /// # Errors
    ///
    /// When the disk fails, or what it holds is damaged.
    pub fn checksum(&self) -> Result<u32, StorageError> {
        let state = self.active.state();
        let moment = state.moment();
        let mut hasher = crc32fast::Hasher::new();
        for (tag, family) in (0_u64..).zip(state.layout.all()) {
            let mut records = moment.scan(family, ReadOptions::default());
            records.seek_to_first();
            while let Some((key, value)) = records.item() {
                if (family, key) == (RAFT, MEMBERSHIP) {
                    records.next();
                    continue;
                }
                for number in [tag, key.len() as u64, value.len() as u64] {
                    hasher.update(&number.to_be_bytes());
                }
                hasher.update(key);
                hasher.update(value);
                records.next();
            }
            let walked = records.status();
            walked.map_err(storage_error("summing up the state"))?;
        }
        Ok(hasher.finalize())
    }
}
