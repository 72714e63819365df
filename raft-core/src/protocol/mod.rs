//! The Raft protocol as a deterministic machine.
//!
//! [`Raft`] is one replica of one group. Everything that happens to it is an
//! [`Input`], everything it wants done is an [`Output`]; time is an argument and
//! randomness comes from a seed. Same inputs, same outputs, on every machine.
//!
//! Driving it:
//!
//! 1. `handle(now, input)` for whatever happened, or `handle_all` for all that waits;
//! 2. `poll_output()` until it answers nothing, doing what it says;
//! 3. when `poll_timeout()` has come, `handle(now, Input::Tick)`.
//!
//! **Order of effects.** An output that claims something durable is not emitted
//! before the [`Input::Persisted`] that makes it true, so outputs may be carried
//! out in any order and at any speed, but for what [`Output`] says.
//!
//! What is deliberately absent: tasks, clocks, files, threads, ambient randomness.

mod absence;
mod append;
mod apply;
mod changes;
mod compaction;
mod dispatch;
mod durability;
mod election;
pub mod event;
mod health;
mod held;
pub mod input;
mod invariants;
mod leadership;
mod lease;
mod log;
pub mod output;
mod pending_proposals;
mod persist;
mod proposals;
mod quorum;
pub(crate) mod random;
mod readmission;
mod reads;
mod reconfigure;
mod repair;
mod replication;
pub mod restore;
mod role;
mod send;
mod snapshot;
pub mod status;
#[cfg(test)]
mod tests;
mod timer;
mod transfer;

use std::collections::{BTreeMap, VecDeque};

pub use event::{Event, StepDownReason};
pub use input::{Consistency, Input, Proposal, SnapshotOffer, Ticket};
pub use output::{
    Apply, Output, Persist, PersistToken, ReadLog, ReadToken, SendSnapshot, SnapshotToken,
};
pub use restore::Restored;
pub use status::{FollowerState, FollowerStatus, RoleKind, Status};

use self::changes::PendingChanges;
use self::compaction::Compaction;
use self::durability::Durability;
use self::held::HeldProposals;
use self::invariants::Before;
use self::log::RaftLog;
use self::pending_proposals::PendingProposals;
use self::persist::Staged;
use self::random::Random;
use self::reads::ReadyReads;
use self::repair::Repairs;
use self::role::{Follower, Role};
use self::timer::Timers;
use self::transfer::AwaitedLeader;
use crate::config::Config;
use crate::entry::LogSlice;
use crate::error::RestoreError;
use crate::hard_state::HardState;
use crate::storage_health::StorageHealth;
use crate::time::Timestamp;
use crate::types::{LogIndex, NodeId, ReplicaId, Term};

/// Terms above this are nonsense: they leave no room for the next one.
const MAX_TERM: Term = Term::new(u64::MAX / 2);

/// Positions above this are nonsense, for the same reason.
const MAX_INDEX: LogIndex = LogIndex::new(u64::MAX / 2);

/// One replica of one group.
#[derive(Debug)]
// Whoever explores all that may happen goes on from one state in many ways. A running
// node has no use for a second replica of the same name.
#[cfg_attr(any(test, feature = "testing"), derive(Clone))]
pub struct Raft {
    config: Config,
    /// Names this start in requests.
    boot: u64,
    random: Random,
    now: Timestamp,
    /// Term and vote as we act by them; durable when `durability` says so.
    hard_state: HardState,
    log: RaftLog,
    role: Role,
    timers: Timers,
    /// When a leader was last heard; a start counts as hearing one.
    leader_contact: Option<Timestamp>,
    /// Election timeouts since then.
    idle_elections: u32,
    /// Names the latest pre-vote. Counts from a random number: answers to one of
    /// an earlier start are no answers to this start's.
    pre_vote_round: u64,
    durability: Durability,
    staged: Staged,
    proposals: PendingProposals,
    /// Wait for a transfer to end.
    held: HeldProposals,
    changes: PendingChanges,
    awaited_leader: Option<AwaitedLeader>,
    /// The entry whose membership was last reported and acted upon.
    noted_membership: LogIndex,
    last_ticket: Option<Ticket>,
    ready_reads: ReadyReads,
    /// Read requests made of leaders so far.
    read_requests: u64,
    /// Handed to the state machine up to here.
    applying_up_to: LogIndex,
    /// The log store had nothing for the state machine: asked again with time.
    apply_retry_at: Option<Timestamp>,
    /// The snapshot that is being installed.
    install: Option<snapshot::Install>,
    last_snapshot_token: SnapshotToken,
    compaction: Compaction,
    repairs: Repairs,
    reported_health: StorageHealth,
    was_ill: bool,
    /// When a leader with an ill disk tries again to hand over.
    ill_hand_over_at: Timestamp,
    log_reads: BTreeMap<ReadToken, LogReadPurpose>,
    last_read_token: ReadToken,
    outputs: VecDeque<Output>,
}

/// Why the log is being read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum LogReadPurpose {
    Apply,
    Append { node: NodeId, session: u64 },
    Fetch { to: ReplicaId },
}

impl LogReadPurpose {
    const fn is_for_a_follower(self) -> bool {
        matches!(self, Self::Append { .. })
    }
}

impl Raft {
    /// Builds a replica from its durable state, at time `now`.
    ///
    /// It starts as a follower that knows no leader. Until the shortest election
    /// timeout has passed it votes for nobody, because it may have heard from a
    /// leader right before it stopped. A single voter campaigns at once.
    ///
    /// # Errors
    ///
    /// A configuration that cannot work, or durable state that contradicts itself.
    pub fn restore(
        config: Config,
        restored: Restored,
        now: Timestamp,
    ) -> Result<Self, RestoreError> {
        config.validate()?;
        restored.check_range()?;
        let log = RaftLog::restore(&restored, config.cache_bytes)?;
        let (log_term, current_term) = (log.last().term, restored.hard_state.current_term);
        if log_term > current_term {
            return Err(RestoreError::VoteStoreBehind {
                log_term,
                current_term,
            });
        }
        let mut random = Random::new(config.seed);
        let boot = random.next();
        let mut raft = Self {
            boot,
            random,
            now,
            hard_state: restored.hard_state,
            applying_up_to: log.last_applied(),
            noted_membership: log.membership_index(),
            log,
            role: Role::Follower(Follower::default()),
            timers: Timers::default(),
            leader_contact: Some(now),
            idle_elections: 0,
            pre_vote_round: boot,
            durability: Durability::new(restored.hard_state),
            staged: Staged::default(),
            proposals: PendingProposals::default(),
            held: HeldProposals::default(),
            changes: PendingChanges::new(),
            awaited_leader: None,
            last_ticket: None,
            ready_reads: ReadyReads::new(),
            read_requests: 0,
            apply_retry_at: None,
            install: None,
            last_snapshot_token: SnapshotToken(0),
            compaction: Compaction::default(),
            repairs: Repairs::default(),
            reported_health: StorageHealth::Healthy,
            was_ill: false,
            ill_hand_over_at: now,
            log_reads: BTreeMap::new(),
            last_read_token: ReadToken(0),
            outputs: VecDeque::new(),
            config,
        };
        raft.reset_election_timer();
        if raft.is_only_voter() {
            raft.timers.election = now;
        }
        raft.report_lost_life();
        for &index in &restored.damaged {
            raft.note_damage(index);
        }
        Ok(raft)
    }

    fn is_only_voter(&self) -> bool {
        let membership = self.log.membership();
        self.is_voter() && membership.voters().len() == 1 && !membership.is_joint()
    }

    /// Takes in what happened, at time `now`. Time never runs backwards; an
    /// earlier `now` counts as the latest one seen.
    ///
    /// Nothing a peer or a client can put into `input` makes this panic.
    ///
    /// # Panics
    ///
    /// When the state contradicts Raft's safety properties, or the caller breaks
    /// the contract of [`Input`]: better to stop than to lose a write.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        let before = Before::of(self);
        self.now = self.now.max(now);
        self.take_in(input);
        self.end_step(&before);
    }

    /// Takes in all that waits, in order, at time `now`: what [`Raft::handle`] does
    /// with one after the other, and cheaper, because what follows from them is
    /// worked out once.
    ///
    /// # Panics
    ///
    /// As [`Raft::handle`].
    pub fn handle_all(&mut self, now: Timestamp, inputs: impl IntoIterator<Item = Input>) {
        let before = Before::of(self);
        self.now = self.now.max(now);
        for input in inputs {
            self.take_in(input);
        }
        self.end_step(&before);
    }

    fn end_step(&mut self, before: &Before) {
        self.pump();
        invariants::check(self);
        invariants::check_step(before, self);
    }

    fn take_in(&mut self, input: Input) {
        match input {
            Input::Tick => self.on_time(),
            Input::Message(envelope) => self.on_message(envelope),
            Input::Propose(proposals) => self.on_propose(proposals),
            Input::Read {
                consistency,
                tickets,
            } => self.on_read(consistency, tickets),
            Input::ChangeMembership { ticket, change } => {
                self.on_change_membership(ticket, change);
            }
            Input::TransferLeadership { ticket, to } => self.on_transfer_leadership(ticket, to),
            Input::Persisted(token) => self.on_persisted(token),
            Input::LogRead {
                token,
                entries,
                corrupt,
            } => self.on_log_read(token, entries, corrupt),
            Input::Repaired(log_id) => self.on_repaired(log_id),
            Input::Applied(index) => self.on_applied(index),
            Input::StateDurable(index) => self.note_state_durable(index),
            Input::Checkpoint => self.on_checkpoint_wanted(),
            Input::EntryDamaged(log_id) => self.on_entry_damaged(log_id),
            Input::CheckpointEnded => self.on_checkpoint_ended(),
            Input::SnapshotOffered(offer) => self.on_snapshot_offered(offer),
            Input::SnapshotRestored { token, ok } => self.on_snapshot_restored(token, ok),
            Input::SnapshotSent { token, installed } => self.on_snapshot_sent(token, installed),
            Input::SnapshotProgress(token) => self.on_snapshot_progress(token),
            Input::StorageHealth(health) => self.on_storage_health(health),
        }
    }

    /// What follows from whatever happened.
    fn pump(&mut self) {
        self.pump_membership();
        self.release_held();
        self.pump_appends();
        self.tell_commit_to_forwarders();
        self.pump_snapshots();
        self.pump_install();
        self.pump_transfer();
        self.pump_apply();
        self.pump_checkpoint();
        self.serve_reads();
        self.settle_changes();
        self.begin_persist();
    }

    /// A membership came into force, or went: acts upon it.
    fn pump_membership(&mut self) {
        while self.noted_membership != self.log.membership_index() {
            self.note_membership();
            self.sync_followers();
            // The quorum may be a smaller one now.
            self.advance_commit();
        }
    }

    fn on_log_read(&mut self, token: ReadToken, entries: LogSlice, corrupt: Option<LogIndex>) {
        let purpose = self.log_reads.remove(&token);
        if let Some(index) = corrupt.filter(|_| purpose.is_some()) {
            self.note_damage(index);
        }
        match purpose {
            Some(LogReadPurpose::Fetch { to }) => self.send_fetched(to, entries),
            Some(LogReadPurpose::Apply) => self.on_read_for_apply(entries),
            Some(LogReadPurpose::Append { node, session }) => {
                self.on_read_for_append(node, session, entries);
            }
            None => {}
        }
    }

    /// The next thing to do, if any.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The term of the entry at `index`; nothing if the log does not reach
    /// there. The purged position itself is known.
    pub fn term_at(&self, index: LogIndex) -> Option<Term> {
        self.log.term_at(index)
    }

    /// The configuration this replica runs with.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The random number of this start, which its proposals carry in the log.
    pub const fn boot(&self) -> u64 {
        self.boot
    }

    fn emit(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}
