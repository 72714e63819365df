//! Nodes of one process, connected by a hub whose links a test can cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;

use crate::membership::MemberInfo;
use crate::message::Envelope;
use crate::network::{Inbox, Network, NetworkError, SnapshotHeader};
use crate::snapshot::Snapshot;
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
                inbox
                    .deliver_snapshot(header, snapshot.meta, snapshot.reader)
                    .await
            }
            None => Err(NetworkError::Unreachable {
                peer,
                reason: "the link is cut".into(),
            }),
        }
    }
}
