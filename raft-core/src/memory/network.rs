//! Nodes of one process, connected by a hub whose links a test can cut.
//!
//! A snapshot goes over as a whole reader, so its stream never breaks; it ends
//! when its sender gives it up.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
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
}

#[async_trait]
impl Network for MemoryNetwork {
    fn send(&self, to: NodeId, batch: Vec<Envelope>) {
        let Some(group) = batch.first().map(|envelope| envelope.group) else {
            return;
        };
        if let Some(inbox) = self.hub.route(self.node, to, group) {
            inbox.deliver(batch);
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

/// Whether a snapshot is still being sent, and who wants to know when it is not.
#[derive(Default)]
struct Tie {
    is_cut: bool,
    reader: Option<Waker>,
}

/// The sender's end of a tie: cuts it when the sending ends.
#[derive(Default)]
struct Sender(Arc<Mutex<Tie>>);

impl Drop for Sender {
    fn drop(&mut self) {
        let mut tie = lock(&self.0);
        tie.is_cut = true;
        if let Some(reader) = tie.reader.take() {
            reader.wake();
        }
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
