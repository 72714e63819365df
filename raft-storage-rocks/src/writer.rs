//! The one thread that writes.
//!
//! What queued while the last sync ran becomes one batch with one sync, across
//! groups, logs and votes. Changes take effect in the order in which they were
//! handed in, and a batch is all or nothing, so each of them is.
//!
//! The queue has no bound: whoever hands in a change waits for it, so it holds about
//! one per caller.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use raft_core::{StorageError, StorageHealth};
use rocksdb::{DB, FlushOptions, WriteBatch, WriteOptions};
use tokio::sync::oneshot;

use crate::change::{Batch, Change, Effect};
use crate::condition::Condition;
use crate::intake::{Handed, Intake, Outcome};
use crate::keeper::Keeper;
use crate::keys::{COLUMN_FAMILIES, family};
use crate::merging::Merging;
use crate::metrics::WriterMetrics;
use crate::options::RocksOptions;
use crate::refused::{Refused, says_full};
use crate::room::Room;
use crate::run::RunEncoder;
use crate::space::{Deleted, Space};
use crate::watermark::Watermark;

/// Most changes in one batch.
const MAX_BATCH_CHANGES: usize = 1024;

/// A batch takes in no further change beyond this size, so that a flood does not
/// make its first writer wait for its last.
const MAX_BATCH_BYTES: usize = 16 << 20;

/// How long the thread looks out for the next change before it sleeps, as long as
/// changes follow each other so closely. Waking it up takes about as long, and is
/// more than all else that a small append costs beside its sync.
const LOOKOUT: Duration = Duration::from_micros(50);

/// RocksDB goes on by itself within seconds of there being space, but not if it lacked
/// an inode or a quota for a new file of its write-ahead log. Then only a new start helps.
const GIVES_UP_AFTER: Duration = Duration::from_secs(60);

/// A handle to the writer thread; the thread ends when it is dropped.
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Handed>>,
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
        let mut intake = Intake::new(changes, room(), Arc::clone(&condition));
        let sync = watermark.as_ref().map(Watermark::sync_handle).transpose()?;
        let mut disk = Disk {
            keeper: Keeper::spawn(Arc::clone(&db), sync, room(), merging)?,
            db,
            synced: RocksOptions::impatient_writes(options.sync),
            unsynced: RocksOptions::impatient_writes(false),
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
            .spawn(move || disk.run(&mut intake))?;
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
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

/// What the writer thread owns.
struct Disk {
    db: Arc<DB>,
    /// A write that would wait within RocksDB comes back: there it could not be called
    /// off, and nothing else be written.
    synced: WriteOptions,
    /// For what need not be durable.
    unsynced: WriteOptions,
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
    fn run(&mut self, intake: &mut Intake) {
        let mut next = None;
        let mut changes = Vec::new();
        while let Some(first) = next.take().or_else(|| self.wait(intake)) {
            let mut bytes = first.0.bytes();
            changes.push(first);
            while changes.len() < MAX_BATCH_CHANGES && bytes < MAX_BATCH_BYTES {
                match intake.try_next() {
                    Some(change) if change.0.reads() => {
                        next = Some(change);
                        break;
                    }
                    Some(change) => {
                        bytes += change.0.bytes();
                        changes.push(change);
                    }
                    None => break,
                }
            }
            self.write(&mut changes, bytes, intake);
        }
        self.leave();
    }

    /// A clean close: what is in memory goes to table files, so that the next open
    /// replays nothing, and damage until then is damage to a file whose blocks say what
    /// they hold, and not to the write-ahead log, without which the rest of it is lost.
    fn leave(&self) {
        let mut options = FlushOptions::default();
        options.set_wait(true);
        let families = COLUMN_FAMILIES.map(|name| family(&self.db, name));
        let families: Vec<_> = families.iter().collect();
        // On a full disk it might wait for space, and whoever closes the store with it.
        if self.condition.health() == StorageHealth::Healthy
            && let Err(error) = self.db.flush_cfs_opt(&families, &options)
        {
            // The write-ahead log has it all.
            tracing::warn!(%error, "cannot flush the log when it is closed");
        }
    }

    /// The next change; what was purged is deleted while there is none.
    fn wait(&mut self, intake: &mut Intake) -> Option<Handed> {
        if self.space.has_work() {
            if let Some(change) = intake.try_next() {
                return Some(change);
            }
            self.delete_purged();
        }
        let idle_since = Instant::now();
        while self.looks_out && idle_since.elapsed() < LOOKOUT {
            if let Some(change) = intake.try_next() {
                return Some(change);
            }
            std::hint::spin_loop();
        }
        let change = intake.next();
        self.looks_out = !self.is_alone && idle_since.elapsed() < LOOKOUT;
        change
    }

    fn write(&mut self, changes: &mut Vec<Handed>, bytes: usize, intake: &mut Intake) {
        if self.condition.is_closed() {
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
        // A change that changes nothing, as a purge that was made before.
        let is_empty = writes.is_empty();
        match self.sync_with_patience(writes, intake) {
            Ok(()) => self.finish(accepted, deleted, is_empty),
            Err(reason) => self.fail(&reason, accepted),
        }
    }

    /// Shows what is durable now, and tells who waits for it before all else.
    fn finish(&mut self, accepted: Vec<Accepted>, deleted: Vec<Deleted>, is_empty: bool) {
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
        // Without a sync of now, what was written last may not be durable.
        if !is_empty {
            self.raise_watermark();
        }
        self.keeper.deleted(deleted);
        self.metrics.writes.increment(count as u64);
        self.metrics.batch_writes.record(count as f64);
        self.metrics.batch_entries.record(entries as f64);
        self.metrics.appends.increment(appends);
        self.metrics.appended_entries.increment(entries);
        self.metrics.appended_bytes.increment(bytes);
        self.metrics.purge_lag.set(self.space.lag() as f64);
    }

    /// One write and one sync. On a full disk the same write once more, as soon as there
    /// is space: RocksDB, which refuses all writes until then, makes what it holds in
    /// memory durable in table files and begins another file of its write-ahead log, so
    /// that nothing is written behind what the failed write may have left.
    fn sync_with_patience(
        &mut self,
        writes: WriteBatch,
        intake: &mut Intake,
    ) -> Result<(), String> {
        self.condition.syncs_since(Some(Instant::now()));
        let outcome = self.insist(writes, intake).map_err(String::from);
        self.condition.syncs_since(None);
        outcome
    }

    /// The same write until the disk has space for it, or it fails for another reason.
    fn insist(&mut self, writes: WriteBatch, intake: &mut Intake) -> Result<(), Refused> {
        // Whatever is free: inodes and quotas do not show there.
        let copy = writes.data().to_vec();
        let mut outcome = self.sync(writes);
        let mut is_again = false;
        let mut has_room_since = None;
        loop {
            let is_awaited = match &outcome {
                Ok(()) => break,
                Err(Refused::Failed(_)) => return outcome,
                Err(Refused::Full(reason)) => {
                    let since = has_room_since.get_or_insert_with(Instant::now);
                    if !intake.has_room() {
                        has_room_since = None;
                    } else if since.elapsed() > GIVES_UP_AFTER {
                        let reason = format!("{reason}; there is space, and RocksDB stays closed");
                        return Err(Refused::Failed(reason));
                    }
                    intake.wait_for_space()
                }
                Err(Refused::Stalled) => intake.wait_a_moment(),
            };
            if !is_awaited {
                return outcome;
            }
            // However little is free: what was admitted may take of the reserve, and
            // RocksDB knows best when it can go on.
            outcome = self.sync(WriteBatch::from_data(&copy));
            is_again = true;
        }
        if is_again {
            intake.space_is_found();
        }
        outcome
    }

    /// One write and one sync for the whole batch.
    fn sync(&self, writes: WriteBatch) -> Result<(), Refused> {
        if self.condition.takes_failure() {
            let reason = "IO error: this write was told to fail";
            return Err(Refused::Failed(reason.into()));
        }
        if writes.is_empty() {
            return Ok(());
        }
        self.metrics
            .batch_bytes
            .record(writes.size_in_bytes() as f64);
        let begun = Instant::now();
        let written = self.db.write_opt(writes, &self.synced);
        self.metrics
            .sync_seconds
            .record(begun.elapsed().as_secs_f64());
        written.map_err(Refused::from)
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
        if !self.condition.is_closed() {
            self.write_deletions(writes, deleted);
        }
    }

    /// Not synced: a crash that takes it leaves what the purge record hides. So the
    /// watermark stays where it is until the next sync.
    fn write_deletions(&mut self, writes: WriteBatch, deleted: Vec<Deleted>) {
        if writes.is_empty() {
            return;
        }
        match self.db.write_opt(writes, &self.unsynced) {
            Ok(()) => self.keeper.deleted(deleted),
            // What was purged stays until the store is opened again: nobody sees it.
            Err(error) => match Refused::from(error) {
                Refused::Stalled => tracing::debug!("a flush is waited for"),
                Refused::Full(reason) => {
                    tracing::warn!(reason, "cannot delete what was purged");
                }
                Refused::Failed(reason) => self.fail(&reason, Vec::new()),
            },
        }
        self.metrics.purge_lag.set(self.space.lag() as f64);
    }

    /// A failed write closes the store: what is on the disk is not known any more,
    /// and a second sync that succeeds would not say anything about the first.
    fn fail(&self, reason: &str, changes: Vec<Accepted>) {
        self.metrics.failures.increment(1);
        self.condition.close();
        tracing::error!(reason, "a write failed, the store is closed for writing");
        for Accepted { doing, outcome, .. } in changes {
            let source = reason.into();
            drop(outcome.send(Err(match says_full(reason) {
                true => StorageError::Full { doing, source },
                false => StorageError::Io { doing, source },
            })));
        }
    }
}

/// About what a batch of entries takes: room from the start saves copies.
const fn capacity(bytes: usize) -> usize {
    bytes + bytes / 8 + 512
}
