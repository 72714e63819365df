//! Handing in changes, and who writes them: one at a time, the thread or a visitor.
//!
//! The thread keeps the [`Desk`]: it writes what is handed in, waits for space on a full
//! disk, and deletes what was purged. If the options allow it, whoever hands in a change
//! while nobody is at the desk sits down there and writes it, with what else is queued.
//! That saves two changes of thread, which take about as long as a small sync. A visitor
//! waits for the sync and for nothing else: whatever stands in its way is the thread's.
//!
//! The queue has no bound: whoever hands in a change waits for it, so it holds about
//! one per caller.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use raft_core::{StorageError, StorageHealth};
use rocksdb::DB;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;
use tokio::task::block_in_place;

use crate::change::Change;
use crate::condition::Condition;
use crate::desk::{Desk, Rest};
use crate::disk::Disk;
use crate::intake::{Handed, Intake};
use crate::keeper::Keeper;
use crate::merging::Merging;
use crate::options::RocksOptions;
use crate::room::Room;
use crate::watermark::Watermark;

/// Hands in changes; the thread ends when it is dropped.
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Handed>>,
    desk: Arc<Mutex<Desk>>,
    takes_visitors: bool,
    condition: Arc<Condition>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn spawn(
        db: Arc<DB>,
        directory: &Path,
        options: &RocksOptions,
        watermark: Option<Watermark>,
        merging: Arc<Merging>,
    ) -> std::io::Result<Self> {
        let (queue, changes) = mpsc::channel();
        let condition = Arc::new(Condition::default());
        let room = || Room::new(directory, options.reserve_bytes, Arc::clone(&condition));
        let sync = watermark.as_ref().map(Watermark::sync_handle).transpose()?;
        let keeper = Keeper::spawn(Arc::clone(&db), sync, room(), merging)?;
        let intake = Intake::new(changes, room(), Arc::clone(&condition));
        let disk = Disk::new(db, options.sync, watermark, Arc::clone(&condition), keeper);
        let looks_out = !options.writes_in_place;
        let desk = Arc::new(Mutex::new(Desk::new(intake, disk, looks_out)));
        let (kept, health) = (Arc::clone(&desk), Arc::clone(&condition));
        let thread = std::thread::Builder::new()
            .name("raft-log-writer".into())
            .spawn(move || keep(&kept, &health))?;
        Ok(Self {
            queue: Some(queue),
            desk,
            takes_visitors: options.writes_in_place,
            condition,
            thread: Some(thread),
        })
    }

    /// Hands in a change and waits until it is durable and visible.
    pub(crate) async fn write(&self, change: Change) -> Result<(), StorageError> {
        let (outcome, done) = oneshot::channel();
        let queue = self.queue.as_ref().expect("present until dropped");
        if queue.send((change, outcome)).is_err() {
            return Err(StorageError::Closed);
        }
        if !self.visit() {
            self.call();
        }
        done.await.unwrap_or(Err(StorageError::Closed))
    }

    /// Writes what is queued, if that is allowed and nobody is at the desk. Answers
    /// whether nothing is left for the thread to do.
    fn visit(&self) -> bool {
        if !self.takes_visitors {
            return false;
        }
        // Whoever is there may have looked at the queue for the last time.
        let Ok(mut desk) = self.desk.try_lock() else {
            return false;
        };
        match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
            Ok(RuntimeFlavor::MultiThread) => block_in_place(|| desk.write_one_batch()),
            // The tasks of such a runtime would all wait for the sync.
            Ok(_) => return false,
            Err(_) => desk.write_one_batch(),
        }
        !desk.has_chores()
    }

    /// Calls the thread to the desk.
    fn call(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    pub(crate) fn health(&self) -> StorageHealth {
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return StorageHealth::Closed;
        }
        self.condition.health()
    }

    /// The next write fails without reaching the disk.
    pub(crate) fn fail_next_write(&self) {
        self.condition.fail_next_write();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        self.call();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

/// The thread: at the desk whenever it is called.
fn keep(desk: &Mutex<Desk>, condition: &Condition) {
    let mut rest = Rest::UntilCalled;
    loop {
        match rest {
            Rest::UntilCalled => std::thread::park(),
            Rest::For(time) => std::thread::park_timeout(time),
            Rest::ForGood => return sit_down(desk, condition).leave(),
        }
        // A panic was printed. Whoever waits and whoever comes is told that the store is
        // closed, so the thread goes on for that.
        let work = || sit_down(desk, condition).work();
        rest = catch_unwind(AssertUnwindSafe(work)).unwrap_or(Rest::For(Duration::ZERO));
    }
}

/// After a panic at the desk, a visitor's or the thread's, nothing is written any more.
fn sit_down<'a>(desk: &'a Mutex<Desk>, condition: &Condition) -> MutexGuard<'a, Desk> {
    desk.lock().unwrap_or_else(|poisoned| {
        condition.close();
        poisoned.into_inner()
    })
}
