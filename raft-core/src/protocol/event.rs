//! What logs, metrics and golden tests see of a replica.

use std::fmt;
use std::sync::Arc;

use crate::membership::Membership;
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
    /// Another membership is in force: appended, or back because its successor was cut off.
    MembershipInForce {
        /// The entry that brought it.
        index: LogIndex,
        /// Who belongs to the group now.
        membership: Arc<Membership>,
    },
    /// The leader begins to hand leadership over.
    TransferStarted {
        /// To whom.
        to: NodeId,
    },
    /// The target did not take over in time; the leader goes on.
    TransferAborted {
        /// The target.
        to: NodeId,
    },
    /// The leader streams a snapshot to a follower.
    SnapshotSending {
        /// The follower.
        to: ReplicaId,
    },
    /// The replica takes a snapshot in.
    SnapshotInstalling {
        /// The leader that sends it.
        from: ReplicaId,
        /// The last entry it holds.
        last_included: LogId,
    },
    /// The replica's state is that of a snapshot now.
    SnapshotInstalled {
        /// The last entry it holds.
        snapshot: LogId,
    },
    /// The log was cut at its beginning.
    Purged {
        /// The last entry that is gone.
        up_to: LogId,
    },
    /// A stored entry is damaged; peers are asked for it.
    EntryDamaged {
        /// The entry.
        log_id: LogId,
    },
    /// A damaged entry was replaced by a peer's copy.
    EntryMended {
        /// The entry.
        log_id: LogId,
    },
    /// A damaged entry is committed: a peer has applied and purged it.
    DamageIsCommitted {
        /// The entry.
        log_id: LogId,
        /// Everything up to here is committed, and the membership in force there known.
        up_to: LogIndex,
    },
    /// A damaged entry was never committed: so many voters hold no such entry. It is
    /// cut off with all that follows it.
    DamageIsCut {
        /// The entry.
        log_id: LogId,
    },
    /// The disk does not get its writes done, or does again.
    DiskHealth {
        /// Which of both.
        is_ill: bool,
    },
    /// The group knows this node by an earlier life, whose vote is lost: the
    /// replica has no vote until it is readmitted.
    AwaitsReadmission {
        /// The life that is a member.
        earlier: ReplicaId,
    },
    /// A member's node answers in a later life, because its vote is lost: it can
    /// be readmitted.
    LaterLifeHeard {
        /// The life in which it answers.
        replica: ReplicaId,
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
    /// A configuration in which it has no vote is committed.
    Removed,
    /// Its disk or its state machine does not keep up.
    Unfit,
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
            Self::MembershipInForce { index, membership } => {
                write!(f, "membership of {index}: {membership}")
            }
            Self::TransferStarted { to } => write!(f, "hands leadership over to {to}"),
            Self::TransferAborted { to } => write!(f, "leads on, {to} did not take over in time"),
            Self::SnapshotSending { to } => write!(f, "sends a snapshot to {to}"),
            Self::SnapshotInstalling {
                from,
                last_included,
            } => write!(f, "takes in a snapshot of {from} at {last_included}"),
            Self::SnapshotInstalled { snapshot } => {
                write!(f, "installed the snapshot at {snapshot}")
            }
            Self::Purged { up_to } => write!(f, "forgets its log up to {up_to}"),
            Self::EntryDamaged { log_id } => write!(f, "finds entry {log_id} damaged"),
            Self::EntryMended { log_id } => write!(f, "mends entry {log_id} with a peer's copy"),
            Self::DamageIsCommitted { log_id, up_to } => write!(
                f,
                "learns that all up to {up_to} is committed, damaged entry {log_id} too"
            ),
            Self::DamageIsCut { log_id } => {
                write!(f, "cuts damaged entry {log_id}, which was never committed")
            }
            Self::AwaitsReadmission { earlier } => write!(
                f,
                "has no vote, because that of {earlier} is lost: the group can readmit it (demote \
                 it, readmit it, promote it)"
            ),
            Self::LaterLifeHeard { replica } => write!(
                f,
                "hears {replica}, whose node lost its vote: it can be readmitted (demote it, \
                 readmit it, promote it)"
            ),
            Self::DiskHealth { is_ill: true } => f.write_str("has a disk that does not keep up"),
            Self::DiskHealth { is_ill: false } => f.write_str("has a disk that keeps up again"),
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
            Self::Removed => "no vote in the group any more",
            Self::Unfit => "its disk or state machine does not keep up",
        })
    }
}
