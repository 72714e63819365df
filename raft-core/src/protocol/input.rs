//! All that can happen to a replica.

use bytes::Bytes;

use crate::entry::LogSlice;
use crate::message::Envelope;
use crate::protocol::output::{PersistToken, ReadToken};
use crate::types::LogIndex;

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
    /// Clients of this node want to read linearizably. Tickets are apart from proposals'.
    Read(Vec<Ticket>),
    /// What [`Output::Persist`](super::Output::Persist) asked with this token, and
    /// everything asked before it, is durable.
    Persisted(PersistToken),
    /// Answer to [`Output::ReadLog`](super::Output::ReadLog): a run that starts at
    /// the first index asked for. It may end early; empty means "not now".
    LogRead {
        /// Which request this answers.
        token: ReadToken,
        /// The entries.
        entries: LogSlice,
    },
    /// The state machine has applied the log up to here.
    Applied(LogIndex),
}
