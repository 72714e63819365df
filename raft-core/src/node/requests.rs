//! What an operator asks of a node: membership changes, transfers, checkpoints.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::error::CheckpointError;
use crate::error::{ChangeMembershipError, TransferError};
use crate::membership::Membership;
use crate::membership_change::MembershipChange;
use crate::types::{LogId, LogIndex, NodeId};

/// A committed membership.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct MembershipChanged {
    /// The entry that brought it.
    pub log_id: LogId,
    /// Who belongs to the group now.
    pub membership: Arc<Membership>,
}

/// Where the outcome of a membership change goes.
pub(super) type ChangeReply = oneshot::Sender<Result<MembershipChanged, ChangeMembershipError>>;

/// Where the outcome of a transfer goes.
pub(super) type TransferReply = oneshot::Sender<Result<NodeId, TransferError>>;

/// Where the outcome of a checkpoint goes.
pub(super) type CheckpointReply = oneshot::Sender<Result<LogIndex, CheckpointError>>;

/// One request, with the place for its outcome.
#[derive(Debug)]
pub(super) enum Request {
    Change(MembershipChange, ChangeReply),
    Transfer(Option<NodeId>, TransferReply),
    Checkpoint(CheckpointReply),
}

impl Request {
    /// Answers that `pending` others wait, and that there is no place for this one.
    pub(super) fn refuse_for_overload(self, pending: usize) {
        // Perhaps the caller gave up, which is its right.
        match self {
            Self::Change(_, reply) => {
                drop(reply.send(Err(ChangeMembershipError::Overloaded { pending })));
            }
            Self::Transfer(_, reply) => {
                drop(reply.send(Err(TransferError::Overloaded { pending })));
            }
            Self::Checkpoint(reply) => {
                drop(reply.send(Err(CheckpointError::Overloaded { pending })));
            }
        }
    }

    /// Answers that the node is stopped.
    pub(super) fn refuse(self) {
        // Perhaps the caller gave up, which is its right.
        match self {
            Self::Change(_, reply) => drop(reply.send(Err(ChangeMembershipError::Stopped))),
            Self::Transfer(_, reply) => drop(reply.send(Err(TransferError::Stopped))),
            Self::Checkpoint(reply) => drop(reply.send(Err(CheckpointError::Stopped))),
        }
    }
}
