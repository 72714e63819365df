//! Nodes of one process, and how tests speak of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use raft_core::memory::{MemoryHub, MemoryLogStore, MemoryStableStore, MemoryStateMachine};
use raft_core::node::{Backends, Node, NodeConfig, NodeError, NodeStatus, random_seed};
use raft_core::protocol::RoleKind;
use raft_core::{Config, LogStore, Membership, NodeId, ReplicaId, StableStore, StateMachine};

/// One node's backends, which outlive its runs.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) id: u64,
    pub(crate) log: Arc<dyn LogStore>,
    pub(crate) stable: Arc<dyn StableStore>,
    pub(crate) state: MemoryStateMachine,
    /// In place of `state`, for one start.
    pub(crate) state_machine: Arc<Mutex<Option<Box<dyn StateMachine>>>>,
    pub(crate) adjust: fn(&mut Config),
    /// Bytes a second of each snapshot it sends.
    pub(crate) snapshot_rate: Option<u64>,
    hub: MemoryHub,
    size: u64,
}

impl Host {
    /// Starts the node on what its backends hold.
    pub(crate) async fn start(&self) -> Node {
        self.try_start().await.expect("the backends are sound")
    }

    /// Who joins later starts without knowing anybody.
    fn initial_membership(&self) -> Membership {
        match self.id <= self.size {
            true => Membership::of_ids(1..=self.size),
            false => Membership::default(),
        }
    }

    /// A new node on the same hub that is to join the group.
    pub(crate) fn newcomer(&self, id: u64) -> Self {
        Self {
            id,
            log: Arc::new(MemoryLogStore::new()),
            stable: Arc::new(MemoryStableStore::new()),
            state: MemoryStateMachine::new(),
            state_machine: Arc::default(),
            adjust: self.adjust,
            snapshot_rate: self.snapshot_rate,
            hub: self.hub.clone(),
            size: self.size,
        }
    }

    pub(crate) async fn try_start(&self) -> Result<Node, NodeError> {
        let other = self
            .state_machine
            .lock()
            .expect("no holder of this lock panics")
            .take();
        let mut raft = Config::new(ReplicaId::first(self.id), random_seed());
        (self.adjust)(&mut raft);
        let mut config = NodeConfig::new(raft, self.initial_membership());
        config.snapshot_bytes_per_second = self.snapshot_rate;
        let backends = Backends {
            log: Arc::clone(&self.log),
            stable: Arc::clone(&self.stable),
            network: Arc::new(self.hub.network(NodeId::new(self.id))),
            state_machine: other.unwrap_or_else(|| Box::new(self.state.clone())),
        };
        Node::spawn(config, backends).await
    }
}

pub(crate) fn hosts(size: u64) -> (MemoryHub, Vec<Host>) {
    let hub = MemoryHub::new();
    let host = |id| Host {
        id,
        log: Arc::new(MemoryLogStore::new()),
        stable: Arc::new(MemoryStableStore::new()),
        state: MemoryStateMachine::new(),
        state_machine: Arc::default(),
        adjust: |_| {},
        snapshot_rate: None,
        hub: hub.clone(),
        size,
    };
    let hosts = (1..=size).map(host).collect();
    (hub, hosts)
}

pub(crate) async fn start_all(hosts: &[Host]) -> Vec<Node> {
    let mut nodes = Vec::new();
    for host in hosts {
        nodes.push(host.start().await);
    }
    nodes
}

pub(crate) async fn wait_until(node: &Node, condition: impl FnMut(&NodeStatus) -> bool) {
    let mut watch = node.watch();
    tokio::time::timeout(Duration::from_secs(30), watch.wait_for(condition))
        .await
        .expect("the condition holds within 30 s")
        .expect("the node runs");
}

/// The position in `nodes` of a leader that all of them follow.
pub(crate) async fn leader_of(nodes: &[Node]) -> usize {
    let leads = |status: &NodeStatus| status.raft.role == RoleKind::Leader;
    wait_until(&nodes[0], |status| status.raft.leader.is_some()).await;
    loop {
        if let Some(leader) = nodes.iter().position(|node| leads(&node.status())) {
            let id = nodes[leader].status().raft.replica.node;
            for node in nodes {
                wait_until(node, |status| status.raft.leader == Some(id)).await;
            }
            return leader;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn command(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}
