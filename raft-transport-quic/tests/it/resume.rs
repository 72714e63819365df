//! Snapshots whose streams break.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use raft_core::{
    Envelope, Inbox, Network, NetworkError, NodeId, SnapshotHeader, SnapshotMeta, SnapshotReader,
    Term, async_trait,
};
use raft_transport_quic::{DevAuthority, QuicConfig};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::relay::Relay;
use crate::sample::{CHUNK, Source, header, meta, snapshot, source, whole};
use crate::support::{GROUP, Node, RecordingInbox, authority, config, until};

/// What a sender keeps at most, with one chunk more.
const WINDOW: usize = (4 << 20) + CHUNK;
/// Longer than any test takes.
const FOREVER: Duration = Duration::from_secs(600);

fn nobody() -> SocketAddr {
    "127.0.0.1:9".parse().unwrap()
}

/// Node 1, whose only way to node 2 is a relay; node 2 reads chunks as it is let.
struct Path {
    authority: DevAuthority,
    one: Node,
    two: Node,
    relay: Relay,
}

type Sending = JoinHandle<Result<(), NetworkError>>;

impl Path {
    async fn with_patience(patience: Duration) -> Self {
        let authority = authority();
        let patient = |id| {
            let mut config: QuicConfig = config(&authority, id);
            config.snapshot_patience = patience;
            config
        };
        let inbox = RecordingInbox {
            pace: Some(Semaphore::new(0)),
            ..RecordingInbox::default()
        };
        let one = Node::start_with(patient(1), RecordingInbox::default());
        let two = Node::start_with(patient(2), inbox);
        let relay = Relay::start(two.address()).await;
        two.knows(&[(one.id, nobody())]);
        let path = Self {
            authority,
            one,
            two,
            relay,
        };
        path.join();
        path
    }

    fn cut(&self) {
        self.one.knows(&[(self.two.id, nobody())]);
    }

    fn join(&self) {
        self.one.knows(&[(self.two.id, self.relay.address)]);
    }

    /// Begins to send; returns when the receiver has answered.
    async fn send(&self, source: Source) -> Sending {
        let asked = Arc::clone(&source.asked);
        let (network, header) = (
            Arc::clone(&self.one.network),
            header(&self.one, self.two.id),
        );
        let sending =
            tokio::spawn(async move { network.send_snapshot(header, snapshot(source)).await });
        until("the receiver answers", || asked.load(Ordering::Relaxed) > 0).await;
        sending
    }

    fn let_read(&self, chunks: usize) {
        self.two.inbox.pace.as_ref().unwrap().add_permits(chunks);
    }

    fn chunks_read(&self) -> usize {
        self.two.inbox.chunks.load(Ordering::Relaxed)
    }

    async fn let_read_up_to(&self, chunks: usize) {
        self.let_read(chunks - self.chunks_read());
        until("the chunks are read", || self.chunks_read() == chunks).await;
    }

    /// The connection breaks, and there is no other.
    async fn breaks(&self) {
        self.cut();
        until("the break is noticed", || {
            !self.two.is_connected(self.one.id)
        })
        .await;
    }

    /// Node 3, which has its own way to node 2.
    fn third(&self) -> Node {
        let three = Node::start(&self.authority, 3);
        three.knows(&[(self.two.id, self.two.address())]);
        self.two
            .knows(&[(self.one.id, nobody()), (three.id, nobody())]);
        three
    }

    async fn until_the_reader_fails(&self) -> String {
        until("the reader gets an error", || {
            !self.two.inbox.failures().is_empty()
        })
        .await;
        let [failure] = &self.two.inbox.failures()[..] else {
            panic!("one failure");
        };
        failure.clone()
    }
}

fn of_term(term: u64, from: &Node, to: NodeId) -> SnapshotHeader {
    SnapshotHeader {
        term: Term::new(term),
        ..header(from, to)
    }
}

#[track_caller]
fn is_refused(result: &Result<(), NetworkError>, because: &str) {
    let refused =
        matches!(result, Err(NetworkError::Refused { reason }) if reason.contains(because));
    assert!(refused, "{result:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_goes_on_after_each_break_and_arrives_once_and_whole() {
    let path = Path::with_patience(FOREVER).await;
    let sending = path.send(source(60)).await;

    for chunks in [0, 1, 2, 30, 59, 60] {
        path.let_read_up_to(chunks).await;
        path.breaks().await;
        path.join();
    }
    path.let_read(1);

    sending.await.unwrap().unwrap();
    assert_eq!(path.two.inbox.take_snapshot(), Some((meta(), whole(60))));
    assert_eq!(path.chunks_read(), 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrived_before_a_break_is_not_sent_again() {
    const CHUNKS: usize = 100;
    const READ: usize = 90;
    let path = Path::with_patience(FOREVER).await;
    let sending = path.send(source(CHUNKS)).await;
    path.let_read_up_to(READ).await;

    path.breaks().await;
    let before = path.relay.forwarded();
    path.join();
    path.let_read(CHUNKS);
    sending.await.unwrap().unwrap();

    let (sent, missing) = (path.relay.forwarded() - before, (CHUNKS - READ) * CHUNK);
    assert!(before > READ * CHUNK, "{before} bytes for {READ} chunks");
    // The packets around the bytes, and those sent twice, are few.
    assert!(sent < (missing + WINDOW) * 5 / 4, "{sent} for {missing}");
    assert_eq!(
        path.two.inbox.take_snapshot(),
        Some((meta(), whole(CHUNKS)))
    );
}

/// Some bytes pass, and then nothing does: nobody says that the stream broke.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_goes_on_after_a_silence() {
    let path = Path::with_patience(FOREVER).await;
    let sending = path.send(source(60)).await;
    path.let_read_up_to(20).await;

    path.relay.cut.store(true, Ordering::Relaxed);
    path.let_read(100);
    until("the silence is noticed", || {
        !path.one.is_connected(path.two.id) && !path.two.is_connected(path.one.id)
    })
    .await;
    path.relay.cut.store(false, Ordering::Relaxed);

    sending.await.unwrap().unwrap();
    assert_eq!(path.two.inbox.take_snapshot(), Some((meta(), whole(60))));
}

#[tokio::test]
async fn a_sender_that_lost_the_reply_gets_it_on_another_stream() {
    let path = Path::with_patience(FOREVER).await;
    let sending = path.send(source(3)).await;
    path.let_read_up_to(3).await;
    // The end arrives with the last chunks, but is not read yet.
    path.one.reaches(&path.two, 1).await;

    path.breaks().await;
    path.let_read(1);
    until("it is installed", || {
        !path.two.inbox.snapshots.lock().unwrap().is_empty()
    })
    .await;
    path.join();

    sending.await.unwrap().unwrap();
    assert_eq!(path.two.inbox.take_snapshot(), Some((meta(), whole(3))));
    assert_eq!(path.two.inbox.take_snapshot(), None);
}

#[tokio::test]
async fn the_next_leaders_snapshot_takes_the_place_of_a_half_read_one() {
    let path = Path::with_patience(FOREVER).await;
    let sending = path.send(source(40)).await;
    path.let_read_up_to(5).await;
    path.breaks().await;

    let three = path.third();
    path.let_read(1000);
    let of_next_term = of_term(4, &three, path.two.id);
    three
        .network
        .send_snapshot(of_next_term, snapshot(source(20)))
        .await
        .unwrap();

    let failure = path.until_the_reader_fails().await;
    assert!(failure.contains("took its place"), "{failure}");
    assert_eq!(path.two.inbox.take_snapshot(), Some((meta(), whole(20))));
    path.join();
    is_refused(&sending.await.unwrap(), "here no more");
    assert_eq!(path.two.inbox.take_snapshot(), None);
}

#[tokio::test]
async fn a_stranger_neither_goes_on_with_anothers_snapshot_nor_ends_it() {
    let path = Path::with_patience(FOREVER).await;
    let sending = path.send(source(40)).await;
    path.let_read_up_to(5).await;
    path.breaks().await;

    let three = path.third();
    let in_its_name = header(&path.one, path.two.id);
    for (header, because) in [
        (of_term(3, &three, path.two.id), "another node sends one"),
        (of_term(2, &three, path.two.id), "of a later term"),
        (in_its_name, "in the name of"),
    ] {
        let result = three
            .network
            .send_snapshot(header, snapshot(source(40)))
            .await;
        is_refused(&result, because);
    }
    path.let_read(100);
    path.join();

    sending.await.unwrap().unwrap();
    assert_eq!(path.two.inbox.take_snapshot(), Some((meta(), whole(40))));
}

#[tokio::test]
async fn a_snapshot_that_nobody_goes_on_with_is_given_up_on_both_sides() {
    let path = Path::with_patience(Duration::from_millis(300)).await;
    let sending = path.send(source(40)).await;
    path.let_read_up_to(5).await;

    path.breaks().await;
    path.let_read(100);

    let failure = path.until_the_reader_fails().await;
    assert!(failure.contains("went on with it no more"), "{failure}");
    let result = sending.await.unwrap();
    assert!(
        matches!(result, Err(NetworkError::Unreachable { .. })),
        "{result:?}"
    );
    path.join();
    path.send(source(2)).await.await.unwrap().unwrap();
    assert_eq!(path.two.inbox.take_snapshot(), Some((meta(), whole(2))));
}

#[tokio::test]
async fn a_sender_that_gives_up_leaves_nobody_waiting() {
    let path = Path::with_patience(FOREVER).await;
    let sending = path.send(source(40)).await;
    path.let_read_up_to(5).await;

    sending.abort();
    path.let_read(100);

    let failure = path.until_the_reader_fails().await;
    assert!(failure.contains("its sender gave up"), "{failure}");
    path.send(source(2)).await.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_sender_that_begins_another_snapshot_ends_the_half_read_one() {
    let path = Path::with_patience(FOREVER).await;
    let sending = path.send(source(40)).await;
    path.let_read_up_to(5).await;
    path.breaks().await;
    sending.abort();

    path.let_read(100);
    path.join();
    path.send(source(2)).await.await.unwrap().unwrap();

    let failure = path.until_the_reader_fails().await;
    assert!(failure.contains("took its place"), "{failure}");
    assert_eq!(path.two.inbox.take_snapshot(), Some((meta(), whole(2))));
}

/// Hands the reader to somebody who goes on reading, as a node's state machine does.
struct Elsewhere(mpsc::UnboundedSender<Box<dyn SnapshotReader>>);

#[async_trait]
impl Inbox for Elsewhere {
    fn deliver(&self, _batch: Vec<Envelope>) {}

    async fn deliver_snapshot(
        &self,
        _header: SnapshotHeader,
        _meta: SnapshotMeta,
        reader: Box<dyn SnapshotReader>,
    ) -> Result<(), NetworkError> {
        self.0.send(reader).unwrap();
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_node_that_stops_ends_the_reading() {
    let path = Path::with_patience(FOREVER).await;
    let (elsewhere, mut readers) = mpsc::unbounded_channel();
    path.two
        .network
        .register(GROUP, Arc::new(Elsewhere(elsewhere)));
    let _sending = path.send(source(40)).await;
    let mut reader = readers.recv().await.unwrap();
    assert_eq!(reader.next_chunk().await.unwrap(), Some(whole(1).into()));
    path.breaks().await;

    path.two.network.shutdown().await;

    let failure = loop {
        match reader.next_chunk().await {
            Ok(chunk) => assert!(chunk.is_some(), "this is not the end"),
            Err(error) => break format!("{error}: {:?}", error.source()),
        }
    };
    assert!(failure.contains("the node stops"), "{failure}");
}

#[tokio::test]
async fn a_receiver_that_was_restarted_wants_the_snapshot_from_its_beginning() {
    let path = Path::with_patience(FOREVER).await;
    let sending = path.send(source(40)).await;
    path.let_read_up_to(5).await;

    path.breaks().await;
    path.two.network.shutdown().await;
    let two = Node::start(&path.authority, 2);
    two.knows(&[(path.one.id, nobody())]);
    path.one.knows(&[(two.id, two.address())]);

    is_refused(&sending.await.unwrap(), "here no more");
    assert_eq!(two.inbox.take_snapshot(), None);
}
