//! Nodes of different versions: the highest that both speak is spoken, and
//! without one each is told what the other speaks.

use raft_core::NodeId;
use raft_transport_quic::frame::{FrameBuilder, FrameKind};
use raft_transport_quic::hello::{Hello, Versions};
use raft_transport_quic::wire::encode_batch;

use crate::log::Log;
use crate::stranger::{Stranger, farewell};
use crate::support::{Node, authority, heartbeat};
use crate::trust::serial;

const PEER: NodeId = NodeId::new(2);

#[tokio::test]
async fn a_peer_of_the_next_version_is_met_in_the_version_that_both_speak() {
    let authority = authority();
    let node = Node::start(&authority, 1);
    let stranger = Stranger::new(Some(&authority.node(PEER).unwrap()));
    node.knows(&[(PEER, stranger.address())]);
    let versions = Versions {
        lowest: 1,
        highest: 2,
    };

    let mut greeted = stranger.greet(node.address(), versions).await;
    let message = heartbeat(PEER, node.id, 1);
    let mut frame = FrameBuilder::new(FrameKind::Messages, 64);
    encode_batch(std::slice::from_ref(&message), frame.body()).unwrap();
    let frame = frame.finish(1024).unwrap();
    greeted.control.write_chunk(frame).await.unwrap();

    node.inbox.wait_for(&message).await;
    let status = node.network.peer_status(PEER).unwrap();
    assert_eq!(status.version, Some(1));
    assert_eq!(greeted.connection.close_reason(), None);
}

#[tokio::test]
async fn a_peer_with_nothing_in_common_is_refused_with_both_ranges() {
    let (log, _guard) = Log::listen();
    let authority = authority();
    let node = Node::start(&authority, 1);
    let pem = authority.node(PEER).unwrap();
    let stranger = Stranger::new(Some(&pem));
    // It does not answer when it is dialled.
    node.knows(&[(PEER, stranger.address())]);
    let versions = Versions {
        lowest: 2,
        highest: 3,
    };

    let greeted = stranger.greet(node.address(), versions).await;
    let heard = farewell(&greeted.connection).await;

    let both = "its node speaks versions 2 to 3 of the messages, ours 1 to 1";
    assert!(heard.contains(both), "{heard}");
    let named = format!("(serial {})", serial(&pem));
    let lines = log.lines_with(&["we refused the peer", both, &named]);
    assert_eq!(lines.len(), 1, "{}", log.text());
    assert!(!node.is_connected(PEER));
}

#[test]
fn a_hello_has_its_golden_bytes() {
    let hello = Hello {
        boot: 0x0123_4567_89ab_cdef,
        renewals: 3,
        versions: Versions::OURS,
    };
    let mut body = Vec::new();
    hello.encode(&mut body);

    let golden = [
        0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0, 0, 0, 0, 0, 0, 0, 3, 1, 1,
    ];
    assert_eq!(body, golden);
    assert_eq!(Hello::decode(&golden), Some(hello));
}
