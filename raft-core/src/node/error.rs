//! Why a node cannot start, or had to stop.

use crate::error::{RestoreError, StorageError};
use crate::types::LogIndex;

/// Why a node cannot start, or had to stop.
///
/// A node that failed stays stopped: it never retries a write or a sync as if
/// nothing had happened. Fix the cause and start it again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// A backend failed.
    #[error("{what} failed")]
    Backend {
        /// Which duty of which backend.
        what: &'static str,
        /// How.
        #[source]
        source: StorageError,
    },
    /// What the backends hold contradicts itself.
    #[error("the stored state cannot be used")]
    Restore(#[from] RestoreError),
    /// The vote store held a vote and lost it. Voting again could elect two
    /// leaders in one term, so this replica must not come back as who it was.
    #[error(
        "the vote store lost its vote ({reason}); remove this node from the group, \
         clear its data and add it again"
    )]
    LostVote {
        /// How that shows.
        reason: String,
    },
    /// An entry of the log is damaged.
    #[error("log entry {index} is corrupt ({reason}); restore this node from its peers")]
    CorruptEntry {
        /// Which.
        index: LogIndex,
        /// How that shows.
        reason: String,
    },
    /// The log store did not give what its bounds promise.
    #[error("the log store has no entry {index} although its bounds include it")]
    MissingEntry {
        /// Which.
        index: LogIndex,
    },
    /// The state machine broke its contract.
    #[error("the state machine answered {answers} responses to {entries} entries")]
    ResponseCount {
        /// Responses.
        answers: usize,
        /// Entries.
        entries: usize,
    },
}

impl NodeError {
    /// The error and all its sources in one line.
    pub(super) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        text
    }
}
