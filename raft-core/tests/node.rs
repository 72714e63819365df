//! The driver with in-memory backends, in paused time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raft_core::memory::{MemoryHub, MemoryLogStore, MemoryStableStore, MemoryStateMachine};
use raft_core::node::{Backends, Node, NodeConfig, NodeStatus, random_seed};
use raft_core::protocol::RoleKind;
use raft_core::{
    AppendBatch, Config, EntryMeta, LogBounds, LogId, LogIndex, LogStore, Membership, NodeId,
    ProposeError, ReadError, ReplicaId, StorageError, StorageHealth, StoredEntry, async_trait,
};

/// One node's backends, which outlive its runs.
#[derive(Clone)]
struct Host {
    id: u64,
    log: Arc<dyn LogStore>,
    stable: MemoryStableStore,
    state: MemoryStateMachine,
    hub: MemoryHub,
    size: u64,
}

impl Host {
    async fn start(&self) -> Node {
        let raft = Config::new(ReplicaId::first(self.id), random_seed());
        let config = NodeConfig::new(raft, Membership::of_ids(1..=self.size));
        let backends = Backends {
            log: Arc::clone(&self.log),
            stable: Arc::new(self.stable.clone()),
            network: Arc::new(self.hub.network(NodeId::new(self.id))),
            state_machine: Box::new(self.state.clone()),
        };
        Node::spawn(config, backends)
            .await
            .expect("the backends are sound")
    }
}

fn hosts(size: u64) -> (MemoryHub, Vec<Host>) {
    let hub = MemoryHub::new();
    let host = |id| Host {
        id,
        log: Arc::new(MemoryLogStore::new()),
        stable: MemoryStableStore::new(),
        state: MemoryStateMachine::new(),
        hub: hub.clone(),
        size,
    };
    let hosts = (1..=size).map(host).collect();
    (hub, hosts)
}

async fn start_all(hosts: &[Host]) -> Vec<Node> {
    let mut nodes = Vec::new();
    for host in hosts {
        nodes.push(host.start().await);
    }
    nodes
}

async fn wait_until(node: &Node, condition: impl FnMut(&NodeStatus) -> bool) {
    let mut watch = node.watch();
    tokio::time::timeout(Duration::from_secs(30), watch.wait_for(condition))
        .await
        .expect("the condition holds within 30 s")
        .expect("the node runs");
}

/// The position in `nodes` of a leader that all of them follow.
async fn leader_of(nodes: &[Node]) -> usize {
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

fn command(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[tokio::test(start_paused = true)]
async fn proposals_on_every_node_reach_every_state_machine() {
    let (_, hosts) = hosts(3);
    let nodes = start_all(&hosts).await;
    leader_of(&nodes).await;

    for (node, text) in nodes.iter().zip(["a", "b", "c"]) {
        node.propose(command(text)).await.unwrap();
    }
    for node in &nodes {
        node.read_index().await.unwrap();
    }

    for host in &hosts {
        assert_eq!(host.state.commands(), ["a", "b", "c"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_is_the_state_machines_own() {
    let (_, hosts) = hosts(1);
    let node = hosts[0].start().await;
    leader_of(std::slice::from_ref(&node)).await;

    node.propose(command("a")).await.unwrap();
    let second = node.propose(command("b")).await.unwrap();

    assert_eq!(second.response[..], 2u64.to_be_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_is_replaced_and_comes_back() {
    let (hub, hosts) = hosts(3);
    let nodes = start_all(&hosts).await;
    let old = leader_of(&nodes).await;
    nodes[old].propose(command("before")).await.unwrap();

    hub.isolate(NodeId::new(hosts[old].id));
    let others: Vec<Node> = nodes
        .iter()
        .enumerate()
        .filter(|(i, _)| *i != old)
        .map(|(_, n)| n.clone())
        .collect();
    let old_id = NodeId::new(hosts[old].id);
    for other in &others {
        wait_until(other, |s| {
            s.raft.leader.is_some_and(|leader| leader != old_id)
        })
        .await;
    }
    others[0].propose(command("during")).await.unwrap();
    assert!(
        nodes[old].read_index().await.is_err(),
        "a deposed leader serves no read"
    );

    hub.heal();
    leader_of(&nodes).await;
    nodes[old].propose(command("after")).await.unwrap();
    for node in &nodes {
        node.read_index().await.unwrap();
    }
    for host in &hosts {
        assert_eq!(host.state.commands(), ["before", "during", "after"]);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_quorum_proposals_end_and_leave_no_doubt_about_refusals() {
    let (hub, hosts) = hosts(3);
    let nodes = start_all(&hosts).await;
    let leader = leader_of(&nodes).await;
    hub.isolate(NodeId::new(hosts[leader].id));

    let appended = nodes[leader].propose(command("alone")).await;
    wait_until(&nodes[leader], |status| status.raft.leader.is_none()).await;
    let refused = nodes[leader].propose(command("refused")).await;

    assert!(
        matches!(appended, Err(ProposeError::Unknown { .. })),
        "{appended:?}"
    );
    assert_eq!(refused, Err(ProposeError::NoLeader));
    assert_eq!(nodes[leader].read_index().await, Err(ReadError::NoLeader));
}

#[tokio::test(start_paused = true)]
async fn a_group_that_was_stopped_goes_on_where_it_was() {
    let (_, hosts) = hosts(3);
    let nodes = start_all(&hosts).await;
    leader_of(&nodes).await;
    nodes[0].propose(command("a")).await.unwrap();
    for node in &nodes {
        node.shutdown().await;
    }

    let nodes = start_all(&hosts).await;
    leader_of(&nodes).await;
    nodes[1].propose(command("b")).await.unwrap();
    nodes[2].read_index().await.unwrap();

    assert_eq!(hosts[2].state.commands(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_node_answers_that_it_is_stopped() {
    let (_, hosts) = hosts(1);
    let node = hosts[0].start().await;
    node.shutdown().await;

    assert_eq!(node.propose(command("a")).await, Err(ProposeError::Stopped));
    assert_eq!(node.read_index().await, Err(ReadError::Stopped));
    assert!(!node.status().is_running);
}

/// A log store whose appends fail from the third on.
struct FailingLog {
    inner: MemoryLogStore,
    appends: std::sync::atomic::AtomicUsize,
}

#[async_trait]
impl LogStore for FailingLog {
    async fn append(&self, batch: AppendBatch) -> Result<(), StorageError> {
        if self
            .appends
            .fetch_add(1, std::sync::atomic::Ordering::SeqCst)
            >= 2
        {
            return Err(StorageError::io("appending entries", "the disk is gone"));
        }
        self.inner.append(batch).await
    }

    async fn read(
        &self,
        first: LogIndex,
        last: LogIndex,
        max_bytes: usize,
    ) -> Result<Vec<StoredEntry>, StorageError> {
        self.inner.read(first, last, max_bytes).await
    }

    async fn metadata(
        &self,
        first: LogIndex,
        last: LogIndex,
    ) -> Result<Vec<EntryMeta>, StorageError> {
        self.inner.metadata(first, last).await
    }

    async fn bounds(&self) -> Result<LogBounds, StorageError> {
        self.inner.bounds().await
    }

    async fn purge(&self, up_to: LogId) -> Result<(), StorageError> {
        self.inner.purge(up_to).await
    }

    async fn reset(&self, snapshot: LogId) -> Result<(), StorageError> {
        self.inner.reset(snapshot).await
    }

    fn health(&self) -> StorageHealth {
        StorageHealth::Healthy
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_disk_fails_stops_and_says_why() {
    let (_, mut hosts) = hosts(1);
    let (inner, appends) = (MemoryLogStore::new(), Default::default());
    hosts[0].log = Arc::new(FailingLog { inner, appends });
    let node = hosts[0].start().await;
    leader_of(std::slice::from_ref(&node)).await;
    node.propose(command("written")).await.unwrap();

    let outcome = node.propose(command("not written")).await;

    assert!(
        matches!(outcome, Err(ProposeError::Unknown { .. })),
        "{outcome:?}"
    );
    let failure = node.status().failure.expect("the node says why it stopped");
    assert!(failure.contains("the disk is gone"), "{failure}");
    assert_eq!(
        node.propose(command("later")).await,
        Err(ProposeError::Stopped)
    );
}

#[tokio::test(start_paused = true)]
async fn many_proposals_at_once_all_end_and_are_applied_once() {
    let (_, hosts) = hosts(3);
    let nodes = start_all(&hosts).await;
    leader_of(&nodes).await;

    let tasks: Vec<_> = (0..600u32)
        .map(|number| {
            let node = nodes[number as usize % 3].clone();
            let command = Bytes::copy_from_slice(&number.to_be_bytes());
            tokio::spawn(async move { node.propose(command).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }

    for (node, host) in nodes.iter().zip(&hosts) {
        node.read_index().await.unwrap();
        let mut commands = host.state.commands();
        commands.sort();
        let expected: Vec<_> = (0..600u32).map(|n| n.to_be_bytes().to_vec()).collect();
        assert_eq!(commands, expected);
    }
}
