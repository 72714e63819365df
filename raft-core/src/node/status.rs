//! The node at a glance, in a watch.

use tokio::sync::watch;

use super::metrics;
use crate::protocol::{Raft, Status};

/// A node at a glance.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeStatus {
    /// The replica.
    pub raft: Status,
    /// Why the node had to stop; nothing while it runs or was stopped on purpose.
    pub failure: Option<String>,
    /// Whether the node runs.
    pub is_running: bool,
}

/// Publishes the status when it changes.
#[derive(Debug)]
pub(super) struct StatusBoard {
    sender: watch::Sender<NodeStatus>,
}

impl StatusBoard {
    pub(super) fn new(raft: &Raft) -> (Self, watch::Receiver<NodeStatus>) {
        let status = NodeStatus {
            raft: raft.status(),
            failure: None,
            is_running: true,
        };
        let (sender, receiver) = watch::channel(status);
        (Self { sender }, receiver)
    }

    pub(super) fn publish(&self, raft: &Raft) {
        let status = raft.status();
        let changed = self.sender.send_if_modified(|board| {
            let changed = board.raft != status;
            if changed {
                board.raft = status;
            }
            changed
        });
        if changed {
            metrics::publish(raft.config().group, &self.sender.borrow().raft);
        }
    }

    pub(super) fn stopped(&self, failure: Option<String>) {
        self.sender.send_modify(|board| {
            board.failure = failure;
            board.is_running = false;
        });
    }
}
