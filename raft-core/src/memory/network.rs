//! Nodes of one process that reach each other directly, and a switchboard to cut them apart.
//!
//! Nothing is delayed, and nothing is lost but what a cut swallows. The
//! simulator is the place for worse networks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::membership::MemberInfo;
use crate::message::Envelope;
use crate::network::{Inbox, Network, NetworkError, SnapshotHeader};
use crate::snapshot::Snapshot;
use crate::types::{GroupId, NodeId};

/// The switchboard between the nodes of one process. A cheap clone.
#[derive(Clone, Default)]
pub struct MemoryHub {
    wiring: Arc<Mutex<Wiring>>,
}

#[derive(Default)]
struct Wiring {
    inboxes: BTreeMap<(NodeId, GroupId), Arc<dyn Inbox>>,
    /// Pairs that do not hear each other, the lower node first.
    cuts: BTreeSet<(NodeId, NodeId)>,
}

impl MemoryHub {
    /// A switchboard without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// The network as `node` sees it.
    pub fn network(&self, node: NodeId) -> MemoryNetwork {
        MemoryNetwork {
            node,
            hub: self.clone(),
        }
    }

    /// From now on `a` and `b` do not hear each other.
    pub fn cut(&self, a: NodeId, b: NodeId) {
        self.lock().cuts.insert(pair(a, b));
    }

    /// Cuts `node` off from all nodes that are connected now.
    pub fn isolate(&self, node: NodeId) {
        let mut wiring = self.lock();
        let others: Vec<_> = wiring.inboxes.keys().map(|&(other, _)| other).collect();
        for other in others.into_iter().filter(|&other| other != node) {
            wiring.cuts.insert(pair(node, other));
        }
    }

    /// From now on `a` and `b` hear each other again.
    pub fn heal(&self, a: NodeId, b: NodeId) {
        self.lock().cuts.remove(&pair(a, b));
    }

    /// Undoes all cuts.
    pub fn heal_all(&self) {
        self.lock().cuts.clear();
    }

    /// The inbox of `to`, if `from` can be heard there.
    fn inbox(&self, from: NodeId, to: NodeId, group: GroupId) -> Option<Arc<dyn Inbox>> {
        let wiring = self.lock();
        if wiring.cuts.contains(&pair(from, to)) {
            return None;
        }
        wiring.inboxes.get(&(to, group)).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Wiring> {
        // No change of the wiring can be seen half done.
        self.wiring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pair(a: NodeId, b: NodeId) -> (NodeId, NodeId) {
    (a.min(b), a.max(b))
}

/// One node's way to the others.
#[derive(Clone)]
pub struct MemoryNetwork {
    node: NodeId,
    hub: MemoryHub,
}

#[async_trait]
impl Network for MemoryNetwork {
    fn send(&self, to: NodeId, batch: Vec<Envelope>) {
        let mut batch = batch.into_iter().peekable();
        // A batch is for one peer, but may be for several groups.
        while let Some(first) = batch.next() {
            let group = first.group;
            let mut run = vec![first];
            while let Some(next) = batch.next_if(|envelope| envelope.group == group) {
                run.push(next);
            }
            // Delivered outside the lock, which an inbox might need itself.
            if let Some(inbox) = self.hub.inbox(self.node, to, group) {
                inbox.deliver(run);
            }
        }
    }

    /// Nodes of one process have no addresses.
    fn set_peers(&self, _group: GroupId, _peers: Vec<(NodeId, MemberInfo)>) {}

    fn register(&self, group: GroupId, inbox: Arc<dyn Inbox>) {
        self.hub.lock().inboxes.insert((self.node, group), inbox);
    }

    async fn send_snapshot(
        &self,
        header: SnapshotHeader,
        snapshot: Snapshot,
    ) -> Result<(), NetworkError> {
        let peer = header.to.node;
        let inbox = self.hub.inbox(self.node, peer, header.group);
        let inbox = inbox.ok_or_else(|| NetworkError::Unreachable {
            peer,
            reason: "it is cut off or not running".to_owned(),
        })?;
        inbox
            .deliver_snapshot(header, snapshot.meta, snapshot.reader)
            .await
    }
}
