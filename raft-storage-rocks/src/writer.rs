//! The one thread that writes.
//!
//! What queued while the last sync ran becomes one batch with one sync, across
//! groups, logs and votes. A batch is all or nothing, so each part of it is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use raft_core::{StorageError, StorageHealth};
use rocksdb::{DB, WriteBatch, WriteOptions};
use tokio::sync::oneshot;

/// A sync that takes longer than this is reported as a stall.
const STALL: Duration = Duration::from_secs(1);

/// Most jobs in one batch.
const MAX_BATCH: usize = 1024;

/// Puts its changes into the batch, or refuses and leaves it as it was.
pub(crate) type Change = Box<dyn FnOnce(&DB, &mut WriteBatch) -> Result<(), StorageError> + Send>;

/// Makes the change visible to readers, after it is durable.
pub(crate) type Publish = Box<dyn FnOnce() + Send>;

struct Job {
    doing: &'static str,
    change: Change,
    publish: Publish,
    done: oneshot::Sender<Result<(), StorageError>>,
}

/// What remains of a job whose change is in the batch.
type Accepted = (
    &'static str,
    Publish,
    oneshot::Sender<Result<(), StorageError>>,
);

/// How the store is, shared with readers of `health`.
#[derive(Default)]
struct Condition {
    is_closed: AtomicBool,
    is_full: AtomicBool,
    sync_since: Mutex<Option<Instant>>,
}

/// A handle to the writer thread; the thread ends when it is dropped.
pub(crate) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    condition: Arc<Condition>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn spawn(db: Arc<DB>, options: WriteOptions) -> Self {
        let (jobs, queue) = mpsc::channel();
        let condition = Arc::new(Condition::default());
        let shared = Arc::clone(&condition);
        let thread = std::thread::Builder::new()
            .name("raft-log-writer".into())
            .spawn(move || run(&db, &options, &queue, &shared))
            .expect("the system can start one more thread");
        Self {
            jobs: Some(jobs),
            condition,
            thread: Some(thread),
        }
    }

    /// Queues a change and waits until it is durable and published.
    pub(crate) async fn write(
        &self,
        doing: &'static str,
        change: Change,
        publish: Publish,
    ) -> Result<(), StorageError> {
        let (done, outcome) = oneshot::channel();
        let job = Job {
            doing,
            change,
            publish,
            done,
        };
        let jobs = self.jobs.as_ref().expect("present until dropped");
        if jobs.send(job).is_err() {
            return Err(StorageError::Closed);
        }
        outcome.await.unwrap_or(Err(StorageError::Closed))
    }

    pub(crate) fn health(&self) -> StorageHealth {
        let since = *self
            .condition
            .sync_since
            .lock()
            .expect("no holder of this lock panics");
        if self.condition.is_full.load(Ordering::Relaxed) {
            return StorageHealth::Full;
        }
        if self.condition.is_closed.load(Ordering::Relaxed) {
            return StorageHealth::Closed;
        }
        match since.map(|since| since.elapsed()) {
            Some(since) if since > STALL => StorageHealth::Stalled { since },
            _ => StorageHealth::Healthy,
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

fn run(db: &DB, options: &WriteOptions, queue: &mpsc::Receiver<Job>, condition: &Condition) {
    while let Ok(first) = queue.recv() {
        let mut jobs = vec![first];
        while jobs.len() < MAX_BATCH
            && let Ok(next) = queue.try_recv()
        {
            jobs.push(next);
        }
        if condition.is_closed.load(Ordering::Relaxed) {
            for job in jobs {
                let _ = job.done.send(Err(StorageError::Closed));
            }
        } else {
            write_batch(db, options, jobs, condition);
        }
    }
}

fn write_batch(db: &DB, options: &WriteOptions, jobs: Vec<Job>, condition: &Condition) {
    let mut batch = WriteBatch::default();
    let mut accepted = Vec::with_capacity(jobs.len());
    for job in jobs {
        match (job.change)(db, &mut batch) {
            Ok(()) => accepted.push((job.doing, job.publish, job.done)),
            // Whoever asked may have gone; there is nothing to undo.
            Err(refusal) => drop(job.done.send(Err(refusal))),
        }
    }
    if accepted.is_empty() {
        return;
    }
    let begun = Instant::now();
    set_sync_since(condition, Some(begun));
    let written = db.write_opt(batch, options);
    set_sync_since(condition, None);
    metrics::histogram!("raft_storage_sync_seconds").record(begun.elapsed().as_secs_f64());
    metrics::counter!("raft_storage_batches_total").increment(1);
    metrics::counter!("raft_storage_writes_total").increment(accepted.len() as u64);
    match written {
        Ok(()) => {
            for (_, publish, done) in accepted {
                publish();
                let _ = done.send(Ok(()));
            }
        }
        Err(error) => fail(condition, &error, accepted),
    }
}

/// A failed write closes the store: what is on the disk is not known any more.
fn fail(condition: &Condition, error: &rocksdb::Error, jobs: Vec<Accepted>) {
    let is_full = error.to_string().contains("No space left");
    condition.is_full.store(is_full, Ordering::Relaxed);
    condition.is_closed.store(true, Ordering::Relaxed);
    tracing::error!("a write to the log failed, the store is closed: {error}");
    for (doing, _, done) in jobs {
        let source = error.clone();
        let failure = if is_full {
            StorageError::Full {
                doing,
                source: source.into(),
            }
        } else {
            StorageError::io(doing, source)
        };
        let _ = done.send(Err(failure));
    }
}

fn set_sync_since(condition: &Condition, since: Option<Instant>) {
    *condition
        .sync_since
        .lock()
        .expect("no holder of this lock panics") = since;
}
