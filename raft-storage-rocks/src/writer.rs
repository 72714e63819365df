//! The one thread that writes.
//!
//! What queued while the last sync ran becomes one batch with one sync, across
//! groups, logs and votes. Jobs take effect in the order in which they were
//! handed in, and a batch is all or nothing, so each of them is.
//!
//! The queue has no bound: whoever hands in a job waits for it, so it holds about
//! one job per caller.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use raft_core::{StorageError, StorageHealth};
use rocksdb::{DB, WriteBatch, WriteOptions};
use tokio::sync::oneshot;

use crate::watermark::Watermark;

/// A sync that takes longer than this is reported as a stall.
const STALL: Duration = Duration::from_secs(1);

/// Most jobs in one batch.
const MAX_BATCH_JOBS: usize = 1024;

/// A batch takes in no further job beyond this size, so that a flood does not
/// make its first writer wait for its last.
const MAX_BATCH_BYTES: usize = 16 << 20;

/// Makes a change visible to readers, after it is durable.
type Publish = Box<dyn FnOnce() + Send>;

/// Puts a change into the batch, or refuses and leaves the batch as it was.
type Change = Box<dyn FnOnce(&DB, &mut WriteBatch) -> Result<Publish, StorageError> + Send>;

type Outcome = oneshot::Sender<Result<(), StorageError>>;

/// One thing to write.
pub(crate) struct Job {
    doing: &'static str,
    bytes: usize,
    starts_batch: bool,
    change: Change,
}

impl Job {
    pub(crate) fn new(
        doing: &'static str,
        change: impl FnOnce(&DB, &mut WriteBatch) -> Result<Publish, StorageError> + Send + 'static,
    ) -> Self {
        Self {
            doing,
            bytes: 0,
            starts_batch: false,
            change: Box::new(change),
        }
    }

    /// About how much it writes.
    pub(crate) const fn of_bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// What was handed in before is durable when this job looks at the database.
    pub(crate) const fn after_the_others(mut self) -> Self {
        self.starts_batch = true;
        self
    }
}

/// How the store is, shared with readers of `health`.
#[derive(Default)]
struct Condition {
    is_closed: AtomicBool,
    is_full: AtomicBool,
    fails_next: AtomicBool,
    sync_since: Mutex<Option<Instant>>,
}

impl Condition {
    fn sync_since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.sync_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle to the writer thread; the thread ends when it is dropped.
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<(Job, Outcome)>>,
    condition: Arc<Condition>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn spawn(
        db: Arc<DB>,
        options: WriteOptions,
        watermark: Option<Watermark>,
    ) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel();
        let condition = Arc::new(Condition::default());
        let mut disk = Disk {
            db,
            options,
            watermark,
            condition: Arc::clone(&condition),
        };
        let thread = std::thread::Builder::new()
            .name("raft-log-writer".into())
            .spawn(move || disk.run(&jobs))?;
        Ok(Self {
            queue: Some(queue),
            condition,
            thread: Some(thread),
        })
    }

    /// Queues a job and waits until it is durable and published.
    pub(crate) async fn write(&self, job: Job) -> Result<(), StorageError> {
        let (outcome, done) = oneshot::channel();
        let queue = self.queue.as_ref().expect("present until dropped");
        if queue.send((job, outcome)).is_err() {
            return Err(StorageError::Closed);
        }
        done.await.unwrap_or(Err(StorageError::Closed))
    }

    pub(crate) fn health(&self) -> StorageHealth {
        if self.condition.is_full.load(Ordering::Acquire) {
            return StorageHealth::Full;
        }
        let thread_ended = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
        if thread_ended || self.condition.is_closed.load(Ordering::Acquire) {
            return StorageHealth::Closed;
        }
        let waited = self.condition.sync_since().map(|since| since.elapsed());
        match waited {
            Some(since) if since > STALL => StorageHealth::Stalled { since },
            _ => StorageHealth::Healthy,
        }
    }

    /// The next write fails without reaching the disk.
    pub(crate) fn fail_next_write(&self) {
        self.condition.fails_next.store(true, Ordering::Release);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

/// What the writer thread owns.
struct Disk {
    db: Arc<DB>,
    options: WriteOptions,
    /// Absent when writes are not synced.
    watermark: Option<Watermark>,
    condition: Arc<Condition>,
}

impl Disk {
    fn run(&mut self, queue: &mpsc::Receiver<(Job, Outcome)>) {
        let mut next = None;
        while let Some(first) = next.take().or_else(|| queue.recv().ok()) {
            let mut bytes = first.0.bytes;
            let mut jobs = vec![first];
            while jobs.len() < MAX_BATCH_JOBS && bytes < MAX_BATCH_BYTES {
                match queue.try_recv() {
                    Ok(job) if job.0.starts_batch => {
                        next = Some(job);
                        break;
                    }
                    Ok(job) => {
                        bytes += job.0.bytes;
                        jobs.push(job);
                    }
                    Err(_) => break,
                }
            }
            self.write(jobs);
        }
    }

    fn write(&mut self, jobs: Vec<(Job, Outcome)>) {
        let mut batch = WriteBatch::default();
        let mut accepted = Vec::with_capacity(jobs.len());
        for (job, outcome) in jobs {
            // Whoever asked may have gone; there is nothing to undo.
            if self.condition.is_closed.load(Ordering::Acquire) {
                drop(outcome.send(Err(StorageError::Closed)));
                continue;
            }
            match (job.change)(&self.db, &mut batch) {
                Ok(publish) => accepted.push((job.doing, publish, outcome)),
                Err(refusal) => drop(outcome.send(Err(refusal))),
            }
        }
        if accepted.is_empty() {
            return;
        }
        if let Err(reason) = self.sync(batch) {
            return self.condition.fail(&reason, accepted);
        }
        metrics::counter!("raft_storage_writes_total").increment(accepted.len() as u64);
        for (_, publish, outcome) in accepted {
            publish();
            drop(outcome.send(Ok(())));
        }
    }

    /// One write and one sync for the whole batch.
    fn sync(&mut self, batch: WriteBatch) -> Result<(), String> {
        if self.condition.fails_next.swap(false, Ordering::AcqRel) {
            return Err("IO error: this write was told to fail".into());
        }
        // A purge that changes nothing has nothing to write.
        if batch.is_empty() {
            return Ok(());
        }
        metrics::histogram!("raft_storage_batch_records").record(batch.len() as f64);
        metrics::histogram!("raft_storage_batch_bytes").record(batch.size_in_bytes() as f64);
        let begun = Instant::now();
        *self.condition.sync_since() = Some(begun);
        let written = self.db.write_opt(batch, &self.options);
        *self.condition.sync_since() = None;
        metrics::histogram!("raft_storage_sync_seconds").record(begun.elapsed().as_secs_f64());
        written.map_err(String::from)?;
        if let Some(watermark) = &mut self.watermark
            && let Err(error) = watermark.raise(self.db.latest_sequence_number())
        {
            // It stays behind, so less damage is noticed; the write itself is safe.
            tracing::warn!(%error, "cannot raise the watermark");
        }
        Ok(())
    }
}

impl Condition {
    /// A failed write closes the store: what is on the disk is not known any more,
    /// and a second sync that succeeds would not say anything about the first.
    fn fail(&self, reason: &str, jobs: Vec<(&'static str, Publish, Outcome)>) {
        let is_full = says_full(reason);
        self.is_full.store(is_full, Ordering::Release);
        self.is_closed.store(true, Ordering::Release);
        metrics::counter!("raft_storage_failures_total").increment(1);
        tracing::error!(reason, "a write failed, the store is closed for writing");
        for (doing, _, outcome) in jobs {
            let source = reason.into();
            drop(outcome.send(Err(if is_full {
                StorageError::Full { doing, source }
            } else {
                StorageError::Io { doing, source }
            })));
        }
    }
}

/// RocksDB hands errors over as text; its own limits and the system's differ.
fn says_full(reason: &str) -> bool {
    ["No space left", "NoSpace", "Space limit", "quota exceeded"]
        .iter()
        .any(|words| reason.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        let full = "IO error: No space left on device: While appending to file: 000004.log";
        assert!(says_full(full));
        assert!(!says_full("IO error: Input/output error: While fdatasync"));
    }
}
