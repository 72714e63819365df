//! Why a node does not start, or stopped.

use tokio::task::JoinError;

use crate::error::{RestoreError, StorageError};
use crate::types::{Incarnation, LogId, LogIndex, ReplicaId};

/// Why a node does not start, or stopped.
///
/// A node that failed stays failed: what its disk holds after a failed write
/// is not known before the stores are opened again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The durable term and vote are gone, and the store cannot tell whose they
    /// were. Voting again in a term in which it voted already could elect two
    /// leaders. (Where the store can tell, the node starts in its next life.)
    #[error(
        "the vote of {replica} is lost ({reason}) and so is which life of the node gave it, so it must not vote as who it was; remove it from its group and add it again with empty storage and a higher incarnation"
    )]
    VoteLost {
        /// Whose vote.
        replica: ReplicaId,
        /// How that shows.
        reason: String,
    },
    /// The stores hold the vote of an earlier life than the configured one.
    #[error(
        "the vote store is that of an earlier life of the node ({found}) than {replica}; give the new life empty storage, or configure the life that the node began with"
    )]
    EarlierLife {
        /// Who the configuration says it is.
        replica: ReplicaId,
        /// Whose vote there is.
        found: Incarnation,
    },
    /// The configuration or the stored state does not make a replica.
    #[error("the replica cannot be built from its configuration and stored state")]
    Restore(#[from] RestoreError),
    /// A store failed. Nothing is written after a failed write.
    #[error("{what} failed")]
    Storage {
        /// Which store.
        what: &'static str,
        /// The failure.
        #[source]
        source: StorageError,
    },
    /// The state machine holds entries, but there is no trace of a vote: the
    /// stores do not belong together, or the log's was wiped.
    #[error(
        "the state machine of {replica} holds entries up to {applied}, but its log and vote are empty; remove it from its group and add it again with empty storage and a higher incarnation"
    )]
    LogVanished {
        /// Whose log.
        replica: ReplicaId,
        /// What the state machine holds.
        applied: LogId,
    },
    /// The membership in force is damaged in the log, and the state machine, which
    /// applied it, does not know it either. Other damage is mended from peers.
    #[error(
        "the membership at log entry {index} is corrupt, and the state machine does not know it; replace this replica, or restore its log from a copy that is not older"
    )]
    CorruptEntry {
        /// Its position.
        index: LogIndex,
    },
    /// The log store answers something that contradicts its contract.
    #[error("the log store contradicts itself: {what}")]
    LogStoreContract {
        /// What it answered, with the values.
        what: String,
    },
    /// The state machine did not answer one response per entry.
    #[error("the state machine gave {responses} responses to the {entries} entries up to {last}")]
    StateMachineContract {
        /// How many responses came.
        responses: usize,
        /// How many entries went in.
        entries: usize,
        /// The last of them.
        last: LogId,
    },
    /// A task of the node panicked: a safety assertion, or a fault in a backend.
    #[error("the {task} task panicked: {message}")]
    Panicked {
        /// Which task.
        task: &'static str,
        /// What it said.
        message: String,
    },
}

impl NodeError {
    pub(super) const fn storage(what: &'static str, source: StorageError) -> Self {
        Self::Storage { what, source }
    }

    /// A task that ended by a panic.
    pub(super) fn panicked(task: &'static str, error: JoinError) -> Self {
        let message = match error.try_into_panic() {
            Ok(panic) => panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "no message".to_owned()),
            Err(_) => "it was cancelled with its runtime".to_owned(),
        };
        Self::Panicked { task, message }
    }

    /// The error and its causes in one line.
    pub(super) fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

/// Why a checkpoint was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Too many requests of operators wait on this node. Nothing was done.
    #[error("{pending} requests already wait")]
    Overloaded {
        /// How many wait.
        pending: usize,
    },
    /// The node is stopped or has failed.
    #[error("the node is stopped")]
    Stopped,
}
