//! Opens a database and hands out the stores of its groups.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use raft_core::{GroupId, StorageError};
use rocksdb::DB;

use crate::error::StoreError;
use crate::identity::{Identity, IdentityRecord};
use crate::keys::{COLUMN_FAMILIES, IDENTITY, IDENTITY_KEY, META, STATE};
use crate::log_store::RocksLogStore;
use crate::options::RocksOptions;
use crate::record::{self, Kind};
use crate::stable_store::RocksStableStore;
use crate::writer::Writer;

/// The newest format this version reads and writes.
const FORMAT: u16 = 1;

/// The database of one node. Clones share it; it closes with the last clone
/// and the last store it handed out.
#[derive(Clone)]
pub struct RocksStore {
    db: Arc<DB>,
    writer: Arc<Writer>,
}

impl RocksStore {
    /// Opens the store in `path`, creating it if there is none.
    ///
    /// Blocks on the disk: a fraction of a second, or longer when much of the
    /// write-ahead log is to be replayed.
    ///
    /// # Errors
    ///
    /// When the directory belongs to another node, has an unknown format, is in
    /// use, is damaged, or cannot be read or written.
    pub fn open(
        path: impl AsRef<Path>,
        options: &RocksOptions,
        identity: Identity,
    ) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let db = DB::open_cf(&options.database(), path, COLUMN_FAMILIES)
            .map_err(|source| cannot_open(path, source))?;
        check_identity(&db, path, identity, options)?;
        let db = Arc::new(db);
        let writer = Arc::new(Writer::spawn(Arc::clone(&db), options.writes()));
        Ok(Self { db, writer })
    }

    /// The log of `group`.
    ///
    /// # Errors
    ///
    /// When its bounds cannot be read.
    pub fn log_store(&self, group: GroupId) -> Result<RocksLogStore, StorageError> {
        RocksLogStore::open(Arc::clone(&self.db), Arc::clone(&self.writer), group)
    }

    /// The term and vote of `group`.
    pub fn stable_store(&self, group: GroupId) -> RocksStableStore {
        RocksStableStore::new(Arc::clone(&self.db), Arc::clone(&self.writer), group)
    }
}

fn cannot_open(path: &Path, source: rocksdb::Error) -> StoreError {
    let path = PathBuf::from(path);
    let text = source.to_string();
    if text.contains("lock file") || text.contains("lock hold") {
        StoreError::InUse { path }
    } else if source.kind() == rocksdb::ErrorKind::Corruption {
        StoreError::Damaged { path, reason: text }
    } else {
        StoreError::Engine { path, source }
    }
}

fn check_identity(
    db: &DB,
    path: &Path,
    expected: Identity,
    options: &RocksOptions,
) -> Result<(), StoreError> {
    let engine = |source| StoreError::Engine {
        path: path.into(),
        source,
    };
    let family = db
        .cf_handle(IDENTITY)
        .expect("opened with all column families");
    let Some(stored) = db.get_cf(family, IDENTITY_KEY).map_err(engine)? else {
        if !is_empty(db) {
            let reason = "it holds entries or a vote but not whose they are".to_owned();
            return Err(StoreError::Damaged {
                path: path.into(),
                reason,
            });
        }
        let record = IdentityRecord {
            format: FORMAT,
            identity: expected,
        };
        let bytes = record::encode(IDENTITY_KEY, Kind::Identity, &record);
        return db
            .put_cf_opt(family, IDENTITY_KEY, bytes, &options.writes())
            .map_err(engine);
    };
    let record: IdentityRecord =
        record::decode(IDENTITY_KEY, Kind::Identity, &stored).map_err(|reason| {
            StoreError::Damaged {
                path: path.into(),
                reason: format!("its identity record is damaged: {reason}"),
            }
        })?;
    if record.format > FORMAT {
        let (found, supported) = (record.format, FORMAT);
        return Err(StoreError::UnknownFormat {
            path: path.into(),
            found,
            supported,
        });
    }
    if record.identity != expected {
        let found = record.identity;
        return Err(StoreError::AnotherNode {
            path: path.into(),
            found,
            expected,
        });
    }
    Ok(())
}

fn is_empty(db: &DB) -> bool {
    [STATE, META].iter().all(|name| {
        let family = db.cf_handle(name).expect("opened with all column families");
        db.iterator_cf(family, rocksdb::IteratorMode::Start)
            .next()
            .is_none()
    })
}
