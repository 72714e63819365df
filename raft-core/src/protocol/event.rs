//! What logs, metrics and golden tests see of a replica.

use std::fmt;

use crate::types::{LogId, LogIndex, NodeId, ReplicaId, Term};

/// Something that happened inside a replica. Changes nothing; drop it freely.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The replica asks whether it could win an election.
    PreVoteStarted {
        /// The term it would campaign in.
        proposed_term: Term,
    },
    /// The replica campaigns.
    ElectionStarted {
        /// The term it campaigns in.
        term: Term,
    },
    /// The replica won an election.
    BecameLeader {
        /// The term it leads.
        term: Term,
    },
    /// The replica stopped leading or campaigning.
    SteppedDown {
        /// Its term from now on.
        term: Term,
        /// Why.
        reason: StepDownReason,
    },
    /// The replica learned who leads.
    LeaderKnown {
        /// The term.
        term: Term,
        /// The leader.
        leader: NodeId,
    },
    /// The replica cut off a part of its log that its leader's log contradicts.
    Truncated {
        /// The first entry cut.
        from: LogIndex,
        /// The last entry cut.
        old_last: LogId,
    },
    /// A message made no sense, or came from nobody known, and was dropped.
    MessageDropped {
        /// Its sender.
        from: ReplicaId,
        /// What was wrong with it.
        reason: &'static str,
    },
}

/// Why a replica stopped leading or campaigning.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StepDownReason {
    /// It saw a higher term.
    HigherTerm,
    /// It learned of the leader of its term.
    OtherLeader,
    /// So many refused their vote that it cannot win.
    VoteLost,
    /// It did not hear from a quorum for the longest election timeout.
    QuorumLost,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PreVoteStarted { proposed_term } => {
                write!(f, "asks for pre-votes for {proposed_term}")
            }
            Self::ElectionStarted { term } => write!(f, "campaigns in {term}"),
            Self::BecameLeader { term } => write!(f, "leads {term}"),
            Self::SteppedDown { term, reason } => write!(f, "steps down in {term}: {reason}"),
            Self::LeaderKnown { term, leader } => write!(f, "follows {leader} in {term}"),
            Self::Truncated { from, old_last } => {
                write!(f, "cuts its log from {from} to {old_last}")
            }
            Self::MessageDropped { from, reason } => {
                write!(f, "drops a message from {from}: {reason}")
            }
        }
    }
}

impl fmt::Display for StepDownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HigherTerm => "a higher term",
            Self::OtherLeader => "another leader",
            Self::VoteLost => "the vote is lost",
            Self::QuorumLost => "no contact with a quorum",
        })
    }
}
