//! The handle for reads.

use std::path::Path;

use raft_core::{LogId, Membership, StorageError};
use raft_storage_rocks::machine::{MachineOptions, Moment, StateReader};

use super::apply::Executor;
use super::check::{NO_LIMIT, check, check_range, is_read_only};
use super::error::QueryError;
use super::machine::{Mvcc, MvccMachine};
use super::view::revision_at;
use crate::command::Command;
use crate::model::{Range, RangeResult, Txn, TxnResult};

/// Reads the replicated state. A cheap clone; it stays valid across a restore.
///
/// Each read sees one moment of the state, whatever is applied meanwhile. Reads
/// may wait for the disk: call them where blocking is allowed. Whether a read is
/// recent enough is not decided here but by asking the node before.
#[derive(Clone)]
pub struct MvccStore {
    reader: StateReader,
}

impl MvccStore {
    /// Opens the store under `path`, or creates an empty one, together with the
    /// machine that writes to it.
    ///
    /// # Errors
    ///
    /// A store that another process has open, that is damaged, or that cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<(Self, MvccMachine), StorageError> {
        Self::open_with(&MachineOptions::default(), path.as_ref())
    }

    /// Like [`Self::open`], for tests in which a flush must come soon or never.
    pub(super) fn open_with(
        options: &MachineOptions,
        path: &Path,
    ) -> Result<(Self, MvccMachine), StorageError> {
        let machine = MvccMachine::open(path, Mvcc, options)?;
        let reader = machine.reader();
        Ok((Self { reader }, machine))
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
        self.read(|executor| executor.range(range))
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
        self.read(|executor| executor.txn(txn))
    }

    /// Runs a request against this moment of the state.
    fn read<T>(
        &self,
        run: impl FnOnce(&mut Executor<'_>) -> Result<T, QueryError>,
    ) -> Result<(T, i64), QueryError> {
        self.reader.read(|moment: &Moment<'_>| {
            let revision = revision_at(moment)?;
            Ok((run(&mut Executor::new(moment, revision))?, revision))
        })
    }

    /// The revision of the last write.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn revision(&self) -> Result<i64, StorageError> {
        self.reader.read(revision_at)
    }

    /// The last entry whose effect a read sees.
    pub fn last_applied(&self) -> LogId {
        self.reader.applied().last_applied
    }

    /// The membership in force there; nothing before the first membership entry.
    pub fn membership(&self) -> Option<Membership> {
        self.reader.applied().membership
    }

    /// Bytes that the state takes on disk. What was applied lately is not yet there.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn size_on_disk(&self) -> Result<u64, StorageError> {
        self.reader.size_on_disk()
    }

    /// A checksum over the whole state: equal on all replicas that applied the
    /// same entries. Reads everything.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn hash(&self) -> Result<u32, StorageError> {
        self.reader.checksum()
    }
}
