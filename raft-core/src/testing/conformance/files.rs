//! Harnesses for stores that keep files in a directory.
//!
//! Each needs to know how the store is opened; more is checked if it is told how a
//! payload is damaged or a vote lost.
//!
//! ```
//! use raft_core::testing::conformance::files::FileHarness;
//! use raft_core::testing::files::Directory;
//! # struct MyStore(Directory);
//! # impl MyStore { async fn open(directory: Directory) -> Self { Self(directory) } }
//!
//! let harness = FileHarness::new(7, MyStore::open)
//!     .losing(|disk| disk.flip("vote", 3));
//! // raft_core::stable_store_conformance!(harness);
//! # drop(harness);
//! ```

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;

use super::log_store::LogStoreHarness;
use super::stable_store::StableStoreHarness;
use crate::entry::{EntryMeta, LogSlice};
use crate::error::StorageError;
use crate::log_store::{AppendBatch, LogBounds, LogStore, StorageHealth, StoredEntry};
use crate::stable_store::{SavedVote, StableState, StableStore};
use crate::testing::files::{CopiedDirectory, Directory, RecordedDisk};
use crate::types::{LogId, LogIndex};

type Opening<From, S> =
    Box<dyn Fn(From) -> Pin<Box<dyn Future<Output = S> + Send>> + Send + 'static>;
type Damaging<Disk> = Box<dyn Fn(&Disk, LogIndex) -> bool + Send + 'static>;
type Losing<Disk> = Box<dyn Fn(&Disk) -> bool + Send + 'static>;

/// How a store is handled, whatever it is kept in.
struct Handling<From, Disk, S> {
    open: Opening<From, S>,
    damage: Damaging<Disk>,
    lose: Losing<Disk>,
}

impl<From, Disk, S> Handling<From, Disk, S> {
    fn new<F: Future<Output = S> + Send + 'static>(
        open: impl Fn(From) -> F + Send + 'static,
    ) -> Self {
        Self {
            open: Box::new(move |from| Box::pin(open(from))),
            damage: Box::new(|_, _| false),
            lose: Box::new(|_| false),
        }
    }
}

/// A store that writes through a [`Directory`].
///
/// It is crashed with all that a power cut may do and stopped between any two operations,
/// and each operation fails once, be it a write, a sync or a rename.
pub struct FileHarness<S> {
    disk: RecordedDisk,
    handling: Handling<Directory, RecordedDisk, S>,
}

impl<S> FileHarness<S> {
    /// A store on an empty disk, which `open` opens. What crashes leave is drawn
    /// from `seed`.
    pub fn new<F: Future<Output = S> + Send + 'static>(
        seed: u64,
        open: impl Fn(Directory) -> F + Send + 'static,
    ) -> Self {
        Self {
            disk: RecordedDisk::new(seed),
            handling: Handling::new(open),
        }
    }

    /// With a way to damage the payload of an entry; it answers whether it could.
    #[must_use]
    pub fn damaging(
        mut self,
        damage: impl Fn(&RecordedDisk, LogIndex) -> bool + Send + 'static,
    ) -> Self {
        self.handling.damage = Box::new(damage);
        self
    }

    /// With a way to lose the vote; it answers whether it could.
    #[must_use]
    pub fn losing(mut self, lose: impl Fn(&RecordedDisk) -> bool + Send + 'static) -> Self {
        self.handling.lose = Box::new(lose);
        self
    }

    async fn open_store(&mut self) -> S {
        let opened = (self.handling.open)(self.disk.mount());
        opened.await
    }
}

#[async_trait]
impl<S: LogStore> LogStoreHarness for FileHarness<S> {
    type Store = S;

    async fn open(&mut self) -> S {
        self.open_store().await
    }

    async fn crash(&mut self, store: S) {
        self.disk.crash();
        drop(store);
    }

    async fn damage_payload(&mut self, index: LogIndex) -> bool {
        (self.handling.damage)(&self.disk, index)
    }

    async fn fail_next_write(&mut self, _store: &S) -> bool {
        self.disk.fail_next();
        true
    }

    async fn stop_after(&mut self, _store: &S, operations: u64) -> bool {
        self.disk.stop_after(operations);
        true
    }

    async fn fail_after(&mut self, _store: &S, operations: u64) -> bool {
        self.disk.fail_after(operations);
        true
    }

    async fn has_failed(&mut self, _store: &S) -> bool {
        self.disk.has_failed()
    }
}

#[async_trait]
impl<S: StableStore> StableStoreHarness for FileHarness<S> {
    type Store = S;

    async fn open(&mut self) -> S {
        self.open_store().await
    }

    async fn crash(&mut self, store: S) {
        self.disk.crash();
        drop(store);
    }

    async fn lose_value(&mut self) -> bool {
        (self.handling.lose)(&self.disk)
    }

    async fn fail_next_save(&mut self, _store: &S) -> bool {
        self.disk.fail_next();
        true
    }

    async fn stop_after(&mut self, _store: &S, operations: u64) -> bool {
        self.disk.stop_after(operations);
        true
    }

    async fn fail_after(&mut self, _store: &S, operations: u64) -> bool {
        self.disk.fail_after(operations);
        true
    }

    async fn has_failed(&mut self, _store: &S) -> bool {
        self.disk.has_failed()
    }
}

/// A store that uses the file system itself.
///
/// It goes on in a copy of its directory after a crash, in which is torn what no
/// call has returned for, nor opening. A missing sync does not show; see
/// [`crate::testing::files`].
pub struct CopyHarness<S> {
    directory: Arc<Mutex<CopiedDirectory>>,
    handling: Handling<PathBuf, CopiedDirectory, S>,
}

impl<S> CopyHarness<S> {
    /// A store in `directory`, which `open` opens.
    pub fn new<F: Future<Output = S> + Send + 'static>(
        directory: CopiedDirectory,
        open: impl Fn(PathBuf) -> F + Send + 'static,
    ) -> Self {
        Self {
            directory: Arc::new(Mutex::new(directory)),
            handling: Handling::new(open),
        }
    }

    /// With a way to damage the payload of an entry; it answers whether it could.
    #[must_use]
    pub fn damaging(
        mut self,
        damage: impl Fn(&CopiedDirectory, LogIndex) -> bool + Send + 'static,
    ) -> Self {
        self.handling.damage = Box::new(damage);
        self
    }

    /// With a way to lose the vote; it answers whether it could.
    #[must_use]
    pub fn losing(mut self, lose: impl Fn(&CopiedDirectory) -> bool + Send + 'static) -> Self {
        self.handling.lose = Box::new(lose);
        self
    }

    fn lock(&self) -> MutexGuard<'_, CopiedDirectory> {
        self.directory
            .lock()
            .expect("no holder of this lock panics")
    }

    async fn open_store(&mut self) -> Watched<S> {
        let path = self.lock().path();
        let store = (self.handling.open)(path).await;
        // A store that is open has made durable what opening wrote.
        note_return(&self.directory);
        let directory = Arc::clone(&self.directory);
        Watched { store, directory }
    }

    fn crash_directory(&self) {
        let crashed = self.lock().crash();
        crashed.expect("the directory of a test can be copied");
    }
}

#[async_trait]
impl<S: LogStore> LogStoreHarness for CopyHarness<S> {
    type Store = Watched<S>;

    async fn open(&mut self) -> Watched<S> {
        self.open_store().await
    }

    async fn crash(&mut self, store: Watched<S>) {
        self.crash_directory();
        drop(store);
    }

    async fn damage_payload(&mut self, index: LogIndex) -> bool {
        (self.handling.damage)(&self.lock(), index)
    }

    async fn fail_next_write(&mut self, _store: &Watched<S>) -> bool {
        false
    }
}

#[async_trait]
impl<S: StableStore> StableStoreHarness for CopyHarness<S> {
    type Store = Watched<S>;

    async fn open(&mut self) -> Watched<S> {
        self.open_store().await
    }

    async fn crash(&mut self, store: Watched<S>) {
        self.crash_directory();
        drop(store);
    }

    async fn lose_value(&mut self) -> bool {
        (self.handling.lose)(&self.lock())
    }

    async fn fail_next_save(&mut self, _store: &Watched<S>) -> bool {
        false
    }
}

/// A store whose directory is told when its calls return.
pub struct Watched<S> {
    store: S,
    directory: Arc<Mutex<CopiedDirectory>>,
}

impl<S> Watched<S> {
    fn returned<T, E>(&self, result: Result<T, E>) -> Result<T, E> {
        if result.is_ok() {
            note_return(&self.directory);
        }
        result
    }
}

fn note_return(directory: &Mutex<CopiedDirectory>) {
    let mut directory = directory.lock().expect("no holder of this lock panics");
    let noted = directory.call_returned();
    noted.expect("the directory of a test can be read");
}

#[async_trait]
impl<S: LogStore> LogStore for Watched<S> {
    async fn append(&self, batch: AppendBatch) -> Result<(), StorageError> {
        self.returned(self.store.append(batch).await)
    }

    async fn read(
        &self,
        first: LogIndex,
        last: LogIndex,
        max_bytes: usize,
    ) -> Result<Vec<StoredEntry>, StorageError> {
        self.store.read(first, last, max_bytes).await
    }

    async fn metadata(
        &self,
        first: LogIndex,
        last: LogIndex,
    ) -> Result<Vec<EntryMeta>, StorageError> {
        self.store.metadata(first, last).await
    }

    async fn bounds(&self) -> Result<LogBounds, StorageError> {
        self.store.bounds().await
    }

    async fn purge(&self, up_to: LogId) -> Result<(), StorageError> {
        self.returned(self.store.purge(up_to).await)
    }

    async fn reset(&self, snapshot: LogId) -> Result<(), StorageError> {
        self.returned(self.store.reset(snapshot).await)
    }

    async fn repair(&self, entries: LogSlice) -> Result<(), StorageError> {
        self.returned(self.store.repair(entries).await)
    }

    fn health(&self) -> StorageHealth {
        self.store.health()
    }
}

#[async_trait]
impl<S: StableStore> StableStore for Watched<S> {
    async fn load(&self) -> Result<StableState, StorageError> {
        self.store.load().await
    }

    async fn save(&self, vote: SavedVote) -> Result<(), StorageError> {
        self.returned(self.store.save(vote).await)
    }
}
