//! Snapshots on their own streams.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use raft_core::{GroupId, Network, NetworkError, NodeId, ReplicaId, SnapshotHeader};
use tokio::sync::Semaphore;

use crate::sample::{Source, header, meta, snapshot, source, whole};
use crate::support::{Node, RecordingInbox, authority, config, introduce, pair};

/// A pair whose second node has this inbox.
fn pair_with(inbox: RecordingInbox) -> (Node, Node) {
    let authority = authority();
    let one = Node::start(&authority, 1);
    let two = Node::start_with(config(&authority, 2), inbox);
    introduce(&one, &two);
    (one, two)
}

#[tokio::test]
async fn a_snapshot_of_megabytes_arrives_whole() {
    let (one, two) = pair();

    one.network
        .send_snapshot(header(&one, two.id), snapshot(source(20)))
        .await
        .unwrap();

    assert_eq!(two.inbox.take_snapshot(), Some((meta(), whole(20))));
}

/// A receiver acknowledges in steps that chunks of such sizes do not add up to.
#[tokio::test]
async fn chunks_of_any_size_get_across() {
    for chunk in [1000, 60 << 10, (256 << 10) - 1, 257 << 10] {
        let (one, two) = pair();
        let source = Source {
            chunk,
            ..source(40)
        };

        one.network
            .send_snapshot(header(&one, two.id), snapshot(source))
            .await
            .unwrap();

        let (_, bytes) = two.inbox.take_snapshot().unwrap();
        assert_eq!(bytes.len(), 40 * chunk);
    }
}

#[tokio::test]
async fn whoever_watches_the_source_hears_that_the_receiver_gets_further() {
    let (one, two) = pair();
    let source = source(20);
    let told = Arc::clone(&source.told);

    one.network
        .send_snapshot(header(&one, two.id), snapshot(source))
        .await
        .unwrap();

    assert!(told.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn an_empty_snapshot_arrives() {
    let (one, two) = pair();

    one.network
        .send_snapshot(header(&one, two.id), snapshot(source(0)))
        .await
        .unwrap();

    assert_eq!(two.inbox.take_snapshot(), Some((meta(), Vec::new())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_pass_a_snapshot_that_is_stuck_and_memory_stays_bounded() {
    let (one, two) = pair_with(RecordingInbox {
        pace: Some(Semaphore::new(1)),
        ..RecordingInbox::default()
    });
    one.reaches(&two, 1).await;
    let source = source(100);
    let asked = Arc::clone(&source.asked);
    let (network, header) = (Arc::clone(&one.network), header(&one, two.id));
    let sending =
        tokio::spawn(async move { network.send_snapshot(header, snapshot(source)).await });

    for number in 2..20 {
        one.reaches(&two, number).await;
        two.reaches(&one, number).await;
    }

    // A window, a chunk in each hand, and not the 30 MB of the whole.
    assert!(asked.load(Ordering::Relaxed) <= 20);
    assert!(!sending.is_finished());
    two.inbox.pace.as_ref().unwrap().add_permits(1000);
    sending.await.unwrap().unwrap();
    assert_eq!(two.inbox.take_snapshot(), Some((meta(), whole(100))));
}

#[tokio::test]
async fn a_receiver_that_refuses_says_why_without_reading_it_all() {
    let (one, two) = pair_with(RecordingInbox {
        refuse_snapshots: Some("a newer one is installed".into()),
        ..RecordingInbox::default()
    });
    let source = source(100);
    let asked = Arc::clone(&source.asked);

    let result = one
        .network
        .send_snapshot(header(&one, two.id), snapshot(source))
        .await;

    let refused = matches!(
        &result,
        Err(NetworkError::Refused { reason }) if reason == "a newer one is installed"
    );
    assert!(refused, "{result:?}");
    assert!(asked.load(Ordering::Relaxed) < 100);
}

#[tokio::test]
async fn a_snapshot_whose_source_fails_is_not_installed() {
    let (one, two) = pair();
    let failing = Source {
        fails_at_end: true,
        ..source(3)
    };

    let result = one
        .network
        .send_snapshot(header(&one, two.id), snapshot(failing))
        .await;

    assert!(
        matches!(result, Err(NetworkError::Storage(_))),
        "{result:?}"
    );
    one.reaches(&two, 1).await;
    assert_eq!(two.inbox.take_snapshot(), None);
}

#[tokio::test]
async fn a_snapshot_in_the_name_of_another_is_refused() {
    let (one, two) = pair();
    let forged = SnapshotHeader {
        from: ReplicaId::first(3),
        ..header(&one, two.id)
    };

    let result = one.network.send_snapshot(forged, snapshot(source(1))).await;

    assert!(
        matches!(result, Err(NetworkError::Refused { .. })),
        "{result:?}"
    );
    assert_eq!(two.inbox.take_snapshot(), None);
}

#[tokio::test]
async fn a_snapshot_for_a_group_that_is_not_there_is_refused() {
    let (one, two) = pair();
    let astray = SnapshotHeader {
        group: GroupId::new(8),
        ..header(&one, two.id)
    };

    let result = one.network.send_snapshot(astray, snapshot(source(1))).await;

    assert!(
        matches!(result, Err(NetworkError::Refused { .. })),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_snapshot_for_a_peer_that_cannot_be_reached_fails() {
    let one = Node::start(&authority(), 1);
    let two = NodeId::new(2);
    one.knows(&[(two, "127.0.0.1:9".parse().unwrap())]);

    for to in [two, NodeId::new(5)] {
        let result = one
            .network
            .send_snapshot(header(&one, to), snapshot(source(1)))
            .await;
        let unreachable =
            matches!(&result, Err(NetworkError::Unreachable { peer, .. }) if *peer == to);
        assert!(unreachable, "{result:?}");
    }
}
