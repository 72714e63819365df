//! What an application sees of its state, and what it changes.
//!
//! A snapshot's reader sets aside memory for one record at a time. So records have a
//! greatest length, and a longer one is refused where it is written: once it were in the
//! state, no snapshot of that could be restored.

use raft_core::{AppliedState, StorageError};
use rocksdb::{DBRawIterator, ReadOptions, Snapshot, WriteBatch};

use super::position::{self, RAFT};
use super::state::State;
use super::storage_error;

/// The longest record of a state, key and value together: 256 MiB.
pub const MAX_RECORD_BYTES: usize = 256 << 20;

/// A record has more than [`MAX_RECORD_BYTES`].
///
/// Every replica refuses the same ones, so an application that answers a command with a
/// refusal then stays deterministic. Handed on by `?`, it ends the node.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a record of {bytes} bytes, at most {MAX_RECORD_BYTES} can be restored from a snapshot")]
pub struct RecordTooLong {
    /// How many it has.
    pub bytes: usize,
}

impl From<RecordTooLong> for StorageError {
    fn from(refused: RecordTooLong) -> Self {
        let reason = refused.to_string();
        Self::Misuse { reason }
    }
}

/// Refuses a record that could not be restored from a snapshot.
pub(super) const fn check_length(key: usize, value: usize) -> Result<(), RecordTooLong> {
    match key.saturating_add(value) {
        bytes if bytes > MAX_RECORD_BYTES => Err(RecordTooLong { bytes }),
        _ => Ok(()),
    }
}

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
    /// # Errors
    ///
    /// When key and value are longer than [`MAX_RECORD_BYTES`] together. Nothing is set,
    /// and the application may answer its command so.
    ///
    /// # Panics
    ///
    /// If there is no such column family.
    pub fn put(
        &mut self,
        family: &str,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<(), RecordTooLong> {
        let (key, value) = (key.as_ref(), value.as_ref());
        check_length(key.len(), value.len())?;
        self.batch.put_cf(self.state.family(family), key, value);
        Ok(())
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
