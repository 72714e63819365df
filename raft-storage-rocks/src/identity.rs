//! Whose store this is: written at creation, checked at every open.

use std::fmt;

use raft_core::{Incarnation, NodeId, ReplicaId};
use serde::{Deserialize, Serialize};

/// The owner of a store: one life of one node of one cluster.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// The cluster.
    pub cluster: u64,
    /// The node.
    pub node: NodeId,
    /// Which life of the node.
    pub incarnation: Incarnation,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let replica = ReplicaId {
            node: self.node,
            incarnation: self.incarnation,
        };
        write!(f, "node {replica} of cluster {:x}", self.cluster)
    }
}

/// What the identity record holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct IdentityRecord {
    pub(crate) format: u16,
    pub(crate) identity: Identity,
}
