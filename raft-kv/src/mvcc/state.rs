//! One RocksDB that holds one state, and which of them is in use.
//!
//! See the drawing in [`super`]. A reader keeps the state it began with, also
//! while a restore puts another in its place; an obsolete state removes its
//! directory once its last reader is gone.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use raft_core::{AppliedState, LogIndex, StorageError};
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, FlushOptions, LogLevel, Options, WriteBatch,
};

use super::error::{corrupt, from_rocks};
use super::view::Base;

const ACTIVE: &str = "ACTIVE";
const DIRECTORY_PREFIX: &str = "state-";
const MEMTABLE_BYTES: usize = 32 << 20;
/// The rest is reopened on demand, so that a large store does not exhaust file handles.
const OPEN_FILES: i32 = 512;

/// The column families.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Family {
    Meta,
    Keys,
    Revisions,
}

impl Family {
    pub(super) const ALL: [Self; 3] = [Self::Meta, Self::Keys, Self::Revisions];

    const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Keys => "keys",
            Self::Revisions => "revisions",
        }
    }
}

/// Where the state stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Position {
    pub(super) applied: AppliedState,
    pub(super) revision: i64,
}

/// One state on disk.
pub(super) struct State {
    /// Taken only by `drop`, which must close it before it removes the directory.
    db: Option<DB>,
    directory: PathBuf,
    number: u64,
    position: RwLock<Position>,
    durable: AtomicU64,
    unflushed_bytes: AtomicU64,
    closed: AtomicBool,
    obsolete: AtomicBool,
    /// Held while a batch is worked out and written: an apply whose caller gave up goes on.
    writing: Mutex<()>,
}

impl State {
    /// Opens the state in use under `root`, or begins an empty one.
    pub(super) fn open_active(root: &Path) -> Result<Self, StorageError> {
        fs::create_dir_all(root).map_err(|e| StorageError::io("creating the data directory", e))?;
        let state = match read_active(root)? {
            Some(number) => Self::open_existing(root, number)?,
            None => Self::begin(root)?,
        };
        state.remove_others(root)?;
        Ok(state)
    }

    fn open_existing(root: &Path, number: u64) -> Result<Self, StorageError> {
        if !directory(root, number).is_dir() {
            let reason = format!("it names {DIRECTORY_PREFIX}{number}, which is not there");
            return Err(corrupt(root.join(ACTIVE).display().to_string(), reason));
        }
        Self::open(root, number, false)
    }

    /// The first start, or one that follows a crash in the middle of the first start.
    fn begin(root: &Path) -> Result<Self, StorageError> {
        let numbers = state_numbers(root)?;
        let state = Self::open(root, 1, true)?;
        let untouched = state.position().applied.last_applied.index == LogIndex::ZERO;
        if !untouched || numbers.iter().any(|&number| number != 1) {
            let reason = "it is missing, yet there is data beside it";
            return Err(corrupt(root.join(ACTIVE).display().to_string(), reason));
        }
        state.activate(root)?;
        Ok(state)
    }

    /// An empty state beside `self`, removed again when dropped unless it is activated.
    pub(super) fn begin_successor(&self, root: &Path) -> Result<Self, StorageError> {
        let number = self.number + 1;
        let path = directory(root, number);
        if path.exists() {
            fs::remove_dir_all(&path)
                .map_err(|e| StorageError::io("removing an unfinished restore", e))?;
        }
        let state = Self::open(root, number, true)?;
        state.obsolete.store(true, Ordering::Relaxed);
        Ok(state)
    }

    fn open(root: &Path, number: u64, create: bool) -> Result<Self, StorageError> {
        let directory = directory(root, number);
        let families = Family::ALL.map(|f| ColumnFamilyDescriptor::new(f.name(), family_options()));
        let db = DB::open_cf_descriptors(&database_options(create), &directory, families)
            .map_err(from_rocks("opening the key-value database"))?;
        let nothing = Position {
            applied: AppliedState::default(),
            revision: 1,
        };
        let state = Self {
            db: Some(db),
            directory,
            number,
            position: RwLock::new(nothing),
            durable: AtomicU64::new(0),
            unflushed_bytes: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            obsolete: AtomicBool::new(false),
            writing: Mutex::new(()),
        };
        // Without a log of its own, what the database holds at open is what it flushed.
        state.reload_position()?;
        state
            .durable
            .store(state.applied_index(), Ordering::Release);
        Ok(state)
    }

    /// Makes this state the one that the next start opens.
    pub(super) fn activate(&self, root: &Path) -> Result<(), StorageError> {
        let text = format!("{DIRECTORY_PREFIX}{}\n", self.number);
        // Kept from now on, whatever follows: if the switch fails half way, the
        // next start may find either state named, and must find both.
        self.obsolete.store(false, Ordering::Relaxed);
        replace_durably(root, ACTIVE, &text)
            .map_err(|e| StorageError::io("switching to the new state", e))
    }

    /// Lets the directory go with the last reader.
    pub(super) fn retire(&self) {
        self.obsolete.store(true, Ordering::Relaxed);
    }

    pub(super) fn db(&self) -> &DB {
        self.db
            .as_ref()
            .expect("the database is taken only when dropped")
    }

    pub(super) fn family(&self, family: Family) -> &ColumnFamily {
        self.db()
            .cf_handle(family.name())
            .expect("every column family is opened with the database")
    }

    /// A view of this moment.
    pub(super) fn base(&self) -> Base<'_> {
        Base::new(self)
    }

    pub(super) fn position(&self) -> Position {
        self.position
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn durable(&self) -> LogIndex {
        LogIndex::new(self.durable.load(Ordering::Acquire))
    }

    pub(super) fn unflushed_bytes(&self) -> u64 {
        self.unflushed_bytes.load(Ordering::Relaxed)
    }

    /// Whether a write failed, so that no more are made.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// No more writes are made.
    fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// One writer at a time.
    pub(super) fn lock_for_writing(&self) -> Result<MutexGuard<'_, ()>, StorageError> {
        let guard = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_closed() {
            return Err(StorageError::Closed);
        }
        Ok(guard)
    }

    /// Writes a batch that leads to `position`, without RocksDB's log. A failure closes the
    /// state, but for a full disk, which changes nothing.
    pub(super) fn write(&self, batch: WriteBatch, position: Position) -> Result<(), StorageError> {
        let bytes = batch.size_in_bytes() as u64;
        self.closing_on_failure("applying entries", |db| db.write_without_wal(batch))?;
        self.unflushed_bytes.fetch_add(bytes, Ordering::Relaxed);
        *self
            .position
            .write()
            .unwrap_or_else(PoisonError::into_inner) = position;
        Ok(())
    }

    /// Reads the position from disk, after writes that did not say where they lead.
    pub(super) fn reload_position(&self) -> Result<Position, StorageError> {
        let position = self.base().position()?;
        *self
            .position
            .write()
            .unwrap_or_else(PoisonError::into_inner) = position.clone();
        Ok(position)
    }

    /// Makes what is applied now durable, all column families at the same moment. A full
    /// disk leaves it in memory: then it can be tried again.
    pub(super) fn flush(&self) -> Result<(), StorageError> {
        let (reached, bytes) = (self.applied_index(), self.unflushed_bytes());
        let mut options = FlushOptions::default();
        options.set_wait(true);
        let families = Family::ALL.map(|family| self.family(family));
        let families: Vec<_> = families.iter().collect();
        self.closing_on_failure("flushing applied entries", |db| {
            db.flush_cfs_opt(&families, &options)
        })?;
        self.unflushed_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.durable.fetch_max(reached, Ordering::AcqRel);
        Ok(())
    }

    /// Bytes of the files of this state.
    pub(super) fn size_on_disk(&self) -> Result<u64, StorageError> {
        let failed = |e| StorageError::io("measuring the key-value database", e);
        let mut sum = 0;
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            match entry.and_then(|entry| entry.metadata()) {
                Ok(metadata) => sum += metadata.len(),
                // A compaction removed the file while we looked.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(sum)
    }

    fn applied_index(&self) -> u64 {
        self.position().applied.last_applied.index.get()
    }

    fn closing_on_failure(
        &self,
        doing: &'static str,
        write: impl FnOnce(&DB) -> Result<(), rocksdb::Error>,
    ) -> Result<(), StorageError> {
        if self.is_closed() {
            return Err(StorageError::Closed);
        }
        write(self.db()).map_err(|error| match from_rocks(doing)(error) {
            // Nothing was changed, and RocksDB takes writes again once there is space.
            full @ StorageError::Full { .. } => full,
            failure => {
                self.close();
                failure
            }
        })
    }

    /// Removes what earlier restores left. Our database is open and locked, so no
    /// other process is in the middle of one.
    fn remove_others(&self, root: &Path) -> Result<(), StorageError> {
        for number in state_numbers(root)? {
            if number != self.number {
                fs::remove_dir_all(directory(root, number))
                    .map_err(|e| StorageError::io("removing an obsolete state", e))?;
            }
        }
        Ok(())
    }
}

impl Drop for State {
    fn drop(&mut self) {
        drop(self.db.take());
        if *self.obsolete.get_mut() {
            // Failing leaves files that the next open removes.
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// The state in use, for all handles of one store.
pub(super) struct Shared {
    root: PathBuf,
    active: RwLock<Arc<State>>,
}

impl Shared {
    pub(super) fn open(root: &Path) -> Result<Self, StorageError> {
        Ok(Self {
            root: root.to_owned(),
            active: RwLock::new(Arc::new(State::open_active(root)?)),
        })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn state(&self) -> Arc<State> {
        Arc::clone(&self.active.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts `successor` in the place of the state in use, durably.
    pub(super) fn replace(&self, successor: Arc<State>) -> Result<(), StorageError> {
        if let Err(error) = successor.activate(&self.root) {
            // Which of the two the next start opens is open: neither may change.
            self.state().close();
            return Err(error);
        }
        let mut active = self.active.write().unwrap_or_else(PoisonError::into_inner);
        active.retire();
        *active = successor;
        Ok(())
    }
}

fn database_options(create: bool) -> Options {
    let mut options = Options::default();
    options.create_if_missing(create);
    options.create_missing_column_families(create);
    // Data and position live in different families: a crash must not part them.
    options.set_atomic_flush(true);
    options.set_max_open_files(OPEN_FILES);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(2);
    options
}

fn family_options() -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(MEMTABLE_BYTES);
    options.set_compression_type(rocksdb::DBCompressionType::Lz4);
    options
}

fn directory(root: &Path, number: u64) -> PathBuf {
    root.join(format!("{DIRECTORY_PREFIX}{number}"))
}

fn parse_number(name: &str) -> Option<u64> {
    name.strip_prefix(DIRECTORY_PREFIX)?.parse().ok()
}

fn read_active(root: &Path) -> Result<Option<u64>, StorageError> {
    let path = root.join(ACTIVE);
    match fs::read_to_string(&path) {
        Ok(text) => match parse_number(text.trim_end()) {
            Some(number) => Ok(Some(number)),
            None => Err(corrupt(
                path.display().to_string(),
                format!("it holds {text:?}"),
            )),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::io("reading which state is in use", error)),
    }
}

fn state_numbers(root: &Path) -> Result<Vec<u64>, StorageError> {
    let failed = |e| StorageError::io("listing the data directory", e);
    let mut numbers = Vec::new();
    for entry in fs::read_dir(root).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        numbers.extend(name.to_str().and_then(parse_number));
    }
    Ok(numbers)
}

/// After a crash the file holds the old text or the new one.
fn replace_durably(root: &Path, name: &str, text: &str) -> io::Result<()> {
    let fresh = root.join(format!("{name}.new"));
    let mut file = File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    // The new state's directory entry must be there before anything names it.
    sync_directory(root)?;
    fs::rename(&fresh, root.join(name))?;
    sync_directory(root)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    // Only Unix lets a directory be opened and synced as a file.
    if cfg!(unix) {
        File::open(path)?.sync_all()?;
    }
    Ok(())
}
