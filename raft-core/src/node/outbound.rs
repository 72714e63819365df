//! Groups what one turn of the loop sends by peer.

use std::collections::BTreeMap;

use crate::message::Envelope;
use crate::network::Network;
use crate::types::NodeId;

/// Messages of one turn, by peer.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    batches: BTreeMap<NodeId, Vec<Envelope>>,
}

impl Outbound {
    pub(super) fn add(&mut self, envelope: Envelope) {
        self.batches
            .entry(envelope.to.node)
            .or_default()
            .push(envelope);
    }

    /// Hands every batch over; the network never blocks.
    pub(super) fn flush(self, network: &dyn Network) {
        for (to, batch) in self.batches {
            network.send(to, batch);
        }
    }
}
