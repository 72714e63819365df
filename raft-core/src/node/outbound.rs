//! Groups what one turn sends by peer, and hands it to the transport.
//!
//! The queue per peer is the transport's: it is bounded and never blocks
//! (duties 1 and 2 of [`Network`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::membership::{MemberInfo, Membership};
use crate::message::Envelope;
use crate::network::Network;
use crate::types::{GroupId, NodeId, ReplicaId};

/// The way out of one node.
pub(super) struct Outbound {
    network: Arc<dyn Network>,
    own: ReplicaId,
    group: GroupId,
    /// Where others are, until the membership says so.
    seeds: Vec<(NodeId, MemberInfo)>,
    /// What the transport knows of the members.
    membership: Option<Arc<Membership>>,
    /// A handful of peers: looking through them is faster than a map.
    batches: Vec<(NodeId, Vec<Envelope>)>,
}

impl Outbound {
    pub(super) fn new(
        network: Arc<dyn Network>,
        own: ReplicaId,
        group: GroupId,
        seeds: Vec<(NodeId, MemberInfo)>,
    ) -> Self {
        Self {
            network,
            own,
            group,
            seeds,
            membership: None,
            batches: Vec::new(),
        }
    }

    /// Tells the transport who the peers are, if that changed.
    pub(super) fn follow(&mut self, membership: &Arc<Membership>) {
        if self
            .membership
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, membership))
        {
            return;
        }
        let mut peers = BTreeMap::new();
        // Who was removed just now is told so, and needs an address until then.
        if let Some(former) = self.membership.replace(Arc::clone(membership)) {
            peers.extend(former.members().clone());
        }
        peers.extend(membership.members().clone());
        // Whoever catches up reads of memberships that are long past.
        if !membership.contains(self.own) {
            peers.extend(self.seeds.iter().cloned());
        }
        peers.remove(&self.own.node);
        self.network
            .set_peers(self.group, peers.into_iter().collect());
    }

    pub(super) fn push(&mut self, envelope: Envelope) {
        let to = envelope.to.node;
        match self.batches.iter_mut().find(|(node, _)| *node == to) {
            Some((_, batch)) => batch.push(envelope),
            None => self.batches.push((to, vec![envelope])),
        }
    }

    /// Hands everything over; answers how many messages that were.
    pub(super) fn flush(&mut self) -> u64 {
        let mut sent = 0;
        for (to, batch) in self.batches.drain(..) {
            sent += batch.len() as u64;
            self.network.send(to, batch);
        }
        sent
    }
}
