//! One follower as its leader sees it (Raft §5.3, figure 2 "volatile state on leaders").

use std::time::Duration;

use super::inflight::Inflight;
use crate::time::Timestamp;
use crate::types::{LogIndex, ReplicaId};

/// How appends to a follower are paced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ProgressState {
    /// Where the logs part is not known: one append at a time. `waiting` while it
    /// is unanswered; the next heartbeat round tries again.
    Probe { waiting: bool },
    /// The logs agree up to `next_index - 1` in flight: appends are pipelined.
    Replicate,
}

/// Limits on what is in flight to one follower.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_appends: usize,
    pub(crate) max_bytes: usize,
}

/// What a leader knows of one follower.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) replica: ReplicaId,
    /// Which replication session; echoed in acknowledgements.
    pub(crate) session: u64,
    pub(crate) state: ProgressState,
    /// Last entry that is durable there and agrees with our log. Never falls.
    pub(crate) match_index: LogIndex,
    /// The entry to send next. Always above `match_index`.
    pub(crate) next_index: LogIndex,
    /// When it last answered anything.
    pub(crate) last_contact: Timestamp,
    /// The latest round it answered.
    pub(crate) acked_round: u64,
    /// Its clients wait for the commit of what was forwarded up to here.
    pub(crate) forwarded_up_to: LogIndex,
    /// The commit index it was told in a message of its own.
    pub(crate) commit_told: LogIndex,
    /// A read of the log for its next append is under way.
    pub(crate) reads_log: bool,
    inflight: Inflight,
}

impl Progress {
    pub(super) fn new(
        replica: ReplicaId,
        session: u64,
        next_index: LogIndex,
        now: Timestamp,
    ) -> Self {
        Self {
            replica,
            session,
            state: ProgressState::Probe { waiting: false },
            match_index: LogIndex::ZERO,
            next_index,
            last_contact: now,
            acked_round: 0,
            forwarded_up_to: LogIndex::ZERO,
            commit_told: LogIndex::ZERO,
            reads_log: false,
            inflight: Inflight::default(),
        }
    }

    /// Whether something may be sent now, if there is something.
    pub(crate) fn may_send(&self, limits: Limits) -> bool {
        match self.state {
            _ if self.reads_log => false,
            ProgressState::Probe { waiting } => !waiting,
            ProgressState::Replicate => {
                !self.inflight.is_full(limits.max_appends, limits.max_bytes)
            }
        }
    }

    /// An append up to `last_index` was sent; an empty one names the entry before `next_index`.
    pub(crate) fn sent(&mut self, last_index: LogIndex, bytes: usize, now: Timestamp) {
        match &mut self.state {
            ProgressState::Probe { waiting } => *waiting = true,
            ProgressState::Replicate => {
                if last_index >= self.next_index {
                    self.inflight.add(last_index, bytes, now);
                    self.next_index = last_index.next();
                }
            }
        }
    }

    /// The follower agrees with our log up to `received`, and holds it durably up to
    /// `durable`. Answers whether `match_index` rose.
    pub(crate) fn accepted(&mut self, received: LogIndex, durable: LogIndex) -> bool {
        let rises = durable > self.match_index;
        self.match_index = self.match_index.max(durable);
        self.inflight.acknowledge(self.match_index);
        self.next_index = self
            .next_index
            .max(received.next())
            .max(self.match_index.next());
        rises
    }

    /// An append was accepted: pipeline from here.
    pub(crate) fn begin_replicating(&mut self) {
        if matches!(self.state, ProgressState::Probe { .. }) {
            self.state = ProgressState::Replicate;
            self.inflight.clear();
        }
    }

    /// Starts looking for the place where the logs part, from `next_index`, or
    /// right above what is known to agree.
    pub(crate) fn begin_probing(&mut self, next_index: LogIndex) {
        self.state = ProgressState::Probe { waiting: false };
        self.next_index = next_index.max(self.match_index.next());
        self.inflight.clear();
    }

    /// The answer to a probe was lost, perhaps: allow another.
    pub(crate) fn allow_probe(&mut self) {
        if let ProgressState::Probe { waiting } = &mut self.state {
            *waiting = false;
        }
    }

    /// Whether a rejection of the append after `previous` is about now and not about the past.
    pub(crate) fn is_current_rejection(&self, previous: LogIndex) -> bool {
        previous > self.match_index
            && match self.state {
                ProgressState::Probe { .. } => Some(previous) == self.next_index.previous(),
                ProgressState::Replicate => previous < self.next_index,
            }
    }

    /// Whether an append must have been lost: the follower has only `received`,
    /// although what lies above was sent longer than `patience` ago.
    pub(crate) fn lost_append(
        &self,
        received: LogIndex,
        now: Timestamp,
        patience: Duration,
    ) -> bool {
        self.state == ProgressState::Replicate
            && self
                .inflight
                .oldest_above(received)
                .is_some_and(|at| now.since(at) >= patience)
    }
}
