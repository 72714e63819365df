//! Opens a database and hands out the stores of its groups.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use raft_core::{GroupId, StorageError};
use rocksdb::{DB, ErrorKind};

use crate::error::StoreError;
use crate::group::{Group, RecentBudget};
use crate::identity::{self, Identity};
use crate::keys::{COLUMN_FAMILIES, DEFAULT};
use crate::log_store::RocksLogStore;
use crate::manifest;
use crate::merging::Merging;
use crate::options::RocksOptions;
use crate::read::Reader;
use crate::refused::says_full;
use crate::stable_store::RocksStableStore;
use crate::survey::{DamagedPart, Finding, Pace, Survey, Surveyed};
use crate::watermark::Watermark;
use crate::writer::Writer;

/// The database of one node. Clones share it; it closes with the last clone
/// and the last store it handed out.
#[derive(Clone)]
pub struct RocksStore {
    db: Arc<DB>,
    writer: Arc<Writer>,
    identity: Identity,
    merging: Arc<Merging>,
    /// The logs opened so far: handles to one log agree on what it spans.
    logs: Arc<Mutex<BTreeMap<GroupId, Arc<Group>>>>,
    recent: Arc<RecentBudget>,
}

impl RocksStore {
    /// Opens the store in `path`, creating it if there is none.
    ///
    /// Blocks on the disk: a fraction of a second, or longer when much of the
    /// write-ahead log is to be replayed.
    ///
    /// # Errors
    ///
    /// When the directory belongs to another node or to something else, has an
    /// unknown format, is in use, is damaged, or cannot be read or written.
    pub fn open(
        path: impl AsRef<Path>,
        options: &RocksOptions,
        identity: Identity,
    ) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let database = options.database();
        refuse_other_databases(&database, path)?;
        let db = DB::open_cf_descriptors(&database, path, options.column_families())
            .map_err(|source| cannot_open(path, source))?;
        let watermark = open_watermark(&db, path, options)?;
        identity::claim(&db, path, identity, &options.writes())?;
        let db = Arc::new(db);
        let merging =
            Merging::begin(Arc::clone(&db)).map_err(|source| cannot_open(path, source))?;
        let writer = Writer::spawn(
            Arc::clone(&db),
            path,
            options,
            watermark,
            Arc::clone(&merging),
        )
        .map_err(|source| StoreError::Thread { source })?;
        Ok(Self {
            db,
            writer: Arc::new(writer),
            identity,
            merging,
            logs: Arc::default(),
            recent: RecentBudget::new(options.recent_bytes),
        })
    }

    /// Whose the store in `path` is, without opening it for writing; nothing for
    /// a store that nobody has claimed. For tools: it is no lock.
    ///
    /// # Errors
    ///
    /// When there is no store, or as in [`RocksStore::open`].
    pub fn identity_in(path: impl AsRef<Path>) -> Result<Option<Identity>, StoreError> {
        let path = path.as_ref();
        identity::stored(&open_read_only(path)?, path)
    }

    /// Reads everything, while the store is in use, and hands each damaged thing to
    /// `found`. Blocks; damage is no error.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn scrub(
        &self,
        pace: &Pace,
        mut found: impl FnMut(Finding),
    ) -> Result<Surveyed, StorageError> {
        let survey = Survey {
            db: &self.db,
            directory: self.db.path(),
            first_life: self.identity.incarnation,
            met: &|unreadable| self.merging.look_at(unreadable),
        };
        survey.scrub(pace, &mut |finding| {
            if !matches!(finding.what, DamagedPart::Entry { .. }) {
                self.merging.end();
            }
            found(finding);
        })
    }

    /// The log of `group`. Handles to the same log may be used side by side.
    ///
    /// # Errors
    ///
    /// When its bounds cannot be read or are damaged.
    pub fn log_store(&self, group: GroupId) -> Result<RocksLogStore, StorageError> {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let log = match logs.entry(group) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(place) => {
                let reader = Reader::new(&self.db, group);
                let (bounds, has_copies) = (reader.bounds(), reader.has_copies());
                self.merging.look_at(reader.unreadable());
                let (bounds, has_copies) = (bounds?, has_copies?);
                let budget = Arc::clone(&self.recent);
                Arc::clone(place.insert(Arc::new(Group::new(group, bounds, has_copies, budget))))
            }
        };
        let (db, writer) = (Arc::clone(&self.db), Arc::clone(&self.writer));
        Ok(RocksLogStore::new(
            db,
            writer,
            log,
            Arc::clone(&self.merging),
        ))
    }

    /// The term and vote of `group`.
    pub fn stable_store(&self, group: GroupId) -> RocksStableStore {
        let (db, writer) = (Arc::clone(&self.db), Arc::clone(&self.writer));
        RocksStableStore::new(db, writer, group, self.identity.incarnation)
    }

    /// Makes the next write fail before it reaches the disk, and so closes the
    /// store for writing: for tests of what a node does then.
    pub fn fail_next_write(&self) {
        self.writer.fail_next_write();
    }
}

fn holds_database(path: &Path) -> bool {
    // RocksDB's pointer to what the database consists of.
    path.join("CURRENT").exists()
}

/// A database with column families of others is not ours to add to.
fn refuse_other_databases(database: &rocksdb::Options, path: &Path) -> Result<(), StoreError> {
    if !holds_database(path) {
        return Ok(());
    }
    // A file that cannot be read is told by what RocksDB says of it.
    if manifest::is_endless(path).unwrap_or_default() {
        return Err(StoreError::Damaged {
            path: path.into(),
            reason: "its manifest holds a record of a type that no manifest has".into(),
        });
    }
    let names = DB::list_cf(database, path).map_err(|source| cannot_open(path, source))?;
    let stranger = names
        .into_iter()
        .find(|name| name != DEFAULT && !COLUMN_FAMILIES.contains(&name.as_str()));
    match stranger {
        Some(name) => Err(StoreError::Foreign {
            path: path.into(),
            reason: format!("it has a column family {name:?}"),
        }),
        None => Ok(()),
    }
}

/// Opens a database that is there, to look at it.
pub(crate) fn open_read_only(path: &Path) -> Result<DB, StoreError> {
    if !holds_database(path) {
        return Err(StoreError::Foreign {
            path: path.into(),
            reason: "there is no database".into(),
        });
    }
    let mut database = RocksOptions::default().database();
    database.create_if_missing(false);
    database.create_missing_column_families(false);
    refuse_other_databases(&database, path)?;
    DB::open_cf_for_read_only(&database, path, COLUMN_FAMILIES, false)
        .map_err(|source| cannot_open(path, source))
}

fn open_watermark(
    db: &DB,
    path: &Path,
    options: &RocksOptions,
) -> Result<Option<Watermark>, StoreError> {
    let (watermark, acknowledged) =
        Watermark::open(path).map_err(|source| no_watermark(path, source))?;
    check_recovered(db, path, acknowledged)?;
    // Without syncs nothing is known to be durable, and a watermark could be ahead.
    Ok(options.sync.then_some(watermark))
}

/// Refuses a database that holds less than was acknowledged.
pub(crate) fn check_watermark(db: &DB, path: &Path) -> Result<(), StoreError> {
    let acknowledged = Watermark::read(path).map_err(|source| no_watermark(path, source))?;
    check_recovered(db, path, acknowledged)
}

fn no_watermark(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Watermark {
        path: path.into(),
        source,
    }
}

fn check_recovered(db: &DB, path: &Path, acknowledged: Option<u64>) -> Result<(), StoreError> {
    let found = db.latest_sequence_number();
    match acknowledged {
        Some(acknowledged) if found < acknowledged => Err(StoreError::Damaged {
            path: path.into(),
            reason: format!(
                "its write-ahead log ends at change {found}, but changes up to {acknowledged} \
                 were acknowledged"
            ),
        }),
        _ => Ok(()),
    }
}

fn cannot_open(path: &Path, source: rocksdb::Error) -> StoreError {
    let path = path.into();
    let text: &str = source.as_ref();
    // RocksDB has no kind for this: "While lock file" from another process,
    // "lock hold by current process" from this one.
    if text.contains("lock file") || text.contains("lock hold") {
        StoreError::InUse { path }
    } else if says_full(text) {
        StoreError::Full { path, source }
    } else if source.kind() == ErrorKind::Corruption {
        StoreError::Damaged {
            path,
            reason: source.into_string(),
        }
    } else {
        StoreError::Engine { path, source }
    }
}
