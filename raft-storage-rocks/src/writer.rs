//! The one thread that writes.
//!
//! What queued while the last sync ran becomes one batch with one sync, across
//! groups, logs and votes. Changes take effect in the order in which they were
//! handed in, and a batch is all or nothing, so each of them is.
//!
//! The queue has no bound: whoever hands in a change waits for it, so it holds about
//! one per caller.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use raft_core::{StorageError, StorageHealth};
use rocksdb::{DB, WriteBatch, WriteOptions};
use tokio::sync::oneshot;

use crate::change::{Batch, Change, Effect};
use crate::keeper::Keeper;
use crate::metrics::WriterMetrics;
use crate::run::RunEncoder;
use crate::space::{Deleted, Space};
use crate::watermark::Watermark;

/// A sync that takes longer than this is reported as a stall.
const STALL: Duration = Duration::from_secs(1);

/// Most changes in one batch.
const MAX_BATCH_CHANGES: usize = 1024;

/// A batch takes in no further change beyond this size, so that a flood does not
/// make its first writer wait for its last.
const MAX_BATCH_BYTES: usize = 16 << 20;

/// How long the thread looks out for the next change before it sleeps, as long as
/// changes follow each other so closely. Waking it up takes about as long, and is
/// more than all else that a small append costs beside its sync.
const LOOKOUT: Duration = Duration::from_micros(50);

type Outcome = oneshot::Sender<Result<(), StorageError>>;
type Queue = mpsc::Receiver<(Change, Outcome)>;

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
    queue: Option<mpsc::Sender<(Change, Outcome)>>,
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
        let (queue, changes) = mpsc::channel();
        let condition = Arc::new(Condition::default());
        let sync = watermark.as_ref().map(Watermark::sync_handle).transpose()?;
        let mut disk = Disk {
            keeper: Keeper::spawn(Arc::clone(&db), sync)?,
            db,
            options,
            watermark,
            condition: Arc::clone(&condition),
            metrics: WriterMetrics::new(),
            encoder: RunEncoder::default(),
            space: Space::default(),
            looks_out: false,
            is_alone: std::thread::available_parallelism().is_ok_and(|count| count.get() == 1),
        };
        let thread = std::thread::Builder::new()
            .name("raft-log-writer".into())
            .spawn(move || disk.run(&changes))?;
        Ok(Self {
            queue: Some(queue),
            condition,
            thread: Some(thread),
        })
    }

    /// Queues a change and waits until it is durable and visible.
    pub(crate) async fn write(&self, change: Change) -> Result<(), StorageError> {
        let (outcome, done) = oneshot::channel();
        let queue = self.queue.as_ref().expect("present until dropped");
        if queue.send((change, outcome)).is_err() {
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
    metrics: WriterMetrics,
    encoder: RunEncoder,
    space: Space,
    keeper: Keeper,
    /// Whether the last change that came could have been met without sleeping.
    looks_out: bool,
    /// Whether looking out would keep the processor from whoever is to come.
    is_alone: bool,
}

/// A change that is in the batch.
struct Accepted {
    doing: &'static str,
    effect: Effect,
    outcome: Outcome,
}

impl Disk {
    fn run(&mut self, queue: &Queue) {
        let mut next = None;
        let mut changes = Vec::new();
        while let Some(first) = next.take().or_else(|| self.wait(queue)) {
            let mut bytes = first.0.bytes();
            changes.push(first);
            while changes.len() < MAX_BATCH_CHANGES && bytes < MAX_BATCH_BYTES {
                match queue.try_recv() {
                    Ok(change) if change.0.reads() => {
                        next = Some(change);
                        break;
                    }
                    Ok(change) => {
                        bytes += change.0.bytes();
                        changes.push(change);
                    }
                    Err(_) => break,
                }
            }
            self.write(&mut changes, bytes);
        }
    }

    /// The next change; what was purged is deleted while there is none.
    fn wait(&mut self, queue: &Queue) -> Option<(Change, Outcome)> {
        if self.space.has_work() {
            if let Ok(change) = queue.try_recv() {
                return Some(change);
            }
            self.delete_purged();
        }
        let idle_since = Instant::now();
        while self.looks_out && idle_since.elapsed() < LOOKOUT {
            match queue.try_recv() {
                Ok(change) => return Some(change),
                Err(mpsc::TryRecvError::Empty) => std::hint::spin_loop(),
                Err(mpsc::TryRecvError::Disconnected) => return None,
            }
        }
        let change = queue.recv().ok();
        self.looks_out = !self.is_alone && idle_since.elapsed() < LOOKOUT;
        change
    }

    fn write(&mut self, changes: &mut Vec<(Change, Outcome)>, bytes: usize) {
        if self.condition.is_closed.load(Ordering::Acquire) {
            for (_, outcome) in changes.drain(..) {
                drop(outcome.send(Err(StorageError::Closed)));
            }
            return;
        }
        let mut batch = Batch {
            db: &self.db,
            writes: WriteBatch::with_capacity_bytes(capacity(bytes)),
            encoder: &mut self.encoder,
        };
        // First, because they go by what is durable.
        let deleted = self.space.put_deletions(&mut batch);
        let mut accepted = Vec::with_capacity(changes.len());
        for (change, outcome) in changes.drain(..) {
            let doing = change.doing();
            match change.stage(&mut batch) {
                Ok(effect) => accepted.push(Accepted {
                    doing,
                    effect,
                    outcome,
                }),
                // Whoever asked may have gone; there is nothing to undo.
                Err(refusal) => drop(outcome.send(Err(refusal))),
            }
        }
        let writes = batch.writes;
        if accepted.is_empty() {
            return self.write_deletions(writes, deleted);
        }
        match self.sync(writes) {
            Ok(()) => self.finish(accepted, deleted),
            Err(reason) => self.fail(&reason, accepted),
        }
    }

    /// Shows what is durable now, and tells who waits for it before all else.
    fn finish(&mut self, accepted: Vec<Accepted>, deleted: Vec<Deleted>) {
        let count = accepted.len();
        let (mut appends, mut entries, mut bytes) = (0, 0, 0);
        for Accepted {
            effect, outcome, ..
        } in accepted
        {
            match &effect {
                Effect::Append { entries: run, .. } => {
                    appends += 1;
                    entries += run.len() as u64;
                    bytes += run.size() as u64;
                }
                Effect::Purge(group, _) | Effect::Reset(group, _) => {
                    self.space.purged(Arc::clone(group));
                }
                Effect::Nothing => {}
            }
            effect.show();
            drop(outcome.send(Ok(())));
        }
        self.raise_watermark();
        self.keeper.deleted(deleted);
        self.metrics.writes.increment(count as u64);
        self.metrics.batch_writes.record(count as f64);
        self.metrics.batch_entries.record(entries as f64);
        self.metrics.appends.increment(appends);
        self.metrics.appended_entries.increment(entries);
        self.metrics.appended_bytes.increment(bytes);
        self.metrics.purge_lag.set(self.space.lag() as f64);
    }

    /// One write and one sync for the whole batch.
    fn sync(&mut self, writes: WriteBatch) -> Result<(), String> {
        if self.condition.fails_next.swap(false, Ordering::AcqRel) {
            return Err("IO error: this write was told to fail".into());
        }
        // A purge that changes nothing has nothing to write.
        if writes.is_empty() {
            return Ok(());
        }
        self.metrics
            .batch_bytes
            .record(writes.size_in_bytes() as f64);
        let begun = Instant::now();
        *self.condition.sync_since() = Some(begun);
        let written = self.db.write_opt(writes, &self.options);
        *self.condition.sync_since() = None;
        self.metrics
            .sync_seconds
            .record(begun.elapsed().as_secs_f64());
        written.map_err(String::from)
    }

    /// After those who wait were told: a crash in between leaves it behind, which
    /// only means that less is noticed.
    fn raise_watermark(&mut self) {
        let Some(watermark) = &mut self.watermark else {
            return;
        };
        // This thread alone writes, and its last write was synced with all before it.
        match watermark.raise(self.db.latest_sequence_number()) {
            Ok(()) => self.keeper.raised(),
            Err(error) => tracing::warn!(%error, "cannot raise the watermark"),
        }
    }

    /// Deletes what was purged, while there is nothing else to do.
    fn delete_purged(&mut self) {
        let mut batch = Batch {
            db: &self.db,
            writes: WriteBatch::default(),
            encoder: &mut self.encoder,
        };
        let deleted = self.space.put_deletions(&mut batch);
        let writes = batch.writes;
        if !self.condition.is_closed.load(Ordering::Acquire) {
            self.write_deletions(writes, deleted);
        }
    }

    /// Not synced: a crash that takes it leaves what the purge record hides. So the
    /// watermark stays where it is until the next sync.
    fn write_deletions(&mut self, writes: WriteBatch, deleted: Vec<Deleted>) {
        if writes.is_empty() {
            return;
        }
        match self.db.write(writes) {
            Ok(()) => self.keeper.deleted(deleted),
            Err(error) => self.fail(error.as_ref(), Vec::new()),
        }
        self.metrics.purge_lag.set(self.space.lag() as f64);
    }

    fn fail(&self, reason: &str, changes: Vec<Accepted>) {
        self.metrics.failures.increment(1);
        self.condition.fail(reason, changes);
    }
}

/// About what a batch of entries takes: room from the start saves copies.
const fn capacity(bytes: usize) -> usize {
    bytes + bytes / 8 + 512
}

impl Condition {
    /// A failed write closes the store: what is on the disk is not known any more,
    /// and a second sync that succeeds would not say anything about the first.
    fn fail(&self, reason: &str, changes: Vec<Accepted>) {
        let is_full = says_full(reason);
        self.is_full.store(is_full, Ordering::Release);
        self.is_closed.store(true, Ordering::Release);
        tracing::error!(reason, "a write failed, the store is closed for writing");
        for Accepted { doing, outcome, .. } in changes {
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
