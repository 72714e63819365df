//! The suite of raft-core, over connections that a relay can cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use raft_core::testing::conformance::network::NetworkHarness;
use raft_core::{MemberInfo, NodeId, async_trait};
use raft_transport_quic::{DevAuthority, QueueLimit, QuicNetwork};

use crate::relay::Relay;
use crate::support::{at, authority, config};

raft_core::network_conformance!(Harness::new());

const MIB: usize = 1 << 20;
/// What may wait in the queue for entries.
const QUEUE: usize = 8 * MIB;
/// What a connection may hold beside, on both sides.
const CONNECTION: usize = 40 * MIB;

/// The first node dials the second through a relay; nobody dials the first.
struct Harness {
    authority: DevAuthority,
    relay: Option<Relay>,
}

impl Harness {
    fn new() -> Self {
        Self {
            authority: authority(),
            relay: None,
        }
    }

    fn cut(&self, is_cut: bool) {
        if let Some(relay) = &self.relay {
            relay.cut.store(is_cut, Ordering::Relaxed);
        }
    }
}

#[async_trait]
impl NetworkHarness for Harness {
    type Network = QuicNetwork;

    async fn start(&mut self, node: NodeId) -> Arc<QuicNetwork> {
        let mut config = config(&self.authority, node.get());
        config.append_queue = QueueLimit {
            messages: 4096,
            bytes: QUEUE,
        };
        config.snapshot_patience = Duration::from_secs(1);
        config.backoff_max = Duration::from_millis(100);
        let network = QuicNetwork::bind(config).unwrap();
        if node == NodeId::new(2) {
            self.relay = Some(Relay::start(network.local_addr()).await);
        }
        network
    }

    fn info(&self, node: NodeId) -> MemberInfo {
        let nobody: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let second = self.relay.as_ref().map(|relay| relay.address);
        at(second.filter(|_| node == NodeId::new(2)).unwrap_or(nobody))
    }

    async fn sever(&mut self, _one: NodeId, _other: NodeId) -> bool {
        self.cut(true);
        true
    }

    async fn heal(&mut self, _one: NodeId, _other: NodeId) {
        self.cut(false);
    }

    fn most_waiting(&self) -> usize {
        QUEUE + CONNECTION
    }

    async fn stop(&mut self, network: Arc<QuicNetwork>) {
        network.shutdown().await;
    }

    async fn pass_time(&self) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    fn call_elsewhere(&self, call: Box<dyn FnOnce() + Send>) {
        let runtime = tokio::runtime::Handle::current();
        std::thread::spawn(move || {
            let _entered = runtime.enter();
            call();
        });
    }
}
