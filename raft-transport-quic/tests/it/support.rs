//! Nodes, inboxes and messages for the tests.

use std::collections::VecDeque;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use raft_core::message::{AppendEntries, Heartbeat};
use raft_core::{
    Entry, Envelope, GroupId, Inbox, LogId, LogIndex, LogSlice, MemberInfo, Message, Network,
    NetworkError, NodeId, ReplicaId, RequestId, SnapshotHeader, SnapshotMeta, SnapshotReader, Term,
    async_trait,
};
use raft_transport_quic::{DevAuthority, NodePem, QuicConfig, QuicNetwork};
use tokio::sync::Notify;

pub(crate) const GROUP: GroupId = GroupId::new(0);
pub(crate) const CLUSTER: &str = "test";
/// Far longer than anything here takes; only a test that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Remembers what was delivered.
#[derive(Default)]
pub(crate) struct RecordingInbox {
    pub(crate) messages: Mutex<Vec<Envelope>>,
    pub(crate) snapshots: Mutex<VecDeque<(SnapshotMeta, Vec<u8>)>>,
    /// Chunks read so far, of all snapshots.
    pub(crate) chunks: AtomicUsize,
    /// Why snapshots could not be read to their end.
    pub(crate) failures: Mutex<Vec<String>>,
    pub(crate) arrived: Notify,
    /// Says no to snapshots with this text.
    pub(crate) refuse_snapshots: Option<String>,
    /// Reads a chunk only when this lets it.
    pub(crate) pace: Option<tokio::sync::Semaphore>,
}

impl RecordingInbox {
    pub(crate) fn messages(&self) -> Vec<Envelope> {
        self.messages.lock().unwrap().clone()
    }

    pub(crate) fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap().clone()
    }

    pub(crate) fn take_snapshot(&self) -> Option<(SnapshotMeta, Vec<u8>)> {
        self.snapshots.lock().unwrap().pop_front()
    }

    /// Waits until what was delivered satisfies `enough`.
    pub(crate) async fn wait(&self, what: &str, enough: impl Fn(&[Envelope]) -> bool) {
        let satisfied = async {
            loop {
                let arrived = self.arrived.notified();
                if enough(&self.messages.lock().unwrap()) {
                    return;
                }
                arrived.await;
            }
        };
        if tokio::time::timeout(PATIENCE, satisfied).await.is_err() {
            panic!("never arrived: {what}");
        }
    }

    pub(crate) async fn wait_for(&self, wanted: &Envelope) {
        self.wait(&format!("{wanted:?}"), |got| got.contains(wanted))
            .await;
    }
}

#[async_trait]
impl Inbox for RecordingInbox {
    fn deliver(&self, batch: Vec<Envelope>) {
        self.messages.lock().unwrap().extend(batch);
        self.arrived.notify_waiters();
    }

    async fn deliver_snapshot(
        &self,
        _header: SnapshotHeader,
        meta: SnapshotMeta,
        mut reader: Box<dyn SnapshotReader>,
    ) -> Result<(), NetworkError> {
        if let Some(reason) = self.refuse_snapshots.clone() {
            return Err(NetworkError::Refused { reason });
        }
        let mut bytes = Vec::new();
        loop {
            if let Some(pace) = &self.pace {
                pace.acquire().await.unwrap().forget();
            }
            match reader.next_chunk().await {
                Ok(Some(chunk)) => {
                    bytes.extend_from_slice(&chunk);
                    self.chunks.fetch_add(1, Ordering::Relaxed);
                }
                Ok(None) => break,
                Err(error) => {
                    let causes = format!("{error}: {:?}", error.source());
                    self.failures.lock().unwrap().push(causes);
                    return Err(error.into());
                }
            }
        }
        self.snapshots.lock().unwrap().push_back((meta, bytes));
        Ok(())
    }
}

/// A running transport with its inbox.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) network: Arc<QuicNetwork>,
    pub(crate) inbox: Arc<RecordingInbox>,
}

impl Node {
    pub(crate) fn start(authority: &DevAuthority, id: u64) -> Self {
        Self::start_with(config(authority, id), RecordingInbox::default())
    }

    pub(crate) fn start_with(config: QuicConfig, inbox: RecordingInbox) -> Self {
        let id = config.node;
        Self::on(id, QuicNetwork::bind(config).unwrap(), inbox)
    }

    /// A node on a transport that runs.
    pub(crate) fn on(id: NodeId, network: Arc<QuicNetwork>, inbox: RecordingInbox) -> Self {
        let inbox = Arc::new(inbox);
        network.register(GROUP, Arc::<RecordingInbox>::clone(&inbox));
        Self { id, network, inbox }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.network.local_addr()
    }

    pub(crate) fn knows(&self, peers: &[(NodeId, SocketAddr)]) {
        let named = peers.iter().map(|&(node, address)| (node, at(address)));
        self.network.set_peers(GROUP, named.collect());
    }

    pub(crate) fn is_connected(&self, peer: NodeId) -> bool {
        self.network
            .peer_status(peer)
            .is_some_and(|status| status.connected)
    }

    /// Says `message` again and again, as Raft does, until it arrives.
    pub(crate) async fn reaches(&self, other: &Self, number: u64) {
        let message = heartbeat(self.id, other.id, number);
        until("a message gets through", || {
            self.network.send(other.id, vec![message.clone()]);
            other.inbox.messages().contains(&message)
        })
        .await;
    }
}

pub(crate) fn authority() -> DevAuthority {
    DevAuthority::new(CLUSTER).unwrap()
}

pub(crate) fn config(authority: &DevAuthority, id: u64) -> QuicConfig {
    config_of(CLUSTER, id, &authority.node(NodeId::new(id)).unwrap())
}

pub(crate) fn config_of(cluster: &str, id: u64, pem: &NodePem) -> QuicConfig {
    let listen = "127.0.0.1:0".parse().unwrap();
    QuicConfig::new(
        cluster,
        NodeId::new(id),
        listen,
        pem.certificates().unwrap(),
    )
}

/// Two nodes that know each other.
pub(crate) fn pair() -> (Node, Node) {
    let authority = authority();
    let (one, two) = (Node::start(&authority, 1), Node::start(&authority, 2));
    introduce(&one, &two);
    (one, two)
}

pub(crate) fn introduce(one: &Node, two: &Node) {
    one.knows(&[(two.id, two.address())]);
    two.knows(&[(one.id, one.address())]);
}

pub(crate) fn at(address: SocketAddr) -> MemberInfo {
    MemberInfo {
        address: address.to_string(),
        ..MemberInfo::default()
    }
}

pub(crate) fn envelope(from: NodeId, to: NodeId, message: Message) -> Envelope {
    Envelope {
        group: GROUP,
        from: ReplicaId::first(from.get()),
        to: ReplicaId::first(to.get()),
        term: Term::new(1),
        message,
    }
}

pub(crate) fn heartbeat(from: NodeId, to: NodeId, round: u64) -> Envelope {
    let heartbeat = Heartbeat {
        session: 1,
        round,
        commit: LogIndex::ZERO,
    };
    envelope(from, to, Message::Heartbeat(heartbeat))
}

/// An append whose one entry, at `index`, carries `size` bytes.
pub(crate) fn append(from: NodeId, to: NodeId, index: u64, size: usize) -> Envelope {
    let request = RequestId {
        boot: 1,
        sequence: index,
    };
    let data = Bytes::from(Random(index).bytes(size));
    let entry = Entry::command(LogId::new(1, index), request, data);
    let append = AppendEntries {
        session: 1,
        previous: LogId::new(1, index - 1),
        entries: LogSlice::new(vec![entry]).unwrap(),
        commit: LogIndex::ZERO,
    };
    envelope(from, to, Message::AppendEntries(append))
}

/// Waits for something that has no event of its own.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let satisfied = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, satisfied).await.is_err() {
        panic!("never happened: {what}");
    }
}

/// Repeatable randomness (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}
