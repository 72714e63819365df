//! Snapshots on their own streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use raft_core::{
    GroupId, LogId, Membership, Network, NetworkError, NodeId, ReplicaId, Snapshot, SnapshotHeader,
    SnapshotMeta, SnapshotReader, StorageError, Term, async_trait,
};
use tokio::sync::Semaphore;

use crate::support::{GROUP, Node, Random, RecordingInbox, authority, config, introduce, pair};

const CHUNK: usize = 300_000;

/// Chunks of random bytes, and how many were asked for.
struct Source {
    random: Random,
    left: usize,
    asked: Arc<AtomicUsize>,
    fails_at_end: bool,
}

#[async_trait]
impl SnapshotReader for Source {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        if self.left == 0 {
            return match self.fails_at_end {
                true => Err(StorageError::io("reading a snapshot", "the disk is gone")),
                false => Ok(None),
            };
        }
        self.left -= 1;
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(Some(self.random.bytes(CHUNK).into()))
    }
}

fn source(chunks: usize) -> Source {
    Source {
        random: Random(7),
        left: chunks,
        asked: Arc::default(),
        fails_at_end: false,
    }
}

fn whole(chunks: usize) -> Vec<u8> {
    let mut random = Random(7);
    (0..chunks).flat_map(|_| random.bytes(CHUNK)).collect()
}

fn meta() -> SnapshotMeta {
    SnapshotMeta {
        last_included: LogId::new(3, 77),
        membership: Membership::of_ids([1, 2, 3]),
    }
}

fn snapshot(source: Source) -> Snapshot {
    Snapshot {
        meta: meta(),
        reader: Box::new(source),
    }
}

fn header(from: &Node, to: NodeId) -> SnapshotHeader {
    SnapshotHeader {
        group: GROUP,
        from: ReplicaId::first(from.id.get()),
        to: ReplicaId::first(to.get()),
        term: Term::new(3),
    }
}

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
