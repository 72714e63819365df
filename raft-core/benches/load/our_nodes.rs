//! Three of our nodes in one process, on memory backends.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raft_core::memory::{MemoryHub, MemoryLogStore, MemoryStableStore};
use raft_core::node::{Backends, Node, NodeConfig, random_seed};
use raft_core::{
    AppliedState, Config, LogId, LogIndex, LogSlice, Membership, NodeId, Payload, ReplicaId,
    Snapshot, SnapshotMeta, SnapshotReader, StateMachine, StorageError, async_trait,
};

use super::clients::Writer;

/// Our nodes, and who leads them.
#[derive(Clone)]
pub(crate) struct OurNodes {
    nodes: Arc<[Node]>,
    leader: Node,
}

impl OurNodes {
    /// Nodes that have elected a leader, on the runtime that this runs on.
    pub(crate) async fn with_leader() -> Self {
        let hub = MemoryHub::new();
        let mut nodes = Vec::new();
        for id in 1..=3 {
            nodes.push(start(id, &hub).await);
        }
        let mut status = nodes[0].watch();
        let status = status.wait_for(|status| status.raft.leader.is_some()).await;
        let leader = status.expect("the node runs").raft.leader;
        let leads = |node: &&Node| Some(node.config().replica.node) == leader;
        let leader = nodes.iter().find(leads).expect("one of them leads").clone();
        Self {
            nodes: nodes.into(),
            leader,
        }
    }

    /// Stops the nodes.
    pub(crate) async fn shutdown(self) {
        for node in self.nodes.iter() {
            node.shutdown().await;
        }
    }
}

impl Writer for OurNodes {
    async fn write(&self) -> Result<(), String> {
        let written = self.leader.propose(Bytes::new()).await;
        written.map(drop).map_err(|error| error.to_string())
    }
}

async fn start(id: u64, hub: &MemoryHub) -> Node {
    let mut raft = Config::new(ReplicaId::first(id), random_seed());
    // A busy machine must not cause elections; the peers get the same.
    raft.election_timeout_min = Duration::from_secs(1);
    raft.election_timeout_max = Duration::from_secs(2);
    let backends = Backends {
        log: Arc::new(MemoryLogStore::new()),
        stable: Arc::new(MemoryStableStore::new()),
        network: Arc::new(hub.network(NodeId::new(id))),
        state_machine: Box::new(Nothing::default()),
    };
    let config = NodeConfig::new(raft, Membership::of_ids([1, 2, 3]));
    let node = Node::spawn(config, backends).await;
    node.expect("a new node starts on empty stores")
}

/// A state machine without state. Nobody lags so far that it needs a snapshot.
#[derive(Default)]
struct Nothing {
    applied: AppliedState,
}

fn no_snapshots() -> StorageError {
    StorageError::Misuse {
        reason: "there is nothing to send".into(),
    }
}

#[async_trait]
impl StateMachine for Nothing {
    async fn applied(&mut self) -> Result<AppliedState, StorageError> {
        Ok(self.applied.clone())
    }

    async fn apply(&mut self, entries: LogSlice) -> Result<Vec<Bytes>, StorageError> {
        let responses = vec![Bytes::new(); entries.len()];
        self.applied.last_applied = entries.last().unwrap_or(LogId::ZERO);
        for entry in entries.entries() {
            if let Payload::Membership(membership) = &entry.payload {
                self.applied.membership = Some(membership.as_ref().clone());
            }
        }
        Ok(responses)
    }

    fn durable_applied(&self) -> LogIndex {
        self.applied.last_applied.index
    }

    async fn snapshot(&mut self) -> Result<Snapshot, StorageError> {
        Err(no_snapshots())
    }

    async fn restore(
        &mut self,
        _meta: SnapshotMeta,
        _reader: Box<dyn SnapshotReader>,
    ) -> Result<(), StorageError> {
        Err(no_snapshots())
    }
}
