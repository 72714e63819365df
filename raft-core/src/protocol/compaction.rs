//! When the state machine is checkpointed, and how much of the log is kept.
//!
//! The log is the state machine's write-ahead log: what a crash could take from
//! the state machine stays in the log. Above that, some entries are kept for
//! followers that are only slow, because sending them entries is far cheaper
//! than sending them everything.

use super::Raft;
use super::event::Event;
use super::output::Output;
use super::role::Role;
use crate::types::LogIndex;

/// The log is cut in steps of at least this fraction of what is kept, so that
/// purging costs little.
const PURGE_STEP: u64 = 4;

/// What is known of the state machine's durability.
#[derive(Clone, Debug, Default)]
pub(super) struct Compaction {
    /// A crash leaves the state machine here at least.
    state_durable: LogIndex,
    /// A checkpoint is under way.
    is_running: bool,
    /// Somebody asked for one: the log is cut as far as may be, however little that is.
    is_wanted: bool,
    /// Somebody asked while one was under way, which does not count.
    is_wanted_again: bool,
    entries_since: u64,
    bytes_since: u64,
}

impl Raft {
    /// Counts what is handed to the state machine.
    pub(super) fn count_applied(&mut self, entries: usize, bytes: usize) {
        self.compaction.entries_since += entries as u64;
        self.compaction.bytes_since += bytes as u64;
    }

    /// Asks for a checkpoint when enough was applied since the last one.
    pub(super) fn pump_checkpoint(&mut self) {
        let due = self.compaction.entries_since >= self.config.checkpoint_entries
            || self.compaction.bytes_since >= self.config.checkpoint_bytes
            || self.compaction.is_wanted;
        if due && !self.compaction.is_running && !self.is_installing() {
            self.compaction.is_running = true;
            self.compaction.entries_since = 0;
            self.compaction.bytes_since = 0;
            self.outputs.push_back(Output::Checkpoint);
        }
    }

    pub(super) fn on_checkpoint_wanted(&mut self) {
        match self.compaction.is_running {
            true => self.compaction.is_wanted_again = true,
            false => self.compaction.is_wanted = true,
        }
    }

    /// Whether a checkpoint is under way.
    pub(super) const fn is_checkpointing(&self) -> bool {
        self.compaction.is_running
    }

    pub(super) fn on_checkpoint_ended(&mut self) {
        self.compaction.is_running = false;
        self.purge_log();
        self.compaction.is_wanted = std::mem::take(&mut self.compaction.is_wanted_again);
    }

    /// A crash leaves the state machine at `index` at least.
    pub(super) fn note_state_durable(&mut self, index: LogIndex) {
        let index = index.min(self.log.last_applied());
        if index > self.compaction.state_durable {
            self.compaction.state_durable = index;
            self.purge_log();
        }
    }

    /// Cuts what nobody needs, if it is worth it.
    pub(super) fn purge_log(&mut self) {
        if self.is_installing() {
            return;
        }
        let purged = self.log.purged().index;
        let up_to = self.purgeable_index();
        let step = match self.compaction.is_wanted {
            true => 1,
            false => (self.config.keep_entries / PURGE_STEP).max(1),
        };
        if up_to.distance_from(purged) < step {
            return;
        }
        let Some(up_to) = self.log.id_at(up_to) else {
            return;
        };
        self.log.purge_to(up_to.index);
        self.repairs_purged(up_to.index);
        self.emit(Event::Purged { up_to });
        self.outputs.push_back(Output::Purge(up_to));
    }

    /// Up to where neither a crash nor a follower that is only slow needs the log.
    fn purgeable_index(&self) -> LogIndex {
        let applied = self.log.last_applied();
        let needed_here = self.compaction.state_durable.min(applied);
        let kept = LogIndex::new(applied.get().saturating_sub(self.config.keep_entries));
        let mut up_to = needed_here.min(kept);
        if let Role::Leader(leader) = &self.role {
            let bound = LogIndex::new(applied.get().saturating_sub(self.config.max_kept_entries));
            for progress in leader.followers.iter() {
                if self.is_active(progress.replica.node) {
                    up_to = up_to.min(progress.needs_log_after().max(bound));
                }
            }
        }
        up_to
    }
}
