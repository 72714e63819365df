//! All that a replica can ask of the world around it.

use crate::entry::LogSlice;
use crate::error::{ProposeError, ReadError};
use crate::hard_state::HardState;
use crate::message::Envelope;
use crate::protocol::event::Event;
use crate::protocol::input::Ticket;
use crate::types::LogIndex;

/// Names a request to make something durable. Rises; a completion covers all before it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PersistToken(pub u64);

/// Names a request to read the log.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ReadToken(pub u64);

/// Something a replica wants done. Outputs are independent of each other but
/// for this: persist requests take effect in their order, and so do applies.
#[derive(Clone, Debug)]
pub enum Output {
    /// Make this durable, then answer [`Input::Persisted`](super::Input::Persisted).
    Persist(Persist),
    /// Send a message. Whatever it claims is durable already.
    Send(Envelope),
    /// Read entries back from the log, then answer [`Input::LogRead`](super::Input::LogRead).
    ReadLog(ReadLog),
    /// Apply committed entries, then answer [`Input::Applied`](super::Input::Applied).
    Apply(Apply),
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
    /// Something worth a log line or a counter.
    Event(Event),
}

/// What to make durable: term and vote first, then the cut, then the entries.
#[derive(Clone, Debug)]
pub struct Persist {
    /// Names this request.
    pub token: PersistToken,
    /// Term and vote, if they changed.
    pub hard_state: Option<HardState>,
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
