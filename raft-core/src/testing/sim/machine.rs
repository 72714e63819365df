//! The state machine of a simulated node: a digest of everything applied.
//!
//! It applies with a delay, flushes now and then, and takes checkpoints while it
//! goes on applying; a crash takes it back to what was durable, and it applies
//! again from there. Restored from a snapshot, it is durable at once.

use std::collections::VecDeque;
use std::sync::Arc;

use super::image::{LogImage, digest_after};
use super::workload::value_of;
use crate::entry::{Entry, Payload};
use crate::membership::Membership;
use crate::protocol::{Apply, SnapshotToken};
use crate::types::{LogId, LogIndex};

/// Position and digest of a state, and who belongs to the group there.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) last: LogId,
    pub(crate) digest: u64,
    /// What the last command wrote.
    pub(crate) value: Option<u64>,
    pub(crate) membership: Option<Arc<Membership>>,
    /// The log that a snapshot stands for, if the state came from one.
    pub(crate) origin: Option<Arc<LogImage>>,
}

impl State {
    /// The last entry applied.
    pub(crate) const fn applied(&self) -> LogIndex {
        self.last.index
    }
}

/// A state on its way to another node.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotImage {
    pub(crate) last: LogId,
    pub(crate) digest: u64,
    pub(crate) value: Option<u64>,
    pub(crate) membership: Arc<Membership>,
    pub(crate) log: Arc<LogImage>,
    /// The snapshot of the user's state machine, if there is one.
    pub(crate) user_snapshot: Option<usize>,
}

/// Something to do with a state machine.
#[derive(Debug)]
pub(crate) enum Job {
    Apply(Apply),
    Checkpoint,
    Restore(SnapshotToken, Arc<SnapshotImage>),
}

/// The state machine of one node.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    pub(crate) state: State,
    pub(crate) durable: State,
    /// The state that the checkpoint under way makes durable.
    pub(crate) checkpoint: Option<State>,
    queue: VecDeque<Job>,
}

impl Machine {
    /// Takes in a job. Answers whether nothing else was waiting.
    pub(crate) fn begin(&mut self, job: Job) -> bool {
        self.queue.push_back(job);
        self.queue.len() == 1
    }

    /// The oldest job, not taken.
    pub(crate) fn oldest_job(&self) -> Option<&Job> {
        self.queue.front()
    }

    /// The oldest job, which is due.
    pub(crate) fn next_job(&mut self) -> Option<Job> {
        self.queue.pop_front()
    }

    /// Whether the oldest job is a restore, which may take long.
    pub(crate) fn restores_next(&self) -> bool {
        matches!(self.queue.front(), Some(Job::Restore(..)))
    }

    /// Whether nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Applies one entry.
    pub(crate) fn apply(&mut self, entry: &Entry) {
        self.state.last = entry.log_id;
        self.state.digest = digest_after(self.state.digest, entry);
        match &entry.payload {
            Payload::Blank => {}
            Payload::Command { data, .. } => self.state.value = Some(value_of(data)),
            Payload::Membership(membership) => {
                self.state.membership = Some(Arc::new(membership.as_ref().clone()));
            }
        }
    }

    /// Takes the place of what was there, durably.
    pub(crate) fn restore(&mut self, snapshot: &SnapshotImage) {
        self.state = State {
            last: snapshot.last,
            digest: snapshot.digest,
            value: snapshot.value,
            membership: Some(Arc::clone(&snapshot.membership)),
            origin: Some(Arc::clone(&snapshot.log)),
        };
        self.durable = self.state.clone();
    }

    /// Makes the state durable.
    pub(crate) fn flush(&mut self) {
        self.durable = self.state.clone();
    }

    /// Makes the state durable as it was when this checkpoint began.
    pub(crate) fn finish_checkpoint(&mut self, state: State) {
        if state.applied() > self.durable.applied() {
            self.durable = state;
        }
    }

    /// Goes back to the last flush. Answers whether that loses anything.
    pub(crate) fn crash(&mut self) -> bool {
        let loses = self.state.applied() > self.durable.applied();
        self.state = self.durable.clone();
        self.queue.clear();
        self.checkpoint = None;
        loses
    }
}
