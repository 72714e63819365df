//! Certificates and authorities replaced while nodes run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use raft_core::{Network as _, NodeId};
use raft_transport_quic::frame::{FrameBuilder, FrameKind};
use raft_transport_quic::hello::Versions;
use raft_transport_quic::{DevAuthority, NodeCertificates, NodePem, wire};
use tokio::task::JoinHandle;

use crate::log::Log;
use crate::stranger::Stranger;
use crate::support::{
    CLUSTER, Node, RecordingInbox, authority, config_of, heartbeat, introduce, until,
};
use crate::trust::serial;

/// What the documentation says: certificates are looked at again so often.
const RECHECK: Duration = Duration::from_secs(5);
/// For a busy machine.
const GRACE: Duration = Duration::from_secs(5);

fn node_of(id: u64, pem: &NodePem) -> Node {
    Node::start_with(config_of(CLUSTER, id, pem), RecordingInbox::default())
}

/// A node's certificate with these authorities to trust.
fn trusting(pem: &NodePem, authorities: &[&DevAuthority]) -> NodeCertificates {
    let ca: String = authorities.iter().map(|a| a.ca_pem()).collect();
    NodeCertificates::from_pem(&ca, &pem.certificate, &pem.key).unwrap()
}

/// How many changes of certificates the connection in use knows of.
fn renewals(one: &Node, two: &Node) -> Option<u64> {
    one.network.peer_status(two.id)?.renewals
}

async fn connected(one: &Node, two: &Node) {
    until("both are connected", || {
        one.is_connected(two.id) && two.is_connected(one.id)
    })
    .await;
}

/// Two nodes that know each other, with one connection between them.
async fn connected_pair(first: &NodePem, second: &NodePem) -> (Node, Node) {
    let (one, two) = (node_of(1, first), node_of(2, second));
    introduce(&one, &two);
    two.reaches(&one, 1).await;
    connected(&one, &two).await;
    until("one connection is left", || {
        one.network.open_connections() == 1 && two.network.open_connections() == 1
    })
    .await;
    (one, two)
}

#[tokio::test]
async fn a_reload_that_peers_would_refuse_changes_nothing_and_says_why() {
    let authority = authority();
    let pem = |node| authority.node(NodeId::new(node)).unwrap();
    let (one, two) = connected_pair(&pem(1), &pem(2)).await;
    let hour = Duration::from_secs(3600);
    let long_ago = SystemTime::now() - 2 * hour;
    let expired = authority.node_valid(one.id, long_ago, long_ago + hour);
    let stranger = DevAuthority::new(CLUSTER).unwrap();
    let foreign = stranger.revoke(&[], None).unwrap();

    let refused = [
        (pem(2).certificates(), "the certificate names raft://test/2"),
        (expired.unwrap().certificates(), "it expired"),
        (
            Ok(trusting(&pem(1), &[&stranger])),
            "signed by another authority",
        ),
        (
            pem(1).certificates().unwrap().with_revoked(&foreign),
            "signed by none of the authorities",
        ),
    ];
    for (certificates, why) in refused {
        let error = one.network.reload(certificates.unwrap()).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }

    assert!(one.is_connected(two.id));
    assert_eq!(one.network.open_connections(), 1);
    two.reaches(&one, 2).await;
}

#[tokio::test]
async fn a_connection_lives_on_when_only_the_trust_changes_and_its_peer_keeps_it() {
    let (old, new) = (authority(), authority());
    let pem = |node| old.node(NodeId::new(node)).unwrap();
    let (ours, theirs) = (pem(1), pem(2));
    let (one, two) = connected_pair(&ours, &theirs).await;

    one.network.reload(trusting(&ours, &[&old, &new])).unwrap();
    two.reaches(&one, 2).await;

    assert_eq!(one.network.open_connections(), 1);
    assert_eq!(one.network.refusals(), []);
}

#[tokio::test]
async fn a_peer_whose_authority_is_gone_is_disconnected_at_once_and_named() {
    let (log, _guard) = Log::listen();
    let (old, new) = (authority(), authority());
    let theirs = old.node(NodeId::new(2)).unwrap();
    let ours = new.node(NodeId::new(1)).unwrap();
    let one = Node::start_with(
        {
            let mut config = config_of(CLUSTER, 1, &ours);
            config.certificates = trusting(&ours, &[&old, &new]);
            config
        },
        RecordingInbox::default(),
    );
    let two = Node::start_with(
        {
            let mut config = config_of(CLUSTER, 2, &theirs);
            config.certificates = trusting(&theirs, &[&old, &new]);
            config
        },
        RecordingInbox::default(),
    );
    introduce(&one, &two);
    two.reaches(&one, 1).await;
    connected(&one, &two).await;

    let began = Instant::now();
    one.network.reload(trusting(&ours, &[&new])).unwrap();
    until("the peer is disconnected", || !one.is_connected(two.id)).await;

    assert!(began.elapsed() < GRACE, "{:?}", began.elapsed());
    let named = format!("(serial {})", serial(&theirs));
    for side in ["we refused the peer", "the peer refused us"] {
        until("both sides name the certificate", || {
            !log.lines_with(&[side, &named, "signed by another authority"])
                .is_empty()
        })
        .await;
    }
}

#[tokio::test]
async fn a_peer_that_is_revoked_is_disconnected_at_once_and_does_not_come_back() {
    let (log, _guard) = Log::listen();
    let authority = authority();
    let pem = |node| authority.node(NodeId::new(node)).unwrap();
    let (ours, theirs) = (pem(1), pem(2));
    let (one, two) = connected_pair(&ours, &theirs).await;
    let list = authority.revoke(&[&theirs.certificate], None).unwrap();

    let revoking = ours.certificates().unwrap().with_revoked(&list).unwrap();
    let began = Instant::now();
    one.network.reload(revoking).unwrap();
    until("the peer is disconnected", || !one.is_connected(two.id)).await;

    assert!(began.elapsed() < GRACE, "{:?}", began.elapsed());
    until("it is refused again", || one.network.refusal_count() >= 3).await;
    assert!(!one.is_connected(two.id));
    let named = format!("(serial {})", serial(&theirs));
    let lines = log.lines_with(&["we refused the peer", &named, "it was revoked"]);
    assert!(!lines.is_empty(), "{}", log.text());

    // Another certificate for the same node is another matter.
    two.network.reload(pem(2).certificates().unwrap()).unwrap();
    two.reaches(&one, 2).await;
}

/// Whoever holds a stolen certificate may have its handshake ready for when it is declared
/// out, and say the rest later.
#[tokio::test]
async fn a_peer_that_is_revoked_between_its_handshake_and_its_hello_is_not_let_in() {
    let authority = authority();
    let pem = |node| authority.node(NodeId::new(node)).unwrap();
    let (ours, stolen, theirs) = (pem(1), pem(2), pem(2));
    let (one, two) = connected_pair(&ours, &theirs).await;
    let thief = Stranger::new(Some(&stolen));
    let ready = thief.connecting(one.address()).await.unwrap();
    until("the thief's handshake is done here, too", || {
        one.network.open_connections() == 2
    })
    .await;
    let list = authority.revoke(&[&stolen.certificate], None).unwrap();
    let revoking = ours.certificates().unwrap().with_revoked(&list).unwrap();
    one.network.reload(revoking).unwrap();

    let mut late = Stranger::say_hello(ready, Versions::OURS).await;
    let message = heartbeat(two.id, one.id, 666);
    let mut frame = FrameBuilder::new(FrameKind::Messages, 64);
    wire::encode_batch(std::slice::from_ref(&message), frame.body()).unwrap();
    // It may be refused already.
    let _ = late.control.write_chunk(frame.finish(1024).unwrap()).await;
    tokio::time::timeout(GRACE, late.connection.closed())
        .await
        .unwrap();

    assert!(!one.inbox.messages().contains(&message));
    assert!(
        two.is_connected(one.id),
        "it took the place of the real one"
    );
    two.reaches(&one, 7).await;
}

#[tokio::test]
async fn a_certificate_that_expires_ends_its_connection_in_the_stated_time() {
    let authority = authority();
    let hour = Duration::from_secs(3600);
    let now = SystemTime::now();
    let expires = now + Duration::from_secs(4);
    let short = authority
        .node_valid(NodeId::new(2), now - hour, expires)
        .unwrap();
    let (one, two) = (
        node_of(1, &authority.node(NodeId::new(1)).unwrap()),
        node_of(2, &short),
    );
    introduce(&one, &two);
    two.reaches(&one, 1).await;
    connected(&one, &two).await;

    until("the connection ends", || !one.is_connected(two.id)).await;

    let late = SystemTime::now().duration_since(expires).unwrap();
    assert!(late < RECHECK + GRACE, "{late:?} after it expired");
    let refusal = one.network.last_refusal().unwrap();
    assert!(refusal.reason.contains("it expired"), "{refusal:?}");
}

#[tokio::test]
async fn a_new_certificate_replaces_the_connection_without_a_gap() {
    let authority = authority();
    let pem = |node| authority.node(NodeId::new(node)).unwrap();
    for renewing in [1, 2] {
        let (one, two) = connected_pair(&pem(1), &pem(2)).await;
        let (traffic, back) = (Traffic::begin(&one, &two), Traffic::begin(&two, &one));

        let node = if renewing == 1 { &one } else { &two };
        let fresh = pem(renewing);
        node.network.reload(fresh.certificates().unwrap()).unwrap();
        until("only the new connection is left", || {
            node.network.certificates().serial() == serial(&fresh)
                && renewals(&one, &two) == Some(1)
                && renewals(&two, &one) == Some(1)
                && one.network.open_connections() == 1
                && two.network.open_connections() == 1
        })
        .await;

        assert_eq!(traffic.end(&two).await, 0, "lost when {renewing} renewed");
        assert_eq!(back.end(&one).await, 0, "lost when {renewing} renewed");
    }
}

/// Three nodes, messages in all directions all the time, one authority for
/// another: trust both, show the new certificates, trust only the new one.
#[tokio::test(flavor = "multi_thread")]
async fn an_authority_is_replaced_by_overlap_without_a_lost_message() {
    let (old, new) = (authority(), authority());
    let pem = |authority: &DevAuthority, node| authority.node(NodeId::new(node)).unwrap();
    let first: Vec<_> = (1..=3).map(|id| pem(&old, id)).collect();
    let second: Vec<_> = (1..=3).map(|id| pem(&new, id)).collect();
    let nodes: Vec<_> = (1..)
        .zip(&first)
        .map(|(id, pem)| node_of(id, pem))
        .collect();
    let addresses: Vec<_> = nodes.iter().map(|n| (n.id, n.address())).collect();
    for node in &nodes {
        node.knows(&addresses);
    }
    let pairs = || {
        let of = |n| {
            nodes
                .iter()
                .map(move |m| (n, m))
                .filter(|(n, m): &(&Node, &Node)| n.id != m.id)
        };
        nodes.iter().flat_map(of)
    };
    for (from, to) in pairs() {
        from.reaches(to, 1).await;
        connected(from, to).await;
    }
    // Some dialled before they were known.
    let refused: Vec<_> = nodes.iter().map(|n| n.network.refusal_count()).collect();
    let traffic: Vec<_> = pairs()
        .map(|(from, to)| (to, Traffic::begin(from, to)))
        .collect();

    for (node, pem) in nodes.iter().zip(&first) {
        node.network.reload(trusting(pem, &[&old, &new])).unwrap();
    }
    for (node, pem) in nodes.iter().zip(&second) {
        node.network.reload(trusting(pem, &[&old, &new])).unwrap();
    }
    until("all connections show the new certificates", || {
        let settled = nodes.iter().all(|n| n.network.open_connections() == 2);
        settled && pairs().all(|(from, to)| renewals(from, to) == Some(2))
    })
    .await;
    for (node, pem) in nodes.iter().zip(&second) {
        node.network.reload(trusting(pem, &[&new])).unwrap();
    }
    for (from, to) in pairs() {
        from.reaches(to, 2).await;
    }

    for (to, traffic) in traffic {
        assert_eq!(traffic.end(to).await, 0, "lost on the way to {}", to.id);
    }
    for (node, before) in nodes.iter().zip(refused) {
        assert_eq!(node.network.refusals(), []);
        assert_eq!(node.network.refusal_count(), before);
    }
    let latecomer = node_of(4, &pem(&old, 4));
    latecomer.knows(&addresses);
    nodes[0].knows(&[(latecomer.id, latecomer.address())]);
    until("the old authority lets nobody in any more", || {
        let refusals = nodes[0].network.refusals();
        refusals
            .iter()
            .any(|r| r.reason.contains("signed by another authority"))
    })
    .await;
}

/// Heartbeats from one node to another, numbered, one each millisecond.
struct Traffic {
    from: NodeId,
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

/// Apart from the numbers that [`Node::reaches`] is called with.
const FIRST: u64 = 1_000;

impl Traffic {
    fn begin(from: &Node, to: &Node) -> Self {
        let (sent, stop) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (network, from, to) = (Arc::clone(&from.network), from.id, to.id);
        let task = tokio::spawn({
            let (sent, stop) = (Arc::clone(&sent), Arc::clone(&stop));
            async move {
                while !stop.load(Ordering::Relaxed) {
                    let number = FIRST + sent.fetch_add(1, Ordering::Relaxed);
                    network.send(to, vec![heartbeat(from, to, number)]);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });
        Self {
            from,
            sent,
            stop,
            task,
        }
    }

    /// Ends it; answers how many messages never arrived.
    async fn end(self, to: &Node) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        let sent = self.sent.load(Ordering::Relaxed);
        assert!(sent > 10, "there was no traffic");
        let last = heartbeat(self.from, to.id, FIRST + sent - 1);
        to.inbox.wait_for(&last).await;
        let arrived = to.inbox.messages();
        let numbers = FIRST..FIRST + sent;
        numbers
            .filter(|&number| !arrived.contains(&heartbeat(self.from, to.id, number)))
            .count()
    }
}
