//! A replica's role with its data, and the changes from one to another (Raft figure 4).
//!
//! A role's data lives and dies with the role: a candidate has no old leader,
//! a follower no old tally.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::Raft;
use super::event::{Event, StepDownReason};
use super::log::RaftLog;
use super::random::Random;
use super::reads::{FollowerReads, LeaderRead};
use super::replication::ProgressMap;
use super::status::RoleKind;
use super::transfer::Transfer;
use crate::hard_state::HardState;
use crate::time::Timestamp;
use crate::types::{LogIndex, NodeId, ReplicaId, Term};

/// What a replica is at the moment.
#[derive(Clone, Debug)]
pub(super) enum Role {
    Follower(Follower),
    PreCandidate(Tally),
    Candidate(Tally),
    Leader(Box<Leader>),
}

/// A follower's data; also a learner's, and a voter's who knows no leader.
#[derive(Clone, Debug, Default)]
pub(super) struct Follower {
    pub(super) leader: Option<ReplicaId>,
    /// The leader's replication session, for acknowledgements.
    pub(super) session: u64,
    /// Last entry known to agree with the leader's log; zero if none.
    pub(super) verified: LogIndex,
    /// The latest heartbeat round seen of this leader.
    pub(super) latest_round: Option<u64>,
    /// An append waits for its entries to be durable before it is acknowledged.
    pub(super) owes_ack: bool,
    pub(super) reads: FollowerReads,
}

/// Who said what in a pre-vote or a vote.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) votes: BTreeMap<NodeId, bool>,
}

/// A leader's data.
#[derive(Clone, Debug)]
pub(super) struct Leader {
    pub(super) followers: ProgressMap,
    /// The blank entry this leadership began with; once it commits, so does all before it.
    pub(super) first_index: LogIndex,
    /// Heartbeat rounds begun.
    pub(super) round: u64,
    /// When the latest rounds were begun, oldest first.
    pub(super) rounds: VecDeque<(u64, Timestamp)>,
    /// Not before this can a quorum have been silent for too long.
    pub(super) quorum_check_at: Timestamp,
    /// A successor was asked to campaign: the lease is no use in this term any more.
    pub(super) lease_is_barred: bool,
    pub(super) transfer: Option<Transfer>,
    /// Who did not take over when asked last.
    pub(super) failed_successor: Option<NodeId>,
    /// The latest membership change of each start that forwards to us.
    pub(super) changes_seen: BTreeMap<u64, u64>,
    /// Reads that wait for a round, or for the first commit.
    pub(super) reads: VecDeque<LeaderRead>,
    /// The highest command appended of each start that forwards to us.
    pub(super) forwarded: BTreeMap<u64, u64>,
    /// Sizes of the entries that are not committed, or not durable here, by index.
    pub(super) unfinished: VecDeque<(LogIndex, usize)>,
    pub(super) unfinished_bytes: usize,
}

impl Role {
    pub(super) const fn kind(&self) -> RoleKind {
        match self {
            Self::Follower(_) => RoleKind::Follower,
            Self::PreCandidate(_) => RoleKind::PreCandidate,
            Self::Candidate(_) => RoleKind::Candidate,
            Self::Leader(_) => RoleKind::Leader,
        }
    }
}

impl Leader {
    fn new(log: &RaftLog, own: NodeId, now: Timestamp, quorum_check_at: Timestamp) -> Self {
        let first_index = log.last().index.next();
        Self {
            followers: ProgressMap::start(log.membership(), own, first_index, now),
            first_index,
            round: 0,
            rounds: VecDeque::new(),
            quorum_check_at,
            lease_is_barred: false,
            transfer: None,
            failed_successor: None,
            changes_seen: BTreeMap::new(),
            reads: VecDeque::new(),
            forwarded: BTreeMap::new(),
            unfinished: VecDeque::new(),
            unfinished_bytes: 0,
        }
    }
}

impl Raft {
    /// Follows in `term`, which is ours or a higher one; the leader is yet to be seen.
    pub(super) fn become_follower(&mut self, term: Term, reason: StepDownReason) {
        assert!(term >= self.hard_state.current_term, "terms never fall");
        let was = self.role.kind();
        if term > self.hard_state.current_term {
            self.set_hard_state(HardState {
                current_term: term,
                voted_for: None,
            });
        }
        self.replace_role(Role::Follower(Follower::default()));
        if was != RoleKind::Follower {
            self.emit(Event::SteppedDown { term, reason });
            self.reset_election_timer();
        }
    }

    /// Follows `leader` in the current term. Answers whether that is possible:
    /// a term has one leader (Raft §5.2), so a second one is nonsense.
    pub(super) fn follow(&mut self, leader: ReplicaId) -> bool {
        match &self.role {
            Role::Leader(_) => return false,
            Role::Follower(follower) => {
                if let Some(known) = follower.leader {
                    return known == leader;
                }
            }
            Role::PreCandidate(_) | Role::Candidate(_) => {
                self.become_follower(self.hard_state.current_term, StepDownReason::OtherLeader);
            }
        }
        if let Role::Follower(follower) = &mut self.role {
            follower.leader = Some(leader);
        }
        self.emit(Event::LeaderKnown {
            term: self.hard_state.current_term,
            leader: leader.node,
        });
        self.note_next_leader(leader.node);
        true
    }

    pub(super) fn become_pre_candidate(&mut self) {
        self.replace_role(Role::PreCandidate(Tally::default()));
        let proposed_term = self.hard_state.current_term.next();
        self.emit(Event::PreVoteStarted { proposed_term });
    }

    /// Campaigns in the next term and votes for itself (Raft §5.2).
    pub(super) fn become_candidate(&mut self) {
        let term = self.hard_state.current_term.next();
        let voted_for = Some(self.config.replica);
        self.set_hard_state(HardState {
            current_term: term,
            voted_for,
        });
        self.replace_role(Role::Candidate(Tally::default()));
        self.emit(Event::ElectionStarted { term });
    }

    /// Leads in the current term and appends a blank entry, so that all before it
    /// can commit (Raft §5.4.2, §8).
    pub(super) fn become_leader(&mut self) {
        assert!(
            matches!(self.role, Role::Candidate(_)),
            "only a candidate becomes leader"
        );
        assert_eq!(
            self.durability.durable_hard_state(),
            self.hard_state,
            "won an election before its own vote was durable"
        );
        // Followers count as heard when replication to them starts.
        let quorum_check_at = self.now + self.config.election_timeout_max;
        let own = self.config.replica.node;
        let leader = Leader::new(&self.log, own, self.now, quorum_check_at);
        self.replace_role(Role::Leader(Box::new(leader)));
        self.emit(Event::BecameLeader {
            term: self.hard_state.current_term,
        });
        self.note_next_leader(self.config.replica.node);
        self.idle_elections = 0;
        self.append_blank();
        self.timers.heartbeat = self.now + self.heartbeat_phase();
        self.begin_round();
    }

    /// When the second round comes; the others follow it in the usual interval. Random,
    /// because groups that were elected together, as after a restart, would have their
    /// rounds in step for ever. Of a stream of its own, so that elections are drawn as
    /// if it were not there.
    fn heartbeat_phase(&self) -> Duration {
        let mut random = Random::new(self.boot ^ self.hard_state.current_term.get());
        random.duration_between(Duration::ZERO, self.config.heartbeat_interval)
    }

    fn replace_role(&mut self, role: Role) {
        let old = std::mem::replace(&mut self.role, role);
        if let Role::Leader(leader) = &old {
            self.stop_snapshots(leader.followers.snapshot_tokens());
            self.drop_held_of_others();
            if let Some(transfer) = &leader.transfer {
                self.await_next_leader(transfer);
            }
        }
        self.fail_reads_of(old);
        self.log_reads
            .retain(|_, purpose| !purpose.is_for_a_follower());
    }

    /// Changes term and vote; they become durable with the next persist request.
    pub(super) fn set_hard_state(&mut self, hard_state: HardState) {
        self.hard_state = hard_state;
        self.staged.hard_state = true;
    }

    /// The leader this replica knows of.
    pub(super) fn leader(&self) -> Option<ReplicaId> {
        match &self.role {
            Role::Leader(_) => Some(self.config.replica),
            Role::Follower(follower) => follower.leader,
            Role::PreCandidate(_) | Role::Candidate(_) => None,
        }
    }
}
