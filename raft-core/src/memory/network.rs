//! Nodes of one process, connected by a hub whose links a test can cut.
//!
//! Messages are delivered at once or never, so nothing waits: what a cut link or a
//! missing inbox takes is gone, and counted. A snapshot goes over as a whole
//! reader, so its stream never breaks, not even when its link is cut; it ends when its
//! sender gives it up or begins another for the group, and when an endpoint is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Poll, Waker};

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::StorageError;
use crate::membership::MemberInfo;
use crate::message::Envelope;
use crate::network::{Inbox, Network, NetworkError, SnapshotHeader};
use crate::snapshot::{Snapshot, SnapshotReader};
use crate::types::{GroupId, NodeId};

/// Connects the nodes of one process.
#[derive(Clone, Default)]
pub struct MemoryHub {
    links: Arc<Mutex<Links>>,
}

#[derive(Default)]
struct Links {
    inboxes: BTreeMap<(NodeId, GroupId), Arc<dyn Inbox>>,
    cut: BTreeSet<(NodeId, NodeId)>,
    /// The latest snapshot from one node to another for a group.
    sending: BTreeMap<(NodeId, NodeId, GroupId), Weak<Mutex<Tie>>>,
}

impl MemoryHub {
    /// A hub without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// The network as `node` sees it.
    pub fn network(&self, node: NodeId) -> MemoryNetwork {
        MemoryNetwork {
            hub: self.clone(),
            node,
            dropped: AtomicU64::new(0),
        }
    }

    /// Lets nothing pass between `node` and all others until [`MemoryHub::heal`].
    pub fn isolate(&self, node: NodeId) {
        let mut links = self.lock();
        let others: Vec<NodeId> = links.inboxes.keys().map(|(other, _)| *other).collect();
        for other in others.into_iter().filter(|other| *other != node) {
            links.cut.insert((node, other));
            links.cut.insert((other, node));
        }
    }

    /// Lets nothing pass between two nodes until [`MemoryHub::heal`].
    pub fn sever(&self, one: NodeId, other: NodeId) {
        self.lock().cut.extend([(one, other), (other, one)]);
    }

    /// Lets everything pass again.
    pub fn heal(&self) {
        self.lock().cut.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Links> {
        self.links.lock().expect("no holder of this lock panics")
    }

    /// The inbox of `to`, if a message from `from` reaches it.
    fn route(&self, from: NodeId, to: NodeId, group: GroupId) -> Option<Arc<dyn Inbox>> {
        let links = self.lock();
        let is_cut = links.cut.contains(&(from, to));
        links.inboxes.get(&(to, group)).filter(|_| !is_cut).cloned()
    }
}

/// A [`Network`] between the nodes of one hub.
pub struct MemoryNetwork {
    hub: MemoryHub,
    node: NodeId,
    dropped: AtomicU64,
}

/// The snapshots that were under way from or to it end; its inboxes stay.
impl Drop for MemoryNetwork {
    fn drop(&mut self) {
        let ends_here =
            |(from, to, _): &(NodeId, NodeId, GroupId)| [*from, *to].contains(&self.node);
        let links = self.hub.lock();
        let ties = links.sending.iter().filter(|(key, _)| ends_here(key));
        let ties: Vec<_> = ties.filter_map(|(_, tie)| tie.upgrade()).collect();
        drop(links);
        for tie in ties {
            lock(&tie).cut();
        }
    }
}

#[async_trait]
impl Network for MemoryNetwork {
    fn send(&self, to: NodeId, batch: Vec<Envelope>) {
        let is_ours = |e: &Envelope| e.from.node == self.node && e.to.node == to;
        let Some(group) = batch.first().map(|envelope| envelope.group) else {
            return;
        };
        if batch.iter().all(|e| is_ours(e) && e.group == group) {
            return self.deliver(to, group, batch);
        }
        // Nobody speaks for another, and each group has its own inbox.
        for envelope in batch {
            match is_ours(&envelope) {
                true => self.deliver(to, envelope.group, vec![envelope]),
                false => self.count_dropped(1),
            }
        }
    }

    fn set_peers(&self, _group: GroupId, _peers: Vec<(NodeId, MemberInfo)>) {
        // The hub knows every node without an address.
    }

    fn register(&self, group: GroupId, inbox: Arc<dyn Inbox>) {
        self.hub.lock().inboxes.insert((self.node, group), inbox);
    }

    async fn send_snapshot(
        &self,
        header: SnapshotHeader,
        snapshot: Snapshot,
    ) -> Result<(), NetworkError> {
        let peer = header.to.node;
        match self.hub.route(self.node, peer, header.group) {
            Some(inbox) => {
                let sender = Sender::default();
                self.replace_earlier(header, &sender);
                let reader = Box::new(Tied {
                    inner: snapshot.reader,
                    sender: Arc::clone(&sender.0),
                });
                inbox.deliver_snapshot(header, snapshot.meta, reader).await
            }
            None => Err(NetworkError::Unreachable {
                peer,
                reason: "the link is cut".into(),
            }),
        }
    }
}

impl MemoryNetwork {
    /// How many messages that were sent here reached nobody.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn count_dropped(&self, count: usize) {
        self.dropped.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn deliver(&self, to: NodeId, group: GroupId, batch: Vec<Envelope>) {
        match self.hub.route(self.node, to, group) {
            Some(inbox) => inbox.deliver(batch),
            None => self.count_dropped(batch.len()),
        }
    }

    /// Gives up what was being sent to the same replica of the group.
    fn replace_earlier(&self, header: SnapshotHeader, sender: &Sender) {
        let key = (self.node, header.to.node, header.group);
        let tie = Arc::downgrade(&sender.0);
        let earlier = self.hub.lock().sending.insert(key, tie);
        if let Some(tie) = earlier.and_then(|earlier| earlier.upgrade()) {
            lock(&tie).cut();
        }
    }
}

/// Whether a snapshot is still being sent, and who wants to know when it is not.
#[derive(Default)]
struct Tie {
    is_cut: bool,
    reader: Option<Waker>,
}

impl Tie {
    fn cut(&mut self) {
        self.is_cut = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// The sender's end of a tie: cuts it when the sending ends.
#[derive(Default)]
struct Sender(Arc<Mutex<Tie>>);

impl Drop for Sender {
    fn drop(&mut self) {
        lock(&self.0).cut();
    }
}

/// A reader that ends with an error when the sender is gone.
struct Tied {
    inner: Box<dyn SnapshotReader>,
    sender: Arc<Mutex<Tie>>,
}

#[async_trait]
impl SnapshotReader for Tied {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        let Self { inner, sender } = self;
        let mut chunk = inner.next_chunk();
        poll_fn(|context| {
            let mut tie = lock(sender);
            if tie.is_cut {
                let error = StorageError::io("receiving a snapshot", "its sender gave up");
                return Poll::Ready(Err(error));
            }
            tie.reader = Some(context.waker().clone());
            drop(tie);
            chunk.as_mut().poll(context)
        })
        .await
    }
}

fn lock(tie: &Mutex<Tie>) -> MutexGuard<'_, Tie> {
    tie.lock().expect("no holder of this lock panics")
}
