//! The numbered duties of `raft_core::network`.

use std::time::{Duration, Instant};

use std::sync::Arc;

use raft_core::{GroupId, Message, MessageClass, Network, NodeId};
use raft_transport_quic::QueueLimit;

use crate::support::{
    Node, RecordingInbox, append, authority, config, heartbeat, introduce, pair, until,
};

const NOBODY: &str = "127.0.0.1:9";

/// Duty 1.
#[tokio::test]
async fn sending_to_a_peer_that_never_answers_returns_at_once() {
    let one = Node::start(&authority(), 1);
    let two = NodeId::new(2);
    one.knows(&[(two, NOBODY.parse().unwrap())]);

    let started = Instant::now();
    for round in 0..10_000 {
        one.network.send(two, vec![heartbeat(one.id, two, round)]);
    }

    assert!(started.elapsed() < Duration::from_secs(5));
}

/// Duty 2.
#[tokio::test]
async fn what_waits_for_an_unreachable_peer_is_bounded_and_counted() {
    let mut config = config(&authority(), 1);
    config.control_queue = QueueLimit {
        messages: 10,
        bytes: 1 << 20,
    };
    config.append_queue = QueueLimit {
        messages: 1000,
        bytes: 100_000,
    };
    let one = Node::start_with(config, RecordingInbox::default());
    let two = NodeId::new(2);
    one.knows(&[(two, NOBODY.parse().unwrap())]);

    for number in 1..=50 {
        let batch = vec![
            heartbeat(one.id, two, number),
            append(one.id, two, number, 9_000),
        ];
        one.network.send(two, batch);
    }

    let status = one.network.peer_status(two).unwrap();
    assert_eq!(status.waiting_control, 10);
    assert_eq!(status.waiting_append, 10);
    assert_eq!(status.dropped, 80);
}

/// Duty 3.
#[tokio::test]
async fn an_urgent_message_overtakes_megabytes_of_entries() {
    let (one, two) = pair();
    one.reaches(&two, 1).await;

    let entries: Vec<_> = (1..=24)
        .map(|i| append(one.id, two.id, i, 1 << 20))
        .collect();
    one.network.send(two.id, entries);
    let urgent = heartbeat(one.id, two.id, 2);
    one.network.send(two.id, vec![urgent.clone()]);

    two.inbox.wait_for(&urgent).await;
    let before = appends_in(&two.inbox.messages());
    assert!(before < 24, "all entries came first");
    two.inbox
        .wait("all entries", |got| appends_in(got) == 24)
        .await;
}

fn appends_in(messages: &[raft_core::Envelope]) -> usize {
    messages
        .iter()
        .filter(|e| e.message.class() == MessageClass::Append)
        .count()
}

/// Duty 4.
#[tokio::test]
async fn messages_arrive_as_they_were_sent_and_in_order_within_a_class() {
    let (one, two) = pair();
    one.reaches(&two, 0).await;
    let sent: Vec<_> = (1..=200)
        .map(|i| append(one.id, two.id, i, (i as usize) * 37 % 5_000))
        .collect();

    for batch in sent.chunks(7) {
        one.network.send(two.id, batch.to_vec());
    }

    two.inbox
        .wait("all entries", |got| appends_in(got) == sent.len())
        .await;
    let got: Vec<_> = two
        .inbox
        .messages()
        .into_iter()
        .filter(|e| matches!(e.message, Message::AppendEntries(_)))
        .collect();
    assert_eq!(got, sent);
}

/// Duty 4: too large for a frame is not sent, and does not hold up the rest.
#[tokio::test]
async fn a_message_over_the_frame_limit_is_dropped_and_the_next_arrives() {
    let authority = authority();
    let mut small = config(&authority, 1);
    small.max_frame = 2 << 20;
    let one = Node::start_with(small, RecordingInbox::default());
    let two = Node::start(&authority, 2);
    introduce(&one, &two);
    one.reaches(&two, 1).await;

    let next = append(one.id, two.id, 9, 100);
    let large = append(one.id, two.id, 8, 3 << 20);
    one.network.send(two.id, vec![large.clone(), next.clone()]);

    two.inbox.wait_for(&next).await;
    assert!(!two.inbox.messages().contains(&large));
}

/// Duty 5.
#[tokio::test]
async fn a_message_in_the_name_of_another_node_is_dropped_and_reported() {
    let (one, two) = pair();
    one.reaches(&two, 1).await;

    let forged = heartbeat(NodeId::new(3), two.id, 7);
    let honest = heartbeat(one.id, two.id, 8);
    one.network
        .send(two.id, vec![forged.clone(), honest.clone()]);

    two.inbox.wait_for(&honest).await;
    assert!(!two.inbox.messages().contains(&forged));
    let reason = two.network.last_refusal().unwrap().reason;
    assert!(reason.contains("in the name of n3, sent by n1"), "{reason}");
}

/// Duty 5.
#[tokio::test]
async fn a_message_for_another_node_is_dropped() {
    let (one, two) = pair();
    one.reaches(&two, 1).await;

    let astray = heartbeat(one.id, NodeId::new(3), 7);
    let honest = heartbeat(one.id, two.id, 8);
    one.network
        .send(two.id, vec![astray.clone(), honest.clone()]);

    two.inbox.wait_for(&honest).await;
    assert!(!two.inbox.messages().contains(&astray));
}

/// Duty 7.
#[tokio::test]
async fn a_message_reaches_the_inbox_of_its_group() {
    let (one, two) = pair();
    one.reaches(&two, 1).await;
    let other_inbox = Arc::new(RecordingInbox::default());
    let other_group = GroupId::new(5);
    two.network
        .register(other_group, Arc::<RecordingInbox>::clone(&other_inbox));

    let mut of_other = heartbeat(one.id, two.id, 2);
    of_other.group = other_group;
    let mut of_nobody = heartbeat(one.id, two.id, 3);
    of_nobody.group = GroupId::new(6);
    let of_first = heartbeat(one.id, two.id, 4);
    let batch = vec![of_other.clone(), of_nobody, of_first.clone()];
    one.network.send(two.id, batch);

    two.inbox.wait_for(&of_first).await;
    other_inbox.wait_for(&of_other).await;
    assert_eq!(other_inbox.messages(), [of_other]);
}

#[tokio::test]
async fn a_node_stays_a_peer_while_another_group_names_it() {
    let (one, two) = pair();
    one.reaches(&two, 1).await;
    let second = GroupId::new(1);
    let named = vec![(two.id, crate::support::at(two.address()))];
    one.network.set_peers(second, named);

    one.knows(&[]);
    assert!(one.is_connected(two.id));
    one.network.set_peers(second, Vec::new());

    assert_eq!(one.network.peer_status(two.id), None);
    until("the peer hears of it", || !two.is_connected(one.id)).await;
}
