//! What a node shows of itself.

use std::sync::Arc;

use tokio::sync::watch;

use super::error::NodeError;
use super::metrics::Metrics;
use crate::log_store::StorageHealth;
use crate::protocol::{RoleKind, Status};
use crate::types::LogIndex;

/// A node at a glance.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct NodeStatus {
    /// The replica it runs. Once the node is stopped: as it was, but without a
    /// role and a leader.
    pub raft: Status,
    /// The position up to which a crash loses nothing of the state machine.
    pub durable_applied: LogIndex,
    /// How the log store is.
    pub storage: StorageHealth,
    /// Whether the node takes requests.
    pub is_running: bool,
    /// Why the node failed, if it did. It does not recover; start it anew.
    pub failure: Option<String>,
}

/// Publishes the status to whoever watches.
#[derive(Clone, Debug)]
pub(super) struct Publisher {
    sender: watch::Sender<NodeStatus>,
    metrics: Arc<Metrics>,
}

impl Publisher {
    /// Starts with a replica that just came up.
    pub(super) fn new(raft: Status, durable_applied: LogIndex, metrics: Arc<Metrics>) -> Self {
        let status = NodeStatus {
            raft,
            durable_applied,
            storage: StorageHealth::Healthy,
            is_running: true,
            failure: None,
        };
        metrics.show(&status);
        Self {
            sender: watch::Sender::new(status),
            metrics,
        }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<NodeStatus> {
        self.sender.subscribe()
    }

    /// Shows the replica after a turn; wakes watchers only if something changed.
    pub(super) fn publish(&self, raft: Status, durable_applied: LogIndex, storage: StorageHealth) {
        self.update(|status| {
            let is_same = status.raft == raft
                && status.durable_applied == durable_applied
                && status.storage == storage;
            if is_same {
                return false;
            }
            status.raft = raft;
            status.durable_applied = durable_applied;
            status.storage = storage;
            true
        });
    }

    /// Shows that the node stopped, and why if it failed. The first reason stays.
    pub(super) fn stopped(&self, failure: Option<&NodeError>) {
        self.update(|status| {
            status.raft.role = RoleKind::Follower;
            status.raft.leader = None;
            status.raft.followers.clear();
            status.raft.pending_proposals = 0;
            status.raft.pending_reads = 0;
            status.is_running = false;
            if status.failure.is_none() {
                status.failure = failure.map(NodeError::with_causes);
            }
            true
        });
    }

    fn update(&self, change: impl FnOnce(&mut NodeStatus) -> bool) {
        self.sender.send_if_modified(|status| {
            let changed = change(status);
            if changed {
                self.metrics.show(status);
            }
            changed
        });
    }
}
