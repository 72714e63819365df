//! The properties, each checked in a file of its own, at every step.
//!
//! Checkers know nothing of the protocol's insides: they see what replicas show
//! in their status, what they send, and what is on their disks.

pub(crate) mod answers;
pub(crate) mod append_only;
pub(crate) mod bounds;
pub(crate) mod committed;
pub(crate) mod corruption;
pub(crate) mod durable_before_ack;
pub(crate) mod durable_quorum;
pub(crate) mod election_safety;
pub(crate) mod hard_state;
pub(crate) mod leader_completeness;
pub(crate) mod lease;
pub(crate) mod liveness;
pub(crate) mod log_matching;
pub(crate) mod membership_safety;
pub(crate) mod no_amnesia;
pub(crate) mod operations;
pub(crate) mod proposals;
pub(crate) mod reads;
pub(crate) mod register;
pub(crate) mod replication;
pub(crate) mod snapshot_equivalence;
pub(crate) mod state_machine_safety;
pub(crate) mod up_to_date;
pub(crate) mod vote_uniqueness;
pub(crate) mod watermarks;

use super::report::Violation;
use crate::hard_state::HardState;
use crate::protocol::{RoleKind, Status};
use crate::types::{LogId, LogIndex, ReplicaId, Term};

/// What a check answers.
pub(crate) type Check = Result<(), Violation>;

/// A replica as it shows itself after a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Seen {
    pub(crate) replica: ReplicaId,
    pub(crate) role: RoleKind,
    pub(crate) hard_state: HardState,
    pub(crate) commit_index: LogIndex,
    pub(crate) last_applied: LogIndex,
    pub(crate) durable_index: LogIndex,
    pub(crate) purged: LogIndex,
    pub(crate) last_log: LogId,
    /// The entry that brought the membership in force.
    pub(crate) membership_index: LogIndex,
    /// Digest of the whole log.
    pub(crate) log_digest: u64,
}

impl Seen {
    /// What `status` shows of a replica whose log has `log_digest`.
    pub(crate) fn of(status: &Status, log_digest: u64) -> Self {
        Self {
            replica: status.replica,
            role: status.role,
            hard_state: status.hard_state,
            commit_index: status.commit_index,
            last_applied: status.last_applied,
            durable_index: status.durable_index,
            purged: status.purged.index,
            last_log: status.last_log,
            membership_index: status.membership_index,
            log_digest,
        }
    }

    /// Its term.
    pub(crate) const fn term(&self) -> Term {
        self.hard_state.current_term
    }

    /// Whether it leads.
    pub(crate) fn leads(&self) -> bool {
        self.role == RoleKind::Leader
    }
}

/// The checkers that remember.
#[derive(Debug, Default)]
pub(crate) struct Checkers {
    pub(crate) elections: election_safety::ElectionSafety,
    pub(crate) votes: vote_uniqueness::VoteUniqueness,
    pub(crate) candidates: up_to_date::UpToDate,
    pub(crate) logs: log_matching::LogMatching,
    pub(crate) states: state_machine_safety::StateMachineSafety,
    pub(crate) committed: committed::Committed,
    pub(crate) proposals: proposals::Proposals,
    pub(crate) reads: reads::Reads,
    pub(crate) register: register::Register,
    pub(crate) replication: replication::Replication,
    pub(crate) operations: operations::Operations,
    pub(crate) answers: answers::Answers,
    pub(crate) amnesia: no_amnesia::NoAmnesia,
    pub(crate) corruption: corruption::Corruption,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A follower with an empty log.
    pub(crate) fn seen(node: u64, term: u64) -> Seen {
        Seen {
            replica: ReplicaId::first(node),
            role: RoleKind::Follower,
            hard_state: HardState {
                current_term: Term::new(term),
                voted_for: None,
            },
            commit_index: LogIndex::ZERO,
            last_applied: LogIndex::ZERO,
            durable_index: LogIndex::ZERO,
            purged: LogIndex::ZERO,
            last_log: LogId::ZERO,
            membership_index: LogIndex::ZERO,
            log_digest: 0,
        }
    }
}
