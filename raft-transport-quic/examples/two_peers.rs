//! Two transports in one process: they prove who they are, then one says
//! something to the other. Run with `cargo run -p raft-transport-quic --example two_peers`.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use raft_core::message::Heartbeat;
use raft_core::{
    Envelope, GroupId, Inbox, LogIndex, MemberInfo, Message, Network, NetworkError, NodeId,
    ReplicaId, SnapshotHeader, SnapshotMeta, SnapshotReader, Term, async_trait,
};
use raft_transport_quic::{DevAuthority, QuicConfig, QuicNetwork};
use tokio::sync::mpsc;

const CLUSTER: &str = "example";
const GROUP: GroupId = GroupId::new(0);

/// A real node hands messages to its protocol; this one to whoever listens.
struct Listener(mpsc::UnboundedSender<Envelope>);

#[async_trait]
impl Inbox for Listener {
    fn deliver(&self, batch: Vec<Envelope>) {
        for envelope in batch {
            // Nobody listens any more: the example is over.
            self.0.send(envelope).ok();
        }
    }

    async fn deliver_snapshot(
        &self,
        _header: SnapshotHeader,
        _meta: SnapshotMeta,
        _reader: Box<dyn SnapshotReader>,
    ) -> Result<(), NetworkError> {
        Err(NetworkError::Refused {
            reason: "an example keeps no state".into(),
        })
    }
}

fn start(authority: &DevAuthority, node: NodeId) -> Result<Arc<QuicNetwork>, Box<dyn Error>> {
    let certificates = authority.node(node)?.certificates()?;
    let listen = "127.0.0.1:0".parse()?;
    let config = QuicConfig::new(CLUSTER, node, listen, certificates);
    let network = QuicNetwork::bind(config)?;
    println!("{node} listens on {}", network.local_addr());
    Ok(network)
}

fn located(network: &QuicNetwork) -> MemberInfo {
    MemberInfo {
        address: network.local_addr().to_string(),
        ..MemberInfo::default()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let authority = DevAuthority::new(CLUSTER)?;
    let (one, two) = (NodeId::new(1), NodeId::new(2));
    let first = start(&authority, one)?;
    let second = start(&authority, two)?;
    let (heard, mut messages) = mpsc::unbounded_channel();
    second.register(GROUP, Arc::new(Listener(heard)));
    first.set_peers(GROUP, vec![(two, located(&second))]);
    second.set_peers(GROUP, vec![(one, located(&first))]);

    let heartbeat = Heartbeat {
        session: 1,
        round: 1,
        commit: LogIndex::ZERO,
    };
    let envelope = Envelope {
        group: GROUP,
        from: ReplicaId::first(1),
        to: ReplicaId::first(2),
        term: Term::new(1),
        message: Message::Heartbeat(heartbeat),
    };
    first.send(two, vec![envelope]);

    let heard = tokio::time::timeout(Duration::from_secs(10), messages.recv()).await?;
    let heard = heard.ok_or("the second node stopped")?;
    println!("{two} heard a {} from {}", heard.message.name(), heard.from);
    first.shutdown().await;
    second.shutdown().await;
    Ok(())
}
