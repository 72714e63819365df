//! One follower as its leader sees it (Raft §5.3, figure 2 "volatile state on leaders").

use std::time::Duration;

use super::inflight::Inflight;
use crate::protocol::output::SnapshotToken;
use crate::time::Timestamp;
use crate::types::{Incarnation, LogIndex, ReplicaId};

/// How appends to a follower are paced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ProgressState {
    /// Where the logs part is not known: one append at a time. `waiting` while it
    /// is unanswered; the next heartbeat round tries again.
    Probe { waiting: bool },
    /// The logs agree up to `next_index - 1` in flight: appends are pipelined.
    Replicate,
    /// The log does not reach back to what the follower lacks: it gets a
    /// snapshot. Without a token it waits for its turn, or for the next try.
    Snapshot { token: Option<SnapshotToken> },
}

/// Limits on what is in flight to one follower.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_appends: usize,
    pub(crate) max_bytes: usize,
}

/// What a leader knows of one follower.
#[derive(Clone, Debug)]
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
    /// Last entry that it said to hold in its latest answer. May fall.
    pub(crate) received: LogIndex,
    /// When that rose last.
    received_rose_at: Timestamp,
    /// Whether it answered anything in this session.
    pub(crate) has_answered: bool,
    /// Until when it votes for nobody else, by its answer to the latest round.
    pub(crate) promised_until: Timestamp,
    /// The node lost this life's vote and answers in a later one.
    pub(crate) latest_life: Option<Incarnation>,
    /// Removed from the group: it is followed until then, to learn of it.
    pub(crate) departs_at: Option<Timestamp>,
    /// The snapshot sent last holds at least this.
    snapshot_holds: LogIndex,
    /// When the next snapshot may be tried.
    snapshot_retry_at: Timestamp,
    /// When the snapshot on its way last got further.
    snapshot_progress_at: Timestamp,
    /// The latest round it answered.
    pub(crate) acked_round: u64,
    /// Its clients wait for the commit of what was forwarded up to here.
    pub(crate) forwarded_up_to: LogIndex,
    /// The commit index it was told, as far as it holds the entries.
    pub(crate) commit_told: LogIndex,
    /// Entries went with a probe at `next_index`. They may be on their way or wait for
    /// its disk, so the probes that follow carry none, until it was silent for a while.
    pub(crate) probe_had_entries: bool,
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
            received: LogIndex::ZERO,
            received_rose_at: now,
            has_answered: false,
            promised_until: Timestamp::ZERO,
            latest_life: None,
            departs_at: None,
            snapshot_holds: LogIndex::ZERO,
            snapshot_retry_at: Timestamp::ZERO,
            snapshot_progress_at: Timestamp::ZERO,
            acked_round: 0,
            forwarded_up_to: LogIndex::ZERO,
            commit_told: LogIndex::ZERO,
            probe_had_entries: false,
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
            ProgressState::Snapshot { .. } => false,
        }
    }

    /// An append up to `last_index` was sent; an empty one names the entry before `next_index`.
    pub(crate) fn sent(&mut self, last_index: LogIndex, bytes: usize, now: Timestamp) {
        match &mut self.state {
            ProgressState::Probe { waiting } => {
                *waiting = true;
                self.probe_had_entries |= last_index >= self.next_index;
            }
            ProgressState::Replicate => {
                if last_index >= self.next_index {
                    self.inflight.add(last_index, bytes, now);
                    self.next_index = last_index.next();
                }
            }
            ProgressState::Snapshot { .. } => {}
        }
    }

    /// The follower agrees with our log up to `received`, and holds it durably up to
    /// `durable`. Answers whether `match_index` rose.
    pub(crate) fn accepted(
        &mut self,
        received: LogIndex,
        durable: LogIndex,
        now: Timestamp,
    ) -> bool {
        if received > self.received {
            self.received_rose_at = now;
        }
        self.received = received;
        let rises = durable > self.match_index;
        self.match_index = self.match_index.max(durable);
        self.inflight.acknowledge(self.match_index);
        self.next_index = self
            .next_index
            .max(received.next())
            .max(self.match_index.next());
        rises
    }

    /// A message on its way carries the leader's commit index.
    pub(crate) fn tells_commit(&mut self, commit: LogIndex) {
        self.commit_told = self.commit_told.max(commit.min(self.match_index));
    }

    /// It answered something.
    pub(crate) fn heard(&mut self, now: Timestamp) {
        self.last_contact = now;
        self.has_answered = true;
    }

    /// The log does not reach back to `next_index`.
    pub(crate) fn begin_snapshot(&mut self) {
        self.state = ProgressState::Snapshot { token: None };
        self.inflight.clear();
    }

    /// Whether a snapshot may be sent now: it answers, and the last try is a while ago.
    pub(crate) fn awaits_snapshot(&self, now: Timestamp, patience: Duration) -> bool {
        self.state == ProgressState::Snapshot { token: None }
            && now >= self.snapshot_retry_at
            && self.has_answered
            && now.since(self.last_contact) < patience
    }

    /// A snapshot that holds at least the entries up to `holds` is on its way.
    pub(crate) fn sends_snapshot(&mut self, token: SnapshotToken, holds: LogIndex, now: Timestamp) {
        self.state = ProgressState::Snapshot { token: Some(token) };
        self.snapshot_progress_at = now;
        self.snapshot_holds = holds;
    }

    /// The snapshot on its way.
    pub(crate) const fn snapshot_under_way(&self) -> Option<SnapshotToken> {
        match self.state {
            ProgressState::Snapshot { token } => token,
            _ => None,
        }
    }

    /// The snapshot on its way got further.
    pub(crate) fn snapshot_progressed(&mut self, now: Timestamp) {
        self.snapshot_progress_at = now;
    }

    /// The snapshot on its way, if it has got no further for longer than `limit`.
    pub(crate) fn overdue_snapshot(
        &self,
        now: Timestamp,
        limit: Duration,
    ) -> Option<SnapshotToken> {
        match self.state {
            ProgressState::Snapshot { token } if now.since(self.snapshot_progress_at) >= limit => {
                token
            }
            _ => None,
        }
    }

    /// The snapshot did not get there; the next try is not before `retry_at`.
    pub(crate) fn snapshot_failed(&mut self, retry_at: Timestamp) {
        self.state = ProgressState::Snapshot { token: None };
        self.snapshot_retry_at = retry_at;
    }

    /// What it lacks lies above this, counting the snapshot on its way.
    pub(crate) fn needs_log_after(&self) -> LogIndex {
        self.match_index.max(self.snapshot_holds)
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
        self.probe_had_entries = false;
        self.inflight.clear();
    }

    /// The answer to a probe was lost, perhaps: allow another. Who was silent for as
    /// long as `patience` has perhaps lost what it got.
    pub(crate) fn allow_probe(&mut self, now: Timestamp, patience: Duration) {
        if now.since(self.last_contact) >= patience {
            self.probe_had_entries = false;
        }
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
                ProgressState::Snapshot { .. } => false,
            }
    }

    /// Whether an append must have been lost: the follower has only `received`,
    /// although what lies above was sent longer than `patience` ago, and nothing
    /// new arrived for as long. On a slow link a full window takes its time;
    /// sending it again would only make it slower.
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
                .is_some_and(|at| now.since(at.max(self.received_rose_at)) >= patience)
    }
}
