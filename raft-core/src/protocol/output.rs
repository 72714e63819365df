//! All that a replica can ask of the world around it.

use std::sync::Arc;

use crate::entry::LogSlice;
use crate::error::{ChangeMembershipError, ProposeError, ReadError, TransferError};
use crate::hard_state::HardState;
use crate::membership::Membership;
use crate::message::Envelope;
use crate::protocol::event::Event;
use crate::protocol::input::Ticket;
use crate::types::{LogId, LogIndex, NodeId, ReplicaId, Term};

/// Names a request to make something durable. Rises; a completion covers all before it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PersistToken(pub u64);

/// Names a request to read the log.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ReadToken(pub u64);

/// Names a snapshot under way: sent ones are numbered by the replica, offered
/// ones by whoever offers them.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SnapshotToken(pub u64);

/// Something a replica wants done. Outputs are independent of each other but
/// for this: persist and purge requests take effect in their order, and so do
/// applies and the installation of a snapshot.
#[derive(Clone, Debug)]
pub enum Output {
    /// Make this durable, then answer [`Input::Persisted`](super::Input::Persisted).
    Persist(Persist),
    /// Forget the log up to this entry, after the persist requests before this
    /// output. It need not be durable, and is not answered.
    Purge(LogId),
    /// Send a message. Whatever it claims is durable already.
    Send(Envelope),
    /// Read entries back from the log, then answer [`Input::LogRead`](super::Input::LogRead).
    ReadLog(ReadLog),
    /// Replace damaged entries by these, which are the very same undamaged. Answered
    /// by [`Input::Repaired`](super::Input::Repaired) for each that is durable. A
    /// store that cannot replace single entries may write the log anew from there on;
    /// what it cannot replace is not answered, offered again when the next damaged
    /// entry above is replaced, and else counts as a copy once it is applied.
    Repair(LogSlice),
    /// Apply committed entries, then answer [`Input::Applied`](super::Input::Applied).
    Apply(Apply),
    /// Make the state machine durable as it is now, while applies go on; then say
    /// [`Input::StateDurable`](super::Input::StateDurable) and
    /// [`Input::CheckpointEnded`](super::Input::CheckpointEnded).
    Checkpoint,
    /// Stream a snapshot of the state machine to a follower, then answer
    /// [`Input::SnapshotSent`](super::Input::SnapshotSent).
    SendSnapshot(SendSnapshot),
    /// Stop sending a snapshot: it is of no use any more. It is not answered.
    StopSnapshot(SnapshotToken),
    /// Restore the state machine from the snapshot offered with this token,
    /// after the applies before this output, then answer
    /// [`Input::SnapshotRestored`](super::Input::SnapshotRestored).
    InstallSnapshot(SnapshotToken),
    /// Read no more of the snapshot that is being installed: another leader took
    /// over. [`Input::SnapshotRestored`](super::Input::SnapshotRestored) follows
    /// as ever; it may still have worked.
    StopInstall(SnapshotToken),
    /// The snapshot offered with this token is durable here, log and all.
    SnapshotInstalled(SnapshotToken),
    /// The snapshot offered with this token is not wanted, or not any more.
    RefuseSnapshot {
        /// Which.
        token: SnapshotToken,
        /// Why.
        reason: &'static str,
    },
    /// A proposal of this node will not be committed, or its fate is unknown.
    ProposalFailed {
        /// Which.
        ticket: Ticket,
        /// Why.
        error: ProposeError,
    },
    /// A read of this node may be served from the state machine as it is now,
    /// or was refused.
    ReadDone {
        /// Which.
        ticket: Ticket,
        /// The read index, which is applied; or why there is none.
        result: Result<LogIndex, ReadError>,
    },
    /// A membership change of this node ended.
    MembershipChanged {
        /// Which.
        ticket: Ticket,
        /// The entry of the final configuration, committed; or why there is none.
        result: Result<(LogId, Arc<Membership>), ChangeMembershipError>,
    },
    /// A leadership transfer asked of this node ended.
    TransferEnded {
        /// Which.
        ticket: Ticket,
        /// Who leads now; or why leadership did not go there.
        result: Result<NodeId, TransferError>,
    },
    /// Something worth a log line or a counter.
    Event(Event),
}

/// What to make durable: term and vote first, then the log.
#[derive(Clone, Debug, Default)]
pub struct Persist {
    /// Names this request.
    pub token: PersistToken,
    /// Term and vote, if they changed.
    pub hard_state: Option<HardState>,
    /// The log is replaced by this position of a snapshot, which the state machine
    /// holds already; `truncate_from` is nothing then.
    pub reset: Option<LogId>,
    /// The first entry to forget, if any.
    pub truncate_from: Option<LogIndex>,
    /// The entries to append.
    pub entries: LogSlice,
}

/// What to read from the log. All of it is durable when this is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReadLog {
    /// Names this request.
    pub token: ReadToken,
    /// First index.
    pub first: LogIndex,
    /// Last index, included.
    pub last: LogIndex,
    /// Stop after about this many bytes; at least one entry.
    pub max_bytes: usize,
}

/// Entries to apply, and which of them this node's clients wait for.
#[derive(Clone, Debug)]
pub struct Apply {
    /// The entries, following those of the previous `Apply`.
    pub entries: LogSlice,
    /// Proposals of this node among them, in index order.
    pub proposals: Vec<(LogIndex, Ticket)>,
}

/// A snapshot to stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SendSnapshot {
    /// Names it.
    pub token: SnapshotToken,
    /// Who gets it.
    pub to: ReplicaId,
    /// The term it is sent in.
    pub term: Term,
}
