//! All that can happen to a replica.

use std::sync::Arc;

use bytes::Bytes;

use crate::entry::LogSlice;
use crate::membership::Membership;
use crate::membership_change::MembershipChange;
use crate::message::Envelope;
use crate::protocol::output::{PersistToken, ReadToken, SnapshotToken};
use crate::storage_health::StorageHealth;
use crate::types::{LogId, LogIndex, NodeId, ReplicaId, Term};

/// Numbers a request of this node's own clients; rises with each request of a kind.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ticket(pub u64);

/// A command that a client of this node wants committed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proposal {
    /// Names it in the outputs. Must rise from proposal to proposal.
    pub ticket: Ticket,
    /// The command, opaque.
    pub command: Bytes,
}

/// What a read may rely on, from the safest to the cheapest.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Consistency {
    /// Linearizable; costs a round of heartbeats, shared by all reads that wait
    /// for it (ReadIndex, Thesis §6.4).
    #[default]
    Linearizable,
    /// Linearizable as long as no clock drifts beyond
    /// [`Config::max_clock_drift_ppm`](crate::Config::max_clock_drift_ppm); no
    /// round while the leader's lease holds (Thesis §6.4.1). Not for machines
    /// that are suspended: their monotonic clocks stand still meanwhile.
    Lease,
    /// Whatever this node has applied; may be arbitrarily old. Never waits.
    Stale,
}

/// A snapshot that a leader streams to this replica.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SnapshotOffer {
    /// Names the offer in the answers. Must rise from offer to offer.
    pub token: SnapshotToken,
    /// The leader that sends it.
    pub from: ReplicaId,
    /// The leader's term.
    pub term: Term,
    /// The last entry whose effect it holds.
    pub last_included: LogId,
    /// The membership in force at that entry.
    pub membership: Arc<Membership>,
}

/// Something that happened to a replica.
#[derive(Clone, Debug)]
pub enum Input {
    /// The moment of [`Raft::poll_timeout`](super::Raft::poll_timeout) has come.
    /// Only this input makes timeouts fire: whoever was held up hands in the
    /// messages that queued meanwhile first, and starts no needless election.
    Tick,
    /// A message arrived.
    Message(Envelope),
    /// Clients of this node want commands committed, on whichever node leads.
    Propose(Vec<Proposal>),
    /// Clients of this node want to read. Tickets are apart from proposals'.
    Read {
        /// What the reads may rely on.
        consistency: Consistency,
        /// Names them in the outputs.
        tickets: Vec<Ticket>,
    },
    /// A client of this node wants the membership changed, by whichever node
    /// leads. Tickets are apart from the others'.
    ChangeMembership {
        /// Names it in the outputs. Must rise from change to change.
        ticket: Ticket,
        /// What is wanted.
        change: MembershipChange,
    },
    /// A client of this node wants it to hand its leadership over.
    TransferLeadership {
        /// Names it in the outputs.
        ticket: Ticket,
        /// To whom; the most advanced voter if nobody is named.
        to: Option<NodeId>,
    },
    /// What [`Output::Persist`](super::Output::Persist) asked with this token, and
    /// everything asked before it, is durable.
    Persisted(PersistToken),
    /// The damaged entry that [`Output::Repair`](super::Output::Repair) replaces is
    /// whole again in the log store, durably.
    Repaired(LogId),
    /// Answer to [`Output::ReadLog`](super::Output::ReadLog): a run that starts at
    /// the first index asked for. It may end early; empty means "not now".
    LogRead {
        /// Which request this answers.
        token: ReadToken,
        /// The entries.
        entries: LogSlice,
        /// The entry right after `entries` is there and damaged.
        corrupt: Option<LogIndex>,
    },
    /// Whoever looks through the log store found this entry damaged, asked by nobody.
    EntryDamaged(LogId),
    /// The state machine has applied the log up to here.
    Applied(LogIndex),
    /// A crash would leave the state machine at this position at least.
    StateDurable(LogIndex),
    /// Take a checkpoint now, whatever the policy says.
    Checkpoint,
    /// The checkpoint that [`Output::Checkpoint`](super::Output::Checkpoint) asked
    /// for is over, well or not; how far it got came as [`Input::StateDurable`].
    CheckpointEnded,
    /// A leader streams a snapshot to us. Answered by
    /// [`Output::InstallSnapshot`](super::Output::InstallSnapshot) or
    /// [`Output::RefuseSnapshot`](super::Output::RefuseSnapshot).
    SnapshotOffered(SnapshotOffer),
    /// The state machine was restored from the snapshot, durably; or it could
    /// not be, and is as it was.
    SnapshotRestored {
        /// Which.
        token: SnapshotToken,
        /// Whether it worked.
        ok: bool,
    },
    /// The receiver of this snapshot holds more of it than before. About once a
    /// second is enough: it keeps the snapshot from being given up after
    /// [`Config::snapshot_timeout`](crate::Config::snapshot_timeout).
    SnapshotProgress(SnapshotToken),
    /// Sending a snapshot ended: installed up to this entry, or not.
    SnapshotSent {
        /// Which.
        token: SnapshotToken,
        /// The last entry that the receiver says it holds by now.
        installed: Option<LogId>,
    },
    /// How the stores are.
    StorageHealth(StorageHealth),
}
