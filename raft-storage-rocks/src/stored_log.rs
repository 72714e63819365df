//! A store that is looked at and not changed: for tools.

use std::path::{Path, PathBuf};

use raft_core::{GroupId, LogBounds, LogIndex, StableState, StorageError, StoredEntry};
use rocksdb::DB;

use crate::error::StoreError;
use crate::identity::{self, Identity};
use crate::read::Reader;
use crate::store;
use crate::survey::{Finding, Pace, Survey, Surveyed};

/// A store as it is on the disk, opened for reading alone.
///
/// Nothing is changed, not even what a crash left half written. It is no lock: of a
/// store that a node has open it may see files that are gone a moment later, and
/// report that; stop the node first.
///
/// All calls block on the disk.
pub struct StoredLog {
    db: DB,
    directory: PathBuf,
    identity: Identity,
}

impl StoredLog {
    /// Opens the store in `path`.
    ///
    /// # Errors
    ///
    /// As [`RocksStore::open`](crate::RocksStore::open), and when there is no store, or
    /// one that nobody has claimed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let db = store::open_read_only(path)?;
        store::check_watermark(&db, path)?;
        let identity = identity::stored(&db, path)?.ok_or_else(|| StoreError::Foreign {
            path: path.into(),
            reason: "nobody has written to it yet".into(),
        })?;
        Ok(Self {
            db,
            directory: path.into(),
            identity,
        })
    }

    /// Whose it is.
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// The groups of which anything is stored.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn groups(&self) -> Result<Vec<GroupId>, StorageError> {
        self.survey().groups()
    }

    /// Term and vote of `group`.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn vote(&self, group: GroupId) -> Result<StableState, StorageError> {
        self.survey().vote(group)
    }

    /// What the log of `group` spans.
    ///
    /// # Errors
    ///
    /// When the disk fails, or what says so is damaged.
    pub fn bounds(&self, group: GroupId) -> Result<LogBounds, StorageError> {
        Reader::new(&self.db, group).bounds()
    }

    /// The entries of a range, as [`LogStore::read`](raft_core::LogStore::read) has them.
    ///
    /// # Errors
    ///
    /// When the disk fails, or what says where the log ends is damaged.
    pub fn read(
        &self,
        group: GroupId,
        first: LogIndex,
        last: LogIndex,
        max_bytes: usize,
    ) -> Result<Vec<StoredEntry>, StorageError> {
        let reader = Reader::new(&self.db, group);
        reader.entries(reader.bounds()?, first, last, max_bytes)
    }

    /// Reads everything, and hands each damaged thing to `found`. Damage is no error.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn scrub(
        &self,
        pace: &Pace,
        mut found: impl FnMut(Finding),
    ) -> Result<Surveyed, StorageError> {
        self.survey().scrub(pace, &mut found)
    }

    fn survey(&self) -> Survey<'_> {
        Survey {
            db: &self.db,
            directory: &self.directory,
            first_life: self.identity.incarnation,
            met: &|_| (),
        }
    }
}
