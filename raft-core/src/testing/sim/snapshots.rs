//! Snapshots between simulated nodes: streams that are slow, break, and come twice or late.

use std::sync::Arc;

use super::checker::Check;
use super::machine::{Job, SnapshotImage};
use super::world::{Event, World};
use crate::protocol::{Input, SendSnapshot, SnapshotOffer, SnapshotToken};
use crate::types::{LogId, ReplicaId, Term};

/// How long a sender waits for word from the receiver.
const PATIENCE: u64 = 1_500_000;

/// A snapshot on its way.
#[derive(Clone, Debug)]
pub(crate) struct Shipment {
    pub(crate) from: ReplicaId,
    pub(crate) to: ReplicaId,
    pub(crate) term: Term,
    pub(crate) token: SnapshotToken,
    /// The sender's life, for the answer.
    pub(crate) life: u64,
    pub(crate) image: Arc<SnapshotImage>,
}

impl World {
    /// A node sends its state as it is now.
    pub(crate) fn send_snapshot(&mut self, place: usize, order: SendSnapshot) {
        let node = &self.nodes[place];
        let Some(raft) = &node.raft else { return };
        let state = &node.machine.state;
        let image = SnapshotImage {
            last: state.last,
            digest: state.digest,
            membership: raft.membership_at(state.applied()),
            log: Arc::new(node.log.prefix(state.applied())),
        };
        let (life, token) = (node.life, order.token);
        let shipment = Shipment {
            from: node.replica,
            to: order.to,
            term: order.term,
            token,
            life,
            image: Arc::new(image),
        };
        self.report.mark("a snapshot was sent");
        let link = (place, self.place(order.to.node));
        let random = &mut self.machine_random;
        let delay = random.between(500, 200_000);
        let again = random.chance(500).then(|| random.between(500, 2_000_000));
        let breaks = random.chance(1000) || self.network.is_cut(link.0, link.1);
        if !breaks {
            self.schedule(delay, Event::SnapshotArrives(shipment.clone()));
        }
        if let Some(delay) = again {
            self.schedule(delay, Event::SnapshotArrives(shipment));
        }
        let wait = if breaks { delay } else { PATIENCE };
        let gives_up = Event::SnapshotAnswered {
            node: place,
            life,
            token,
            installed: None,
        };
        self.schedule(wait, gives_up);
    }

    /// The sender stops a stream; one that is nearly through arrives all the same.
    pub(crate) fn stop_snapshot(&mut self, place: usize, token: SnapshotToken) {
        self.report.mark("a snapshot was stopped");
        if self.machine_random.chance(7000) {
            self.nodes[place].stopped.insert(token);
        }
    }

    /// A snapshot has arrived whole.
    pub(crate) fn snapshot_arrives(&mut self, shipment: Shipment) -> Check {
        let sender = &self.nodes[self.place(shipment.from.node)];
        if sender.life == shipment.life && sender.stopped.contains(&shipment.token) {
            return Ok(());
        }
        let place = self.place(shipment.to.node);
        let node = &mut self.nodes[place];
        if node.raft.is_none() || node.replica != shipment.to {
            return Ok(());
        }
        node.offers += 1;
        let token = SnapshotToken(node.offers);
        let offer = SnapshotOffer {
            token,
            from: shipment.from,
            term: shipment.term,
            last_included: shipment.image.last,
            membership: Arc::clone(&shipment.image.membership),
        };
        node.shipments.insert(token, shipment);
        self.trace.note(&[9, place as u64, token.0]);
        self.trace
            .line(self.now, || format!("{} is offered {offer:?}", offer.from));
        self.handle(place, Input::SnapshotOffered(offer))
    }

    /// The receiver wants it: the state machine takes it in.
    pub(crate) fn install_snapshot(&mut self, place: usize, token: SnapshotToken) {
        let node = &self.nodes[place];
        if let Some(shipment) = node.shipments.get(&token) {
            let job = Job::Restore(token, Arc::clone(&shipment.image));
            self.begin_job(place, job);
        }
    }

    /// The receiver is done with it: word goes back to the sender.
    pub(crate) fn answer_snapshot(&mut self, place: usize, token: SnapshotToken, ok: bool) {
        let Some(shipment) = self.nodes[place].shipments.remove(&token) else {
            return;
        };
        let sender = self.place(shipment.from.node);
        if self.network.is_cut(place, sender) {
            return;
        }
        let installed: Option<LogId> = ok.then_some(shipment.image.last);
        let delay = self.machine_random.between(100, 5000);
        let answered = Event::SnapshotAnswered {
            node: sender,
            life: shipment.life,
            token: shipment.token,
            installed,
        };
        self.schedule(delay, answered);
    }

    /// A restore is done, or failed and changed nothing.
    pub(crate) fn restored(
        &mut self,
        place: usize,
        token: SnapshotToken,
        image: &SnapshotImage,
    ) -> Check {
        let ok = !self.machine_random.chance(1000);
        let node = &mut self.nodes[place];
        let id = node.id();
        if ok {
            let log = &node.log;
            if log.contains(image.last) && log.last().index > image.last.index {
                self.report.mark("a log kept its suffix after a snapshot");
            }
            node.machine.restore(image);
            self.checkers
                .states
                .restored(id, image.last.index, image.digest)?;
            self.report.mark("a snapshot was restored");
        }
        // The log does not follow any more: the next start sees to it.
        if ok && self.fault_random.chance(self.faults.crash_after_apply * 10) {
            return self.crash(place, "crash after a restore");
        }
        self.trace.note(&[10, place as u64, token.0, u64::from(ok)]);
        self.trace
            .line(self.now, || format!("{id} restored {token:?}: {ok}"));
        self.handle(place, Input::SnapshotRestored { token, ok })
    }
}
