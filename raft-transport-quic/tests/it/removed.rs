//! A peer that is none any more is not heard, whatever it said before.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use raft_core::{
    Envelope, Inbox, Network, NetworkError, NodeId, SnapshotHeader, SnapshotMeta, SnapshotReader,
    async_trait,
};
use raft_transport_quic::QuicNetwork;
use raft_transport_quic::frame::{FrameBuilder, FrameKind};
use raft_transport_quic::hello::{Hello, Versions};
use raft_transport_quic::wire::encode_batch;

use crate::stranger::{Stranger, farewell};
use crate::support::{GROUP, Node, authority, config, heartbeat, until};

const ONE: NodeId = NodeId::new(1);
const TWO: NodeId = NodeId::new(2);

/// Removes all peers when the first batch comes.
struct Remover {
    network: Weak<QuicNetwork>,
    batches: AtomicUsize,
}

#[async_trait]
impl Inbox for Remover {
    fn deliver(&self, _batch: Vec<Envelope>) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        let network = self.network.upgrade().expect("it delivers");
        network.set_peers(GROUP, Vec::new());
    }

    async fn deliver_snapshot(
        &self,
        _header: SnapshotHeader,
        _meta: SnapshotMeta,
        _reader: Box<dyn SnapshotReader>,
    ) -> Result<(), NetworkError> {
        Ok(())
    }
}

fn frame(round: u64) -> bytes::Bytes {
    let mut frame = FrameBuilder::new(FrameKind::Messages, 0);
    encode_batch(&[heartbeat(TWO, ONE, round)], frame.body()).unwrap();
    frame.finish(1 << 20).unwrap()
}

#[tokio::test]
async fn frames_that_came_with_the_one_before_the_removal_are_not_delivered() {
    let authority = authority();
    let stranger = Stranger::new(Some(&authority.node(TWO).unwrap()));
    let network = QuicNetwork::bind(config(&authority, 1)).unwrap();
    let inbox = Arc::new(Remover {
        network: Arc::downgrade(&network),
        batches: AtomicUsize::new(0),
    });
    network.register(GROUP, Arc::<Remover>::clone(&inbox));
    let at = crate::support::at(stranger.address());
    network.set_peers(GROUP, vec![(TWO, at)]);
    let mut greeted = stranger.greet(network.local_addr(), Versions::OURS).await;

    let frames: Vec<_> = (1..=20).map(frame).collect();
    greeted.control.write_all(&frames.concat()).await.unwrap();

    assert_eq!(farewell(&greeted.connection).await, "no longer a peer");
    assert_eq!(inbox.batches.load(Ordering::Relaxed), 1);
}

/// It stays open for half a second otherwise. A machine that is slower than that proves
/// nothing in a round, so there are some.
#[tokio::test]
async fn a_connection_that_gave_way_ends_with_its_peer() {
    let authority = authority();
    let pem = authority.node(TWO).unwrap();
    let mut heard = String::new();
    for _round in 0..10 {
        let (one, stranger) = (Node::start(&authority, 1), Stranger::new(Some(&pem)));
        one.knows(&[(TWO, stranger.address())]);
        let first = stranger.greet(one.address(), Versions::OURS).await;
        until("it is connected", || one.is_connected(TWO)).await;
        let second = stranger.connecting(one.address()).await.unwrap();
        let hello = Hello {
            boot: 7,
            renewals: 1,
            versions: Versions::OURS,
        };
        let _second = Stranger::say(second, hello).await;
        until("the second takes its place", || {
            one.network
                .peer_status(TWO)
                .is_some_and(|status| status.renewals == Some(1))
        })
        .await;

        one.knows(&[]);

        heard = farewell(&first.connection).await;
        if heard == "no longer a peer" {
            return;
        }
    }
    panic!("the first connection ended with {heard:?}");
}
