//! Peers that restart, move, fall silent, or dial at the same moment.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use raft_core::{Network, NodeId};
use raft_transport_quic::{QuicConfig, QuicNetwork};

use crate::relay::Relay;
use crate::support::{GROUP, Node, RecordingInbox, at, authority, config, introduce, pair, until};

/// Starts on an address that was in use a moment ago.
async fn start_again(config: QuicConfig) -> Node {
    until("the port is free again", || {
        std::net::UdpSocket::bind(config.listen).is_ok()
    })
    .await;
    Node::start_with(config, RecordingInbox::default())
}

#[tokio::test]
async fn a_peer_that_restarts_at_its_address_is_reached_again() {
    let authority = authority();
    let mut again = config(&authority, 2);
    let (one, two) = (
        Node::start(&authority, 1),
        Node::start_with(again.clone(), RecordingInbox::default()),
    );
    introduce(&one, &two);
    one.reaches(&two, 1).await;
    again.listen = two.address();

    two.network.shutdown().await;
    drop(two);
    let two = start_again(again).await;
    two.knows(&[(one.id, one.address())]);

    one.reaches(&two, 2).await;
    two.reaches(&one, 3).await;
}

#[tokio::test]
async fn a_restarted_peer_that_does_not_know_us_yet_is_dialled() {
    let authority = authority();
    let mut again = config(&authority, 2);
    let (one, two) = (
        Node::start(&authority, 1),
        Node::start_with(again.clone(), RecordingInbox::default()),
    );
    introduce(&one, &two);
    one.reaches(&two, 1).await;
    again.listen = two.address();

    two.network.shutdown().await;
    drop(two);
    let two = start_again(again).await;
    two.knows(&[(one.id, "127.0.0.1:9".parse().unwrap())]);

    one.reaches(&two, 2).await;
}

#[tokio::test]
async fn a_peer_that_moves_is_reached_at_its_new_address() {
    let authority = authority();
    let (one, two) = (Node::start(&authority, 1), Node::start(&authority, 2));
    introduce(&one, &two);
    one.reaches(&two, 1).await;

    two.network.shutdown().await;
    let two = Node::start(&authority, 2);
    let silent: SocketAddr = "127.0.0.1:9".parse().unwrap();
    two.knows(&[(one.id, silent)]);
    one.knows(&[(two.id, two.address())]);

    one.reaches(&two, 2).await;
    two.reaches(&one, 3).await;
}

#[tokio::test]
async fn a_peer_is_found_by_host_name() {
    let authority = authority();
    let (one, two) = (Node::start(&authority, 1), Node::start(&authority, 2));
    two.knows(&[(one.id, "127.0.0.1:9".parse().unwrap())]);
    let mut info = at(two.address());
    info.address = format!("localhost:{}", two.address().port());

    one.network.set_peers(GROUP, vec![(two.id, info)]);

    one.reaches(&two, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_simultaneous_dials_one_connection_stays() {
    for round in 0..5 {
        let (one, two) = pair();

        one.reaches(&two, 1).await;
        two.reaches(&one, 2).await;

        until(&format!("one connection stays in round {round}"), || {
            [&one, &two]
                .iter()
                .all(|node| node.network.open_connections() == 1)
                && one.is_connected(two.id)
                && two.is_connected(one.id)
        })
        .await;
        one.reaches(&two, 3).await;
        two.reaches(&one, 4).await;
    }
}

#[tokio::test]
async fn a_silent_connection_is_kept() {
    let (one, two) = pair();
    one.reaches(&two, 1).await;
    until("one connection stays", || {
        one.network.open_connections() == 1 && two.is_connected(one.id)
    })
    .await;

    let silence = Instant::now();
    while silence.elapsed() < Duration::from_secs(4) {
        assert!(one.is_connected(two.id) && two.is_connected(one.id));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_peer_that_vanishes_is_noticed_and_reached_again() {
    let authority = authority();
    let (one, two) = (Node::start(&authority, 1), Node::start(&authority, 2));
    let relay = Relay::start(two.address()).await;
    one.knows(&[(two.id, relay.address)]);
    two.knows(&[(one.id, "127.0.0.1:9".parse().unwrap())]);
    one.reaches(&two, 1).await;

    relay.cut.store(true, Ordering::Relaxed);
    let cut = Instant::now();
    until("the silence is noticed", || {
        !one.is_connected(two.id) && !two.is_connected(one.id)
    })
    .await;
    assert!(
        cut.elapsed() < Duration::from_secs(5),
        "{:?}",
        cut.elapsed()
    );

    relay.cut.store(false, Ordering::Relaxed);
    one.reaches(&two, 2).await;
}

/// The lower node dialled the dead connection, yet the higher node's new one
/// wins, long before the silence would be noticed.
#[tokio::test]
async fn a_peer_that_was_killed_and_restarted_is_connected_at_once() {
    let authority = authority();
    let mut patient = config(&authority, 1);
    patient.idle_timeout = Duration::from_secs(60);
    let one = Node::start_with(patient, RecordingInbox::default());
    let mut also_patient = config(&authority, 2);
    also_patient.idle_timeout = Duration::from_secs(60);
    let killed = Node::start_with(also_patient, RecordingInbox::default());
    let relay = Relay::start(killed.address()).await;
    one.knows(&[(killed.id, relay.address)]);
    killed.knows(&[(one.id, "127.0.0.1:9".parse().unwrap())]);
    one.reaches(&killed, 1).await;

    relay.cut.store(true, Ordering::Relaxed);
    let two = Node::start(&authority, 2);
    two.knows(&[(one.id, one.address())]);

    two.reaches(&one, 2).await;
    one.reaches(&two, 3).await;
}

#[tokio::test]
async fn a_stopped_transport_hears_nothing_more() {
    let (one, two) = pair();
    one.reaches(&two, 1).await;

    two.network.shutdown().await;

    until("the farewell arrives", || !one.is_connected(two.id)).await;
    assert_eq!(two.network.open_connections(), 0);
}

#[tokio::test]
async fn dropping_the_transport_ends_its_tasks() {
    let authority = authority();
    let network = QuicNetwork::bind(config(&authority, 1)).unwrap();
    let address = network.local_addr();
    network.set_peers(GROUP, vec![(NodeId::new(2), at(address))]);

    drop(network);

    until("the port is free", || {
        std::net::UdpSocket::bind(address).is_ok()
    })
    .await;
}
