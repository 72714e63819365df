//! One RocksDB that holds one state.
//!
//! A reader keeps the state it began with, also while a restore puts another in its
//! place; an obsolete state removes its directory once its last reader is gone.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use raft_core::{AppliedState, LogIndex, StorageError};
use rocksdb::{ColumnFamily, ColumnFamilyDescriptor, DB, FlushOptions, WriteBatch, WriteOptions};

use super::moment::Moment;
use super::options::MachineOptions;
use super::position::{self, RAFT};
use super::{Application, storage_error};
use crate::keys::DEFAULT;
use crate::refused::Refused;

const APPLYING: &str = "applying entries";

/// How long a write waits for a flush before that counts as a full disk.
const STALL: Duration = Duration::from_secs(10);
/// How long before it is tried again.
const MOMENT: Duration = Duration::from_millis(5);

/// What all states of one application have in common.
pub(super) struct Layout {
    pub(super) format: &'static str,
    /// The application's column families.
    pub(super) families: &'static [&'static str],
    options: MachineOptions,
    tune: Box<Tune>,
}

/// Sets options of a column family.
type Tune = dyn Fn(&str, &mut rocksdb::Options) + Send + Sync;

impl Layout {
    pub(super) fn of<A: Application>(application: Arc<A>, options: &MachineOptions) -> Self {
        Self {
            format: application.format(),
            families: application.families(),
            options: options.clone(),
            tune: Box::new(move |family, options| application.tune(family, options)),
        }
    }

    /// All column families: our own, then the application's.
    pub(super) fn all(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(RAFT).chain(self.families.iter().copied())
    }

    fn descriptors(&self) -> impl Iterator<Item = ColumnFamilyDescriptor> {
        // RocksDB's own is never written, and counts all the same: after a full disk,
        // RocksDB goes on when there is space for the largest write buffer of all.
        self.all().chain([DEFAULT]).map(|name| {
            let mut options = self.options.family();
            if self.families.contains(&name) {
                (self.tune)(name, &mut options);
            }
            ColumnFamilyDescriptor::new(name, options)
        })
    }
}

/// One state on disk.
pub(super) struct State {
    /// Taken only by `drop`, which must close it before it removes the directory.
    db: Option<DB>,
    pub(super) layout: Arc<Layout>,
    directory: PathBuf,
    pub(super) number: u64,
    position: RwLock<AppliedState>,
    durable: AtomicU64,
    unflushed_bytes: AtomicU64,
    closed: AtomicBool,
    obsolete: AtomicBool,
    /// Held during a flush: what two at once make durable must count once.
    flushing: Mutex<()>,
    /// Held while a batch is worked out and written: an apply whose caller gave up goes on.
    writing: Mutex<()>,
}

impl State {
    pub(super) fn open(
        layout: &Arc<Layout>,
        directory: PathBuf,
        number: u64,
        create: bool,
    ) -> Result<Self, StorageError> {
        let options = layout.options.database(create);
        let db = DB::open_cf_descriptors(&options, &directory, layout.descriptors())
            .map_err(storage_error("opening the state"))?;
        let state = Self {
            db: Some(db),
            layout: Arc::clone(layout),
            directory,
            number,
            position: RwLock::default(),
            durable: AtomicU64::new(0),
            unflushed_bytes: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            obsolete: AtomicBool::new(false),
            flushing: Mutex::new(()),
            writing: Mutex::new(()),
        };
        // Without a log of its own, what the database holds at open is what it flushed.
        let position = state.reload_position()?;
        let durable = position.last_applied.index.get();
        state.durable.store(durable, Ordering::Release);
        Ok(state)
    }

    /// Whether the directory goes with the last reader.
    pub(super) fn set_obsolete(&self, obsolete: bool) {
        self.obsolete.store(obsolete, Ordering::Relaxed);
    }

    pub(super) fn db(&self) -> &DB {
        self.db
            .as_ref()
            .expect("the database is taken only when dropped")
    }

    pub(super) fn family(&self, name: &str) -> &ColumnFamily {
        match self.db().cf_handle(name) {
            Some(family) => family,
            None => panic!("there is no column family {name:?} among the application's"),
        }
    }

    /// A view of this moment.
    pub(super) fn moment(&self) -> Moment<'_> {
        Moment::new(self)
    }

    pub(super) fn position(&self) -> AppliedState {
        self.position
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set_position(&self, position: AppliedState) {
        *self
            .position
            .write()
            .unwrap_or_else(PoisonError::into_inner) = position;
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
    pub(super) fn close(&self) {
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

    /// Writes a batch that leads to `position`, and the position with it, without
    /// RocksDB's log. A failure closes the state, but for a full disk, which changes
    /// nothing.
    pub(super) fn write(
        &self,
        mut batch: WriteBatch,
        position: AppliedState,
    ) -> Result<(), StorageError> {
        position::put(&mut batch, self.family(RAFT), &position);
        self.write_records(batch)?;
        self.set_position(position);
        Ok(())
    }

    /// Writes a batch that does not say where it leads.
    ///
    /// RocksDB would let the write wait within itself while a flush is due, for ever if
    /// that finds no space. It comes back instead, and a stall that lasts counts as a full
    /// disk: whoever applies tries again later, and a restore makes room by giving up.
    pub(super) fn write_records(&self, batch: WriteBatch) -> Result<(), StorageError> {
        let (bytes, records) = (batch.size_in_bytes() as u64, batch.data());
        let begun = Instant::now();
        while !self.write_unless_stalled(records)? {
            if begun.elapsed() > STALL {
                return Err(StorageError::Full {
                    doing: APPLYING,
                    source: "a flush waits for the disk".into(),
                });
            }
            std::thread::sleep(MOMENT);
        }
        self.unflushed_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Answers whether it was written.
    fn write_unless_stalled(&self, records: &[u8]) -> Result<bool, StorageError> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        options.set_no_slowdown(true);
        let mut is_written = true;
        self.closing_on_failure(APPLYING, |db| {
            match db.write_opt(WriteBatch::from_data(records), &options) {
                Err(error) if Refused::is_stall(&error) => is_written = false,
                written => written?,
            }
            Ok(())
        })?;
        Ok(is_written)
    }

    /// Reads the position from disk, after writes that did not say where they lead.
    pub(super) fn reload_position(&self) -> Result<AppliedState, StorageError> {
        let position = self.moment().applied()?;
        self.set_position(position.clone());
        Ok(position)
    }

    /// Makes what is applied now durable, all column families at the same moment. A full
    /// disk leaves it in memory: then it can be tried again.
    pub(super) fn flush(&self) -> Result<(), StorageError> {
        let _flushing = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        let (reached, bytes) = (self.position().last_applied, self.unflushed_bytes());
        let mut options = FlushOptions::default();
        options.set_wait(true);
        let families: Vec<_> = self.layout.all().map(|name| self.family(name)).collect();
        let families: Vec<_> = families.iter().collect();
        self.closing_on_failure("flushing applied entries", |db| {
            db.flush_cfs_opt(&families, &options)
        })?;
        self.unflushed_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.durable
            .fetch_max(reached.index.get(), Ordering::AcqRel);
        Ok(())
    }

    /// Bytes of the files of this state.
    pub(super) fn size_on_disk(&self) -> Result<u64, StorageError> {
        let failed = |e| StorageError::io("measuring the state", e);
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

    fn closing_on_failure(
        &self,
        doing: &'static str,
        write: impl FnOnce(&DB) -> Result<(), rocksdb::Error>,
    ) -> Result<(), StorageError> {
        if self.is_closed() {
            return Err(StorageError::Closed);
        }
        write(self.db()).map_err(|error| match storage_error(doing)(error) {
            // Nothing was changed, and RocksDB takes writes again once there is space.
            full @ StorageError::Full { .. } => full,
            failure => {
                self.close();
                failure
            }
        })
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
