//! The network: what is in flight, which links are cut, and which are slow.

use std::collections::BTreeMap;

use raft_core::protocol::SnapshotToken;
use raft_core::{Envelope, LogId, Membership, NodeId, ReplicaId, Term};

use super::disk::State;
use crate::command::{Link, Selection};
use crate::printing;

/// Everything between the nodes.
#[derive(Debug, Default)]
pub(crate) struct Network {
    /// Oldest first.
    pub(crate) in_flight: Vec<Parcel>,
    cut: Vec<(NodeId, NodeId)>,
    held: Vec<(NodeId, NodeId)>,
}

/// Something on its way.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) content: Content,
}

#[derive(Debug)]
pub(crate) enum Content {
    Message(Envelope),
    /// A whole snapshot.
    Snapshot(Shipment),
    /// How sending a snapshot ended.
    Outcome {
        token: SnapshotToken,
        installed: Option<LogId>,
    },
}

/// A snapshot on its way.
#[derive(Clone, Debug)]
pub(crate) struct Shipment {
    /// The sender's name for it.
    pub(crate) token: SnapshotToken,
    pub(crate) from: ReplicaId,
    pub(crate) to: ReplicaId,
    pub(crate) term: Term,
    pub(crate) membership: Membership,
    pub(crate) state: State,
}

/// Which snapshot an offer brings, by the receiver's name for it.
pub(crate) type Offers = BTreeMap<SnapshotToken, Shipment>;

impl Parcel {
    /// Whether this is what a message calls itself, with hyphens.
    fn is_of_kind(&self, kind: &str) -> bool {
        let name = match &self.content {
            Content::Message(envelope) => envelope.message.name(),
            Content::Snapshot(_) => "snapshot",
            Content::Outcome { .. } => "outcome",
        };
        name.replace('_', "-") == kind
    }

    pub(crate) fn describe(&self) -> String {
        match &self.content {
            Content::Message(envelope) => printing::envelope(envelope),
            Content::Snapshot(shipment) => printing::shipment(shipment),
            Content::Outcome { installed, .. } => printing::outcome(*installed),
        }
    }
}

impl Network {
    pub(crate) fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.cut.contains(&(from, to))
    }

    /// Takes the oldest parcel that is not held up, nor meant for one of `paused`.
    pub(crate) fn take_next(&mut self, paused: &[NodeId]) -> Option<Parcel> {
        let held = &self.held;
        let place = self
            .in_flight
            .iter()
            .position(|p| !held.contains(&(p.from, p.to)) && !paused.contains(&p.to))?;
        Some(self.in_flight.remove(place))
    }

    /// Takes what is selected, held up or not.
    pub(crate) fn take(&mut self, selection: &Selection) -> Vec<Parcel> {
        let mut taken = Vec::new();
        let mut rest = Vec::new();
        for parcel in self.in_flight.drain(..) {
            let links = &selection.links;
            let fits = links.is_empty() || covers(links, parcel.from, parcel.to);
            let is_kind = selection.kind.as_ref().is_none_or(|k| parcel.is_of_kind(k));
            let is_enough = selection.first && !taken.is_empty();
            match fits && is_kind && !is_enough {
                true => taken.push(parcel),
                false => rest.push(parcel),
            }
        }
        self.in_flight = rest;
        taken
    }

    /// Puts a second copy of what is selected behind everything in flight.
    pub(crate) fn repeat(&mut self, selection: &Selection) {
        let taken = self.take(selection);
        let copies = taken.iter().filter_map(|parcel| match &parcel.content {
            Content::Message(envelope) => Some(Parcel {
                from: parcel.from,
                to: parcel.to,
                content: Content::Message(envelope.clone()),
            }),
            _ => None,
        });
        let copies: Vec<Parcel> = copies.collect();
        self.in_flight.extend(taken);
        self.in_flight.extend(copies);
    }

    pub(crate) fn cut(&mut self, links: &[Link], nodes: &[NodeId]) {
        self.cut.extend(pairs(links, nodes));
    }

    pub(crate) fn heal(&mut self, links: &[Link]) {
        let all = links.is_empty();
        self.cut
            .retain(|&(from, to)| !all && !covers(links, from, to));
    }

    pub(crate) fn hold(&mut self, links: &[Link], nodes: &[NodeId]) {
        self.held.extend(pairs(links, nodes));
    }

    pub(crate) fn release(&mut self, links: &[Link]) {
        let all = links.is_empty();
        self.held
            .retain(|&(from, to)| !all && !covers(links, from, to));
    }
}

fn covers(links: &[Link], from: NodeId, to: NodeId) -> bool {
    links.iter().any(|link| link.covers(from, to))
}

fn pairs(links: &[Link], nodes: &[NodeId]) -> Vec<(NodeId, NodeId)> {
    let all = nodes
        .iter()
        .flat_map(|&from| nodes.iter().map(move |&to| (from, to)));
    all.filter(|&(from, to)| from != to && covers(links, from, to))
        .collect()
}
