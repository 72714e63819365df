//! What a replica shows of itself.

use std::sync::Arc;

use super::Raft;
use super::replication::ProgressState;
use super::role::Role;
use crate::hard_state::HardState;
use crate::membership::Membership;
use crate::types::{Incarnation, LogId, LogIndex, NodeId, ReplicaId, Term};

/// A replica's part in its group.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum RoleKind {
    /// Follows a leader, or waits for one.
    #[default]
    Follower,
    /// Asks whether it could win an election.
    PreCandidate,
    /// Campaigns.
    Candidate,
    /// Leads.
    Leader,
}

impl RoleKind {
    /// The role's name, for display and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Follower => "follower",
            Self::PreCandidate => "pre-candidate",
            Self::Candidate => "candidate",
            Self::Leader => "leader",
        }
    }
}

/// A replica at a glance.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Status {
    /// Who it is.
    pub replica: ReplicaId,
    /// Its role.
    pub role: RoleKind,
    /// Term and vote as the replica acts by them; perhaps not durable yet.
    pub hard_state: HardState,
    /// The leader it knows of; itself if it leads.
    pub leader: Option<NodeId>,
    /// Last entry known to be committed.
    pub commit_index: LogIndex,
    /// Last entry applied by the state machine.
    pub last_applied: LogIndex,
    /// Last entry of the log.
    pub last_log: LogId,
    /// Last entry that is durable here.
    pub durable_index: LogIndex,
    /// The entry before the first one that the log still holds.
    pub purged: LogId,
    /// The configuration in force: the latest one in the log.
    pub membership: Arc<Membership>,
    /// The entry that brought it; zero for the one the replica started from.
    pub membership_index: LogIndex,
    /// Whether the disk gets its writes done.
    pub disk_is_ill: bool,
    /// Whether leadership is being handed over, and to whom.
    pub transfer_to: Option<NodeId>,
    /// Whether the state machine is being replaced by a snapshot.
    pub is_installing: bool,
    /// Entries known to be damaged and not mended yet.
    pub damaged_entries: usize,
    /// The followers' progress, while leading.
    pub followers: Vec<FollowerStatus>,
    /// Proposals of this node that wait for their outcome.
    pub pending_proposals: usize,
    /// Reads of this node that wait for their index.
    pub pending_reads: usize,
}

impl Status {
    /// The current term.
    pub const fn term(&self) -> Term {
        self.hard_state.current_term
    }

    /// Whether the membership names an earlier life of this node, whose vote is
    /// lost: this one has no vote, gets no entries, and waits to be readmitted
    /// ([`MembershipChange::readmit`](crate::MembershipChange::readmit)).
    pub fn awaits_readmission(&self) -> bool {
        let known = self.membership.replica(self.replica.node);
        known.is_some_and(|known| known.incarnation < self.replica.incarnation)
    }
}

/// A follower as its leader sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FollowerStatus {
    /// Who.
    pub replica: ReplicaId,
    /// Last entry that is durable there and agrees with the leader's log.
    pub match_index: LogIndex,
    /// The entry to send next.
    pub next_index: LogIndex,
    /// Whether it answered within the election timeout.
    pub is_active: bool,
    /// How it is brought up to date.
    pub state: FollowerState,
    /// The later life in which the node answers, because this one's vote is lost;
    /// the group can readmit it
    /// ([`MembershipChange::readmit`](crate::MembershipChange::readmit)).
    pub latest_life: Option<Incarnation>,
}

/// How a leader brings a follower up to date.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum FollowerState {
    /// Looks for the place where the logs part.
    Probe,
    /// Appends are pipelined.
    Replicate,
    /// Waits for a snapshot, or gets one.
    Snapshot,
}

impl FollowerState {
    /// The state's name, for display and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Replicate => "replicate",
            Self::Snapshot => "snapshot",
        }
    }
}

impl Raft {
    /// The replica at a glance. Costs an allocation while leading.
    pub fn status(&self) -> Status {
        Status {
            replica: self.config.replica,
            role: self.role.kind(),
            hard_state: self.hard_state,
            leader: self.leader().map(|replica| replica.node),
            commit_index: self.log.commit_index(),
            last_applied: self.log.last_applied(),
            last_log: self.log.last(),
            durable_index: self.log.durable_index(),
            purged: self.log.purged(),
            membership: Arc::clone(self.log.membership()),
            membership_index: self.log.membership_index(),
            disk_is_ill: self.was_ill,
            transfer_to: self.transfer_target(),
            is_installing: self.is_installing(),
            damaged_entries: self.repairs.damaged_count(),
            followers: self.follower_statuses(),
            pending_proposals: self.proposals.len() + self.held.len(),
            pending_reads: self.pending_reads(),
        }
    }

    fn follower_statuses(&self) -> Vec<FollowerStatus> {
        let Role::Leader(leader) = &self.role else {
            return Vec::new();
        };
        leader
            .followers
            .iter()
            .map(|progress| FollowerStatus {
                replica: progress.replica,
                match_index: progress.match_index,
                next_index: progress.next_index,
                is_active: self.now.since(progress.last_contact) < self.config.election_timeout_min,
                state: match progress.state {
                    ProgressState::Probe { .. } => FollowerState::Probe,
                    ProgressState::Replicate => FollowerState::Replicate,
                    ProgressState::Snapshot { .. } => FollowerState::Snapshot,
                },
                latest_life: progress.latest_life,
            })
            .collect()
    }
}
