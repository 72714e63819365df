//! `QuicNetwork`, through the traits that a node uses.

use std::sync::{Arc, OnceLock, Weak};

use raft_core::{
    Envelope, GroupId, Inbox, MemberInfo, Network, NetworkError, NodeId, ReplicaId, Snapshot,
    SnapshotHeader, SnapshotMeta, SnapshotReader, Term, async_trait,
};
use raft_transport_quic::{DevAuthority, QuicConfig, QuicNetwork};
use tokio::sync::mpsc;

use crate::load;
use crate::snapshot::Source;
use crate::way::{Asker, Carrier, Lane, Path, Place, Way};

const GROUP: GroupId = GroupId::new(0);
const ASKING: NodeId = NodeId::new(1);
const ANSWERING: NodeId = NodeId::new(2);

pub(crate) struct Ours(pub(crate) Path);

impl Ours {
    fn bind(&self, authority: &DevAuthority, node: NodeId) -> Arc<QuicNetwork> {
        let pem = authority.node(node).expect("a certificate");
        let certificates = pem.certificates().expect("it can be read");
        let listen = "127.0.0.1:0".parse().expect("an address");
        let mut config = QuicConfig::new("benchmark", node, listen, certificates);
        config.largest_datagram = self.0.largest_datagram();
        config.snapshot_share = 1.0;
        QuicNetwork::bind(config).expect("a free port")
    }
}

fn located(network: &QuicNetwork) -> MemberInfo {
    MemberInfo {
        address: network.local_addr().to_string(),
        ..MemberInfo::default()
    }
}

impl Way for Ours {
    fn name(&self) -> &'static str {
        match self.0 {
            Path::Wide => "ours 6500",
            Path::Ethernet => "ours 1452",
        }
    }

    fn open(&self, place: &Place) -> Lane {
        let authority = DevAuthority::new("benchmark").expect("an authority");
        let asking = place
            .asking
            .block_on(async { self.bind(&authority, ASKING) });
        let answering = place
            .answering
            .block_on(async { self.bind(&authority, ANSWERING) });
        let (heard, answers) = mpsc::unbounded_channel();
        asking.register(GROUP, Arc::new(Listener(heard)));
        let answerer = Arc::new(Answerer::default());
        answerer.network.get_or_init(|| Arc::downgrade(&answering));
        answering.register(GROUP, answerer);
        // Dials at once, so it needs the runtime.
        place.answering.block_on(async {
            answering.set_peers(GROUP, vec![(ASKING, located(&asking))]);
        });
        place.asking.block_on(async {
            asking.set_peers(GROUP, vec![(ANSWERING, located(&answering))]);
            let peer = || asking.peer_status(ANSWERING).expect("it is one");
            while !peer().connected {
                tokio::task::yield_now().await;
            }
        });
        Lane {
            asker: Some(Box::new(OurAsker {
                network: Arc::clone(&asking),
                answers,
            })),
            carrier: Arc::new(Nodes { asking, answering }),
        }
    }
}

struct OurAsker {
    network: Arc<QuicNetwork>,
    answers: mpsc::UnboundedReceiver<Vec<Envelope>>,
}

#[async_trait]
impl Asker for OurAsker {
    async fn send(&mut self, batch: Vec<Envelope>) {
        self.network.send(ANSWERING, batch);
    }

    async fn receive(&mut self) -> Vec<Envelope> {
        self.answers.recv().await.expect("the network is there")
    }
}

/// Hands what arrives to another task, as a node does.
struct Listener(mpsc::UnboundedSender<Vec<Envelope>>);

#[async_trait]
impl Inbox for Listener {
    fn deliver(&self, batch: Vec<Envelope>) {
        // Nobody listens any more when the benchmark is over.
        self.0.send(batch).ok();
    }

    async fn deliver_snapshot(
        &self,
        _header: SnapshotHeader,
        _meta: SnapshotMeta,
        _reader: Box<dyn SnapshotReader>,
    ) -> Result<(), NetworkError> {
        unreachable!("snapshots go the other way")
    }
}

/// Answers right where a message is delivered.
#[derive(Default)]
struct Answerer {
    network: OnceLock<Weak<QuicNetwork>>,
}

#[async_trait]
impl Inbox for Answerer {
    fn deliver(&self, batch: Vec<Envelope>) {
        if let Some(network) = self.network.get().and_then(Weak::upgrade) {
            network.send(ASKING, load::answer(batch));
        }
    }

    async fn deliver_snapshot(
        &self,
        _header: SnapshotHeader,
        _meta: SnapshotMeta,
        mut reader: Box<dyn SnapshotReader>,
    ) -> Result<(), NetworkError> {
        while reader.next_chunk().await?.is_some() {}
        Ok(())
    }
}

struct Nodes {
    asking: Arc<QuicNetwork>,
    answering: Arc<QuicNetwork>,
}

#[async_trait]
impl Carrier for Nodes {
    async fn carry(&self, source: Source) {
        let header = SnapshotHeader {
            group: GROUP,
            from: ReplicaId::first(1),
            to: ReplicaId::first(2),
            term: Term::new(1),
        };
        let snapshot = Snapshot {
            meta: SnapshotMeta::default(),
            reader: Box::new(source),
        };
        let sent = self.asking.send_snapshot(header, snapshot).await;
        sent.expect("it is installed");
    }

    async fn close(&self) {
        for (network, peer) in [(&self.asking, ANSWERING), (&self.answering, ASKING)] {
            let peer = network.peer_status(peer).expect("it is one");
            assert_eq!(peer.dropped, 0, "what was dropped was not carried");
        }
        self.asking.shutdown().await;
        self.answering.shutdown().await;
    }
}
