//! Who is let in, who is not, and that both sides say why.

use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use raft_core::NodeId;
use raft_transport_quic::{
    BindError, DevAuthority, NodeCertificates, NodePem, QuicConfig, QuicNetwork, Refusal,
};

use crate::log::Log;
use crate::support::{
    CLUSTER, Node, RecordingInbox, authority, config, config_of, heartbeat, introduce, until,
};

const NOWHERE: &str = "127.0.0.1:9";

async fn refusal_at(node: &Node, text: &str) -> Refusal {
    let has = || {
        node.network
            .refusals()
            .into_iter()
            .find(|r| r.reason.contains(text))
    };
    until(&format!("{} reports {text:?}", node.id), || has().is_some()).await;
    has().unwrap()
}

fn nowhere() -> SocketAddr {
    NOWHERE.parse().unwrap()
}

#[tokio::test]
async fn a_node_signed_by_another_authority_is_refused_and_both_say_why() {
    let one = Node::start(&authority(), 1);
    let two = Node::start(&authority(), 2);

    one.knows(&[(two.id, two.address())]);

    let why = "is not trusted by cluster test: signed by another authority";
    let ours = refusal_at(&one, why).await;
    assert!(ours.reason.starts_with("we refused the peer"), "{ours:?}");
    assert_eq!(ours.peer, Some(two.id));
    let theirs = refusal_at(&two, why).await;
    assert!(
        theirs.reason.starts_with("the peer refused us"),
        "{theirs:?}"
    );
    assert_eq!(theirs.address, one.address());
    assert!(!one.is_connected(two.id));
}

#[tokio::test]
async fn a_node_of_another_cluster_of_the_same_authority_is_refused_and_both_say_why() {
    let here = authority();
    let there = DevAuthority::from_pem("other", here.ca_pem(), here.ca_key_pem()).unwrap();
    let one = Node::start(&here, 1);
    let pem = there.node(NodeId::new(2)).unwrap();
    let two = Node::start_with(config_of("other", 2, &pem), RecordingInbox::default());

    one.knows(&[(two.id, two.address())]);

    let why = "is not trusted by cluster test: expected a node of cluster test";
    let ours = refusal_at(&one, why).await;
    assert!(ours.reason.starts_with("we refused the peer"), "{ours:?}");
    let theirs = refusal_at(&two, why).await;
    assert!(
        theirs.reason.starts_with("the peer refused us"),
        "{theirs:?}"
    );
}

#[tokio::test]
async fn another_node_at_the_dialled_address_is_refused_and_both_say_why() {
    let authority = authority();
    let one = Node::start(&authority, 1);
    let three = Node::start(&authority, 3);
    three.knows(&[(one.id, nowhere())]);

    one.knows(&[(NodeId::new(2), three.address())]);

    let why = "was shown, expected that of raft://test/2";
    let ours = refusal_at(&one, why).await;
    assert!(ours.reason.starts_with("we refused the peer"), "{ours:?}");
    let theirs = refusal_at(&three, why).await;
    assert!(
        theirs.reason.starts_with("the peer refused us"),
        "{theirs:?}"
    );
    assert!(!one.is_connected(NodeId::new(2)));
}

#[tokio::test]
async fn a_node_that_is_no_peer_is_refused_and_both_say_why() {
    let authority = authority();
    let one = Node::start(&authority, 1);
    let stranger = Node::start(&authority, 9);

    stranger.knows(&[(one.id, one.address())]);

    let why = "names no peer of raft://test/1";
    let ours = refusal_at(&one, why).await;
    assert!(ours.reason.starts_with("we refused the peer"), "{ours:?}");
    let theirs = refusal_at(&stranger, why).await;
    assert!(
        theirs.reason.starts_with("the peer refused us"),
        "{theirs:?}"
    );
}

#[tokio::test]
async fn a_certificate_that_expired_since_the_start_is_refused_and_both_say_why() {
    let authority = authority();
    let one = Node::start(&authority, 1);
    let (from, to) = validity(Duration::from_secs(3));
    let pem = authority.node_valid(NodeId::new(2), from, to).unwrap();
    let two = Node::start_with(config_of(CLUSTER, 2, &pem), RecordingInbox::default());
    until("the certificate expires", || {
        SystemTime::now() > to + Duration::from_secs(1)
    })
    .await;

    introduce(&one, &two);

    let why = "is not trusted by cluster test: it expired";
    refusal_at(&one, why).await;
    refusal_at(&two, why).await;
    assert!(one.inbox.messages().is_empty());
}

#[tokio::test]
async fn a_refused_node_gets_in_once_it_is_a_peer_and_the_refusal_is_forgotten() {
    let authority = authority();
    let one = Node::start(&authority, 1);
    let two = Node::start(&authority, 2);
    two.knows(&[(one.id, one.address())]);
    refusal_at(&one, "names no peer of").await;

    one.knows(&[(two.id, two.address())]);

    two.reaches(&one, 1).await;
    assert_eq!(one.network.refusals(), []);
    until("the other side forgets too", || {
        two.network.refusals().is_empty()
    })
    .await;
}

#[tokio::test]
async fn each_side_logs_a_standing_refusal_once() {
    let (log, _guard) = Log::listen();
    let one = Node::start(&authority(), 1);
    let two = Node::start(&authority(), 2);

    one.knows(&[(two.id, two.address())]);
    until("several dials", || {
        one.network.refusal_count() >= 4 && two.network.refusal_count() >= 4
    })
    .await;

    let text = log.text();
    assert_eq!(text.matches("we refused the peer").count(), 1, "{text}");
    assert_eq!(text.matches("the peer refused us").count(), 1, "{text}");
}

#[tokio::test]
async fn a_node_does_not_start_with_the_certificate_of_another() {
    let pem = authority().node(NodeId::new(2)).unwrap();

    let error = bind_error(config_of(CLUSTER, 1, &pem));

    assert!(
        error.contains("the certificate names raft://test/2"),
        "{error}"
    );
    assert!(error.contains("this node is raft://test/1"), "{error}");
}

#[tokio::test]
async fn a_node_does_not_start_with_the_certificate_of_another_cluster() {
    let pem = authority().node(NodeId::new(1)).unwrap();

    let error = bind_error(config_of("other", 1, &pem));

    assert!(
        error.contains("the certificate names raft://test/1"),
        "{error}"
    );
    assert!(error.contains("this node is raft://other/1"), "{error}");
}

#[tokio::test]
async fn a_node_does_not_start_with_an_expired_certificate() {
    let (from, to) = (SystemTime::UNIX_EPOCH, validity(Duration::ZERO).0);
    let pem = authority().node_valid(NodeId::new(1), from, to).unwrap();

    let error = bind_error(config_of(CLUSTER, 1, &pem));

    assert!(error.contains("it expired"), "{error}");
    assert!(error.contains("have it issued anew"), "{error}");
}

#[tokio::test]
async fn a_node_does_not_start_with_the_authority_of_others() {
    let pem = NodePem {
        ca: authority().ca_pem().into(),
        ..authority().node(NodeId::new(1)).unwrap()
    };

    let error = bind_error(config_of(CLUSTER, 1, &pem));

    assert!(error.contains("signed by another authority"), "{error}");
}

#[tokio::test]
async fn a_node_does_not_start_with_the_key_of_another_certificate() {
    let authority = authority();
    let pem = NodePem {
        key: authority.node(NodeId::new(1)).unwrap().key,
        ..authority.node(NodeId::new(1)).unwrap()
    };

    let error = bind_error(config_of(CLUSTER, 1, &pem));

    assert!(error.contains("private key cannot be used"), "{error}");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let authority = authority();
    let one = Node::start(&authority, 1);
    let mut second = config(&authority, 2);
    second.listen = one.address();

    let error = bind_error(second);

    assert!(error.contains(&one.address().to_string()), "{error}");
    assert!(error.contains("another process"), "{error}");
}

#[test]
fn files_are_read_back_and_a_missing_or_damaged_one_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let pem = authority().node(NodeId::new(4)).unwrap();
    pem.write_to(&directory).unwrap();

    let loaded = NodeCertificates::load(&directory).unwrap();
    assert_eq!(loaded.identity().unwrap().to_string(), "raft://test/4");

    std::fs::write(directory.path().join("node.pem"), "nothing").unwrap();
    let damaged = NodeCertificates::load(&directory).unwrap_err().to_string();
    assert!(damaged.contains("node.pem"), "{damaged}");
    assert!(damaged.contains("no CERTIFICATE block"), "{damaged}");

    std::fs::remove_file(directory.path().join("ca.pem")).unwrap();
    let missing = NodeCertificates::load(&directory).unwrap_err().to_string();
    assert!(missing.contains("ca.pem"), "{missing}");
}

#[tokio::test]
async fn a_message_never_gets_past_a_refusal() {
    let one = Node::start(&authority(), 1);
    let two = Node::start(&authority(), 2);
    introduce(&one, &two);

    raft_core::Network::send(&*one.network, two.id, vec![heartbeat(one.id, two.id, 1)]);

    refusal_at(&one, "another authority").await;
    refusal_at(&two, "another authority").await;
    assert!(two.inbox.messages().is_empty());
}

/// From a while ago until so long from now.
fn validity(remaining: Duration) -> (SystemTime, SystemTime) {
    let now = SystemTime::now();
    (now - Duration::from_secs(3600), now + remaining)
}

/// The text of an error with its causes.
fn bind_error(config: QuicConfig) -> String {
    let error: BindError = match QuicNetwork::bind(config) {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    };
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
