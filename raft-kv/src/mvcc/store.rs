//! The handle for reads.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use raft_core::{LogId, Membership, StorageError};
use rocksdb::ReadOptions;

use super::apply::Executor;
use super::check::{NO_LIMIT, check, check_range, is_read_only};
use super::error::{QueryError, from_rocks};
use super::flush;
use super::machine::MvccMachine;
use super::state::{Family, Shared};
use crate::command::Command;
use crate::model::{Range, RangeResult, Txn, TxnResult};

/// Reads the replicated state. A cheap clone; it stays valid across a restore.
///
/// Each read sees one moment of the state, whatever is applied meanwhile. Reads
/// may wait for the disk: call them where blocking is allowed. Whether a read is
/// recent enough is not decided here but by asking the node before.
#[derive(Clone)]
pub struct MvccStore {
    shared: Arc<Shared>,
}

impl MvccStore {
    /// Opens the store under `path`, or creates an empty one, together with the
    /// machine that writes to it.
    ///
    /// # Errors
    ///
    /// A store that another process has open, that is damaged, or that cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<(Self, MvccMachine), StorageError> {
        Self::open_flushing_every(flush::INTERVAL, path.as_ref())
    }

    /// Like [`Self::open`], for tests in which a flush must come soon or never.
    pub(super) fn open_flushing_every(
        interval: Duration,
        path: &Path,
    ) -> Result<(Self, MvccMachine), StorageError> {
        let shared = Arc::new(Shared::open(path)?);
        let machine = MvccMachine::new(Arc::clone(&shared), interval)?;
        Ok((Self { shared }, machine))
    }

    /// Answers a range together with the store's revision at that moment.
    ///
    /// Costs the keys of the range: all of them are counted, whatever the limit.
    ///
    /// # Errors
    ///
    /// A request that makes no sense, or a failing disk.
    pub fn range(&self, range: &Range) -> Result<(RangeResult, i64), QueryError> {
        check_range(range)?;
        let state = self.shared.state();
        let base = state.base();
        let revision = base.revision()?;
        Ok((Executor::new(&base, revision).range(range)?, revision))
    }

    /// Answers a transaction that writes nothing, with the store's revision at that moment.
    ///
    /// # Errors
    ///
    /// A transaction that makes no sense or that writes, or a failing disk.
    pub fn txn_read_only(&self, txn: &Txn) -> Result<(TxnResult, i64), QueryError> {
        if !is_read_only(txn) {
            let reason = "a transaction that writes has to go through the log".to_owned();
            return Err(StorageError::Misuse { reason }.into());
        }
        check(&Command::Txn(txn.clone()), NO_LIMIT)?;
        let state = self.shared.state();
        let base = state.base();
        let revision = base.revision()?;
        Ok((Executor::new(&base, revision).txn(txn)?, revision))
    }

    /// The revision of the last write.
    pub fn revision(&self) -> i64 {
        self.shared.state().position().revision
    }

    /// The last entry whose effect a read sees.
    pub fn last_applied(&self) -> LogId {
        self.shared.state().position().applied.last_applied
    }

    /// The membership in force there; nothing before the first membership entry.
    pub fn membership(&self) -> Option<Membership> {
        self.shared.state().position().applied.membership
    }

    /// Bytes that the state takes on disk. What was applied lately is not yet there.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn size_on_disk(&self) -> Result<u64, StorageError> {
        self.shared.state().size_on_disk()
    }

    /// A checksum over the whole state: equal on all replicas that applied the
    /// same entries. Reads everything.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn hash(&self) -> Result<u32, StorageError> {
        let state = self.shared.state();
        let base = state.base();
        let mut hasher = crc32fast::Hasher::new();
        for (tag, family) in (0u8..).zip(Family::ALL) {
            let mut records = base.scan(family, ReadOptions::default());
            records.seek_to_first();
            while let Some((key, value)) = records.item() {
                hasher.update(&[tag]);
                hasher.update(&(key.len() as u64).to_be_bytes());
                hasher.update(key);
                hasher.update(&(value.len() as u64).to_be_bytes());
                hasher.update(value);
                records.next();
            }
            records.status().map_err(from_rocks("hashing the state"))?;
        }
        Ok(hasher.finalize())
    }
}
