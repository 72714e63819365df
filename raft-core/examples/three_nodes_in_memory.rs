//! Three nodes in one process, without disk or network.
//!
//! ```text
//! cargo run -p raft-core --example three_nodes_in_memory
//! ```

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use raft_core::memory::{MemoryHub, MemoryLogStore, MemoryStableStore, MemoryStateMachine};
use raft_core::node::{Backends, Node, NodeConfig, random_seed};
use raft_core::{Config, Consistency, Membership, NodeId, ReplicaId};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let hub = MemoryHub::new();
    let mut nodes = Vec::new();
    for id in 1..=3 {
        nodes.push(start(id, &hub).await?);
    }

    let leader = leader_seen_by(&nodes[0].0).await?;
    println!("{leader} leads");

    // Any node takes proposals; whoever does not lead forwards them.
    for ((node, _), text) in nodes.iter().zip(["apples", "pears", "plums"]) {
        let committed = node.propose(Bytes::from(text)).await?;
        println!("{text} became entry {}", committed.log_id);
    }

    // Any node serves reads that miss nothing acknowledged before.
    for (node, list) in &nodes {
        let index = node.read(Consistency::Linearizable).await?;
        let id = node.config().replica;
        println!("{id} holds {:?}, up to {index} at least", list.commands());
    }

    for (node, _) in &nodes {
        node.shutdown().await;
    }
    Ok(())
}

/// A node, and the handle to its state for queries.
async fn start(id: u64, hub: &MemoryHub) -> Result<(Node, MemoryStateMachine), Box<dyn Error>> {
    let raft = Config::new(ReplicaId::first(id), random_seed());
    let list = MemoryStateMachine::new();
    let backends = Backends {
        log: Arc::new(MemoryLogStore::new()),
        stable: Arc::new(MemoryStableStore::new()),
        network: Arc::new(hub.network(NodeId::new(id))),
        state_machine: Box::new(list.clone()),
    };
    let config = NodeConfig::new(raft, Membership::of_ids([1, 2, 3]));
    Ok((Node::spawn(config, backends).await?, list))
}

async fn leader_seen_by(node: &Node) -> Result<NodeId, Box<dyn Error>> {
    let mut status = node.watch();
    let status = status
        .wait_for(|status| status.raft.leader.is_some())
        .await?;
    status.raft.leader.ok_or_else(|| "no leader".into())
}
