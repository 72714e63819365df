//! Writing: a batch of changes, one sync, and what is told of it.

use std::sync::Arc;
use std::time::Instant;

use raft_core::{StorageError, StorageHealth};
use rocksdb::{DB, FlushOptions, WriteBatch, WriteOptions};

use crate::condition::Condition;
use crate::intake::{Handed, Outcome};
use crate::keeper::Keeper;
use crate::keys::{COLUMN_FAMILIES, family};
use crate::metrics::WriterMetrics;
use crate::options::RocksOptions;
use crate::plan::{Batch, Plan};
use crate::refused::{Refused, says_full};
use crate::run::RunEncoder;
use crate::space::{Deletion, Space};
use crate::watermark::Watermark;

/// The database, for whoever writes.
pub(crate) struct Disk {
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
}

/// What is written at once. As it does not change, it can be written again as it was.
#[derive(Default)]
pub(crate) struct Together {
    deletions: Vec<Deletion>,
    accepted: Vec<Accepted>,
    /// About how much it is.
    bytes: usize,
}

/// A change that is written, and who waits for it.
struct Accepted {
    doing: &'static str,
    plan: Plan,
    outcome: Outcome,
}

/// What came back unwritten, and why.
pub(crate) struct ComeBack {
    pub(crate) together: Together,
    pub(crate) refused: Refused,
}

impl Disk {
    pub(crate) fn new(
        db: Arc<DB>,
        sync: bool,
        watermark: Option<Watermark>,
        condition: Arc<Condition>,
        keeper: Keeper,
    ) -> Self {
        Self {
            db,
            synced: RocksOptions::impatient_writes(sync),
            unsynced: RocksOptions::impatient_writes(false),
            watermark,
            condition,
            metrics: WriterMetrics::new(),
            encoder: RunEncoder::default(),
            space: Space::default(),
            keeper,
        }
    }

    /// Plans changes that shall share a write. Whoever is refused is told so.
    pub(crate) fn plan(&mut self, changes: impl Iterator<Item = Handed>) -> Together {
        let mut together = Together::default();
        if self.condition.is_closed() {
            for (_, outcome) in changes {
                drop(outcome.send(Err(StorageError::Closed)));
            }
            return together;
        }
        // First, because they go by what is durable.
        together.deletions = self.space.take_deletions(&self.db);
        for (change, outcome) in changes {
            let (doing, bytes) = (change.doing(), change.bytes());
            match Plan::of(change, &self.db) {
                Ok(plan) => {
                    together.bytes += bytes;
                    together.accepted.push(Accepted {
                        doing,
                        plan,
                        outcome,
                    });
                }
                // Whoever asked may have gone; there is nothing to undo.
                Err(refusal) => drop(outcome.send(Err(refusal))),
            }
        }
        together
    }

    /// One write and one sync. What a full disk or a flush stands in the way of comes
    /// back; any other failure closes the store.
    pub(crate) fn write(&mut self, together: Together) -> Result<(), ComeBack> {
        if together.accepted.is_empty() {
            self.write_deletions(together.deletions);
            return Ok(());
        }
        self.condition.sync_begins();
        let writes = self.batch(&together);
        // A change that changes nothing, as a purge that was made before.
        let is_empty = writes.is_empty();
        match self.sync(writes) {
            Ok(()) => self.finish(together, is_empty),
            Err(Refused::Failed(reason)) => self.fail(&reason, together),
            Err(refused) => return Err(ComeBack { together, refused }),
        }
        Ok(())
    }

    fn batch(&mut self, together: &Together) -> WriteBatch {
        let mut batch = Batch {
            db: &self.db,
            writes: WriteBatch::with_capacity_bytes(capacity(together.bytes)),
            encoder: &mut self.encoder,
        };
        for deletion in &together.deletions {
            deletion.put(&mut batch);
        }
        for accepted in &together.accepted {
            accepted.plan.put(&mut batch);
        }
        batch.writes
    }

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

    /// Shows what is durable now, and tells who waits for it before all else.
    fn finish(&mut self, together: Together, is_empty: bool) {
        self.condition.sync_ends();
        let count = together.accepted.len();
        let (mut appends, mut entries, mut bytes) = (0, 0, 0);
        for Accepted { plan, outcome, .. } in together.accepted {
            match &plan {
                Plan::Append { entries: run, .. } => {
                    appends += 1;
                    entries += run.len() as u64;
                    bytes += run.size() as u64;
                }
                Plan::Purge { group, .. } | Plan::Reset { group, .. } => {
                    self.space.purged(Arc::clone(group));
                }
                Plan::Repair { .. } | Plan::Vote { .. } => {}
            }
            plan.show();
            drop(outcome.send(Ok(())));
        }
        // Without a sync of now, what was written last may not be durable.
        if !is_empty {
            self.raise_watermark();
        }
        self.are_made(&together.deletions);
        self.metrics.writes.increment(count as u64);
        self.metrics.batch_writes.record(count as f64);
        self.metrics.batch_entries.record(entries as f64);
        self.metrics.appends.increment(appends);
        self.metrics.appended_entries.increment(entries);
        self.metrics.appended_bytes.increment(bytes);
        self.metrics.purge_lag.set(self.space.lag() as f64);
    }

    /// A crash before this leaves the watermark behind, which only means that less is
    /// noticed.
    fn raise_watermark(&mut self) {
        let Some(watermark) = &mut self.watermark else {
            return;
        };
        // Nobody else writes, and the last write was synced with all before it.
        match watermark.raise(self.db.latest_sequence_number()) {
            Ok(()) => self.keeper.raised(),
            Err(error) => tracing::warn!(%error, "cannot raise the watermark"),
        }
    }

    fn are_made(&self, deletions: &[Deletion]) {
        self.keeper
            .deleted(deletions.iter().map(Deletion::made).collect());
    }

    /// Whether purged runs are to be deleted.
    pub(crate) fn has_purged(&self) -> bool {
        self.space.has_work() && !self.condition.is_closed()
    }

    /// Deletes what was purged, for a time when there is nothing else to write. Answers
    /// whether it is done.
    pub(crate) fn delete_purged(&mut self) -> bool {
        let deletions = self.space.take_deletions(&self.db);
        self.write_deletions(deletions)
    }

    /// Not synced: a crash that takes it leaves what the purge record hides. So the
    /// watermark stays where it is until the next sync.
    fn write_deletions(&mut self, deletions: Vec<Deletion>) -> bool {
        if deletions.is_empty() {
            return true;
        }
        let together = Together {
            deletions,
            ..Together::default()
        };
        let writes = self.batch(&together);
        let written = self.db.write_opt(writes, &self.unsynced);
        let is_done = written.is_ok();
        match written.map_err(Refused::from) {
            Ok(()) => self.are_made(&together.deletions),
            Err(Refused::Failed(reason)) => self.fail(&reason, together),
            // A flush or space is waited for.
            Err(Refused::Stalled | Refused::Full(_)) => {
                self.space.give_back(together.deletions);
            }
        }
        self.metrics.purge_lag.set(self.space.lag() as f64);
        is_done
    }

    /// A failed write closes the store: what is on the disk is not known any more,
    /// and a second sync that succeeds would not say anything about the first.
    pub(crate) fn fail(&self, reason: &str, together: Together) {
        self.condition.sync_ends();
        self.metrics.failures.increment(1);
        self.condition.close();
        tracing::error!(reason, "a write failed, the store is closed for writing");
        for Accepted { doing, outcome, .. } in together.accepted {
            let source = reason.into();
            drop(outcome.send(Err(match says_full(reason) {
                true => StorageError::Full { doing, source },
                false => StorageError::Io { doing, source },
            })));
        }
    }

    /// A clean close: what is in memory goes to table files, so that the next open
    /// replays nothing, and damage until then is damage to a file whose blocks say what
    /// they hold, and not to the write-ahead log, without which the rest of it is lost.
    pub(crate) fn leave(&self) {
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
}

/// About what a batch of entries takes: room from the start saves copies.
const fn capacity(bytes: usize) -> usize {
    bytes + bytes / 8 + 512
}
