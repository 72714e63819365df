//! What a caller is told when a request fails, and what a backend says when the world does.

use std::error::Error;

use crate::config::ConfigError;
use crate::types::{LogIndex, NodeId, Term};

/// Why a proposal did not succeed.
///
/// Every proposal ends in exactly one way: committed with its result, refused
/// (it has no effect and never will; proposing again is safe), or
/// [`ProposeError::Unknown`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// Refused: no leader is known. Retry when there is one.
    #[error("no leader is known")]
    NoLeader,
    /// Refused: the node asked no longer leads. Retry at `leader` if it is known.
    #[error("not the leader")]
    NotLeader {
        /// Who leads, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// Refused: too much waits for commit. Back off.
    #[error("{pending} proposals already wait for commit")]
    Overloaded {
        /// How many wait on the node that refused.
        pending: usize,
    },
    /// Refused: a new leader's log took its place. It has no effect and never will.
    #[error("superseded by a leader of term {term}")]
    Superseded {
        /// Term of that leader.
        term: Term,
    },
    /// The outcome cannot be known any more: it may have been or may still be committed.
    #[error("outcome unknown: {reason}")]
    Unknown {
        /// Why it cannot be known.
        reason: &'static str,
    },
    /// Refused: the node is stopped or has failed.
    #[error("the node is stopped")]
    Stopped,
}

impl ProposeError {
    /// Whether the proposal certainly has no effect, so that proposing again is safe.
    pub const fn is_refusal(&self) -> bool {
        !matches!(self, Self::Unknown { .. })
    }
}

/// Why a linearizable read could not be served. Reading again is always safe.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No leader is known.
    #[error("no leader is known")]
    NoLeader,
    /// The leader could not confirm its leadership in time, or lost it.
    #[error("leadership was not confirmed")]
    Unconfirmed,
    /// Too many reads wait. Back off.
    #[error("{pending} reads already wait")]
    Overloaded {
        /// How many wait.
        pending: usize,
    },
    /// The node is stopped or has failed.
    #[error("the node is stopped")]
    Stopped,
}

/// Why a replica cannot be built from what was stored.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The configuration cannot work.
    #[error("invalid configuration")]
    Config(#[from] ConfigError),
    /// The log's metadata has a gap or a falling term.
    #[error("the stored log is not a run: {what}")]
    BrokenLog {
        /// What is wrong, with the values.
        what: String,
    },
    /// The state machine is ahead of, or behind, the log that should hold its entries.
    #[error("the state machine applied up to {applied}, but the log holds {first} to {last}")]
    AppliedOutsideLog {
        /// What the state machine reports.
        applied: LogIndex,
        /// First index of the log.
        first: LogIndex,
        /// Last index of the log.
        last: LogIndex,
    },
    /// The log holds a term that the vote store has never seen: the two do not belong together.
    #[error("the log reaches term {log_term}, the vote store only term {current_term}")]
    VoteStoreBehind {
        /// Term of the last entry.
        log_term: Term,
        /// Term of the vote store.
        current_term: Term,
    },
}

/// What a storage backend says when it cannot do its duty.
///
/// A failed write is never retried on the same file: the store closes for
/// writing, answers [`StorageError::Closed`] from then on and says so in its health.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The operating system or the engine below failed.
    #[error("storage failed while {doing}")]
    Io {
        /// What was being done, as in "appending entries".
        doing: &'static str,
        /// The failure.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// No space is left. Nothing of the operation took effect.
    #[error("no space left while {doing}")]
    Full {
        /// What was being done.
        doing: &'static str,
        /// The failure.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Stored bytes are damaged.
    #[error("{what} is corrupt: {reason}")]
    Corrupt {
        /// The record, with its place.
        what: String,
        /// How that shows.
        reason: String,
    },
    /// An earlier write failed; the store accepts no more.
    #[error("the store is closed for writing after an earlier failure")]
    Closed,
    /// The caller broke the contract; nothing changed.
    #[error("refused: {reason}")]
    Misuse {
        /// What was wrong, with the values.
        reason: String,
    },
}

impl StorageError {
    /// An [`StorageError::Io`] from any error.
    pub fn io(doing: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Io {
            doing,
            source: source.into(),
        }
    }
}
