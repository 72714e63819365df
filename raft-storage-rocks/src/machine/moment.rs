//! What an application sees of its state, and what it changes.

use raft_core::{AppliedState, StorageError};
use rocksdb::{DBRawIterator, ReadOptions, Snapshot, WriteBatch};

use super::position::{self, RAFT};
use super::state::State;
use super::storage_error;

/// The state at one moment, whatever is applied meanwhile. Holding it for long keeps
/// what was overwritten since on the disk.
pub struct Moment<'a> {
    state: &'a State,
    snapshot: Snapshot<'a>,
}

impl<'a> Moment<'a> {
    pub(super) fn new(state: &'a State) -> Self {
        Self {
            state,
            snapshot: state.db().snapshot(),
        }
    }

    /// Where the state stood at that moment.
    ///
    /// # Errors
    ///
    /// When the disk fails, or what it holds is damaged.
    pub fn applied(&self) -> Result<AppliedState, StorageError> {
        position::read(|key| self.get(RAFT, key))
    }

    /// The value of a key.
    ///
    /// # Errors
    ///
    /// When the disk fails, or what it holds is damaged.
    ///
    /// # Panics
    ///
    /// If there is no such column family.
    pub fn get(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.snapshot
            .get_cf(self.state.family(family), key)
            .map_err(storage_error("reading the state"))
    }

    /// A walk over a column family. Whoever walks to the end looks at the iterator's
    /// `status` then: a walk ends at a failure, too.
    ///
    /// # Panics
    ///
    /// If there is no such column family.
    pub fn scan(&self, family: &str, options: ReadOptions) -> DBRawIterator<'_> {
        let family = self.state.family(family);
        self.snapshot.raw_iterator_cf_opt(family, options)
    }
}

/// What a batch of commands changes. It takes effect as a whole, with the position.
pub struct Changes<'a> {
    state: &'a State,
    batch: WriteBatch,
}

impl<'a> Changes<'a> {
    pub(super) fn new(state: &'a State) -> Self {
        Self {
            state,
            batch: WriteBatch::default(),
        }
    }

    pub(super) fn into_batch(self) -> WriteBatch {
        self.batch
    }

    /// Sets the value of a key.
    ///
    /// # Panics
    ///
    /// If there is no such column family.
    pub fn put(&mut self, family: &str, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.batch.put_cf(self.state.family(family), key, value);
    }

    /// Removes a key, if it is there.
    ///
    /// # Panics
    ///
    /// If there is no such column family.
    pub fn delete(&mut self, family: &str, key: impl AsRef<[u8]>) {
        self.batch.delete_cf(self.state.family(family), key);
    }

    /// Removes the keys from `from` up to, but without, `to`.
    ///
    /// # Panics
    ///
    /// If there is no such column family.
    pub fn delete_range<K: AsRef<[u8]>>(&mut self, family: &str, from: K, to: K) {
        let family = self.state.family(family);
        self.batch.delete_range_cf(family, from, to);
    }
}
