//! The network in memory keeps its duties.

use std::sync::Arc;
use std::time::Duration;

use raft_core::memory::{MemoryHub, MemoryNetwork};
use raft_core::testing::conformance::network::NetworkHarness;
use raft_core::{MemberInfo, NodeId, async_trait};

raft_core::network_conformance!(InMemory::default());

#[derive(Default)]
struct InMemory {
    hub: MemoryHub,
}

#[async_trait]
impl NetworkHarness for InMemory {
    type Network = MemoryNetwork;

    async fn start(&mut self, node: NodeId) -> Arc<MemoryNetwork> {
        Arc::new(self.hub.network(node))
    }

    fn info(&self, _node: NodeId) -> MemberInfo {
        MemberInfo::default()
    }

    async fn sever(&mut self, one: NodeId, other: NodeId) -> bool {
        self.hub.sever(one, other);
        true
    }

    async fn heal(&mut self, _one: NodeId, _other: NodeId) {
        self.hub.heal();
    }

    fn most_waiting(&self) -> usize {
        0
    }

    fn dropped(&self, network: &MemoryNetwork) -> Option<u64> {
        Some(network.dropped())
    }

    async fn pass_time(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
