//! Snapshots between simulated nodes: streams that are slow, break, go on, fall
//! silent, and come twice or late.
//!
//! A stream is resumed by the transport, so that to a replica a broken one is
//! only a slow one; what it sees of it is that it gets further, or does not.

use std::sync::Arc;

use super::checker::{Check, snapshot_equivalence};
use super::machine::{Job, SnapshotImage};
use super::recording::{Sent, Way, What};
use super::world::{Event, World};
use crate::protocol::{Input, SendSnapshot, SnapshotOffer, SnapshotToken};
use crate::testing::spec::Action;
use crate::types::{LogId, NodeId, ReplicaId, Term};

/// How long a sender waits for word from the receiver.
const PATIENCE: u64 = 1_500_000;
/// How often a broken stream is taken up again before it is given up.
const MAX_WAITS: u32 = 10;

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

/// A stream that takes its time, a step after another.
#[derive(Clone, Debug)]
pub(crate) struct SlowStream {
    shipment: Shipment,
    /// What the receiver holds of it is lost with this life of it.
    receiver_life: u64,
    began_at: u64,
    steps_left: u64,
    waits: u32,
}

impl SlowStream {
    /// Whose progress it is.
    pub(crate) const fn sender(&self) -> NodeId {
        self.shipment.from.node
    }
}

impl World {
    /// A node sends its state as it is now.
    pub(crate) fn send_snapshot(&mut self, place: usize, order: SendSnapshot) -> Check {
        let user_snapshot = self.user_snapshot(place)?;
        let node = &self.nodes[place];
        let Some(raft) = &node.raft else {
            return Ok(());
        };
        let state = &node.machine.state;
        let image = SnapshotImage {
            last: state.last,
            digest: state.digest,
            value: state.value,
            membership: raft.membership_at(state.applied()),
            log: Arc::new(node.log.prefix(state.applied())),
            user_snapshot,
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
        let receiver = self.place(order.to.node);
        if self.machine_random.chance(self.faults.slow_streams) {
            self.send_slowly(shipment, receiver);
            return Ok(());
        }
        let random = &mut self.machine_random;
        let delay = random.between(500, 200_000);
        let again = random.chance(500).then(|| random.between(500, 2_000_000));
        let breaks = random.chance(1000) || self.network.is_cut(place, receiver);
        self.record_shipment(&shipment, self.now, (!breaks).then_some(delay));
        if !breaks {
            self.schedule(delay, Event::SnapshotArrives(shipment.clone()));
        }
        let wait = if breaks { delay } else { PATIENCE };
        self.answer_sender(&shipment, wait, None);
        if let Some(delay) = again {
            self.record_shipment(&shipment, self.now, Some(delay));
            self.schedule(delay, Event::SnapshotArrives(shipment));
        }
        Ok(())
    }

    /// Notes a snapshot that arrives so long after it was sent, or never.
    fn record_shipment(&mut self, shipment: &Shipment, at: u64, delay: Option<u64>) {
        let (from, to) = (shipment.from.node, shipment.to.node);
        let (from, to) = (self.place(from), self.place(to));
        let last = shipment.image.last;
        if let Some(recording) = &mut self.recording {
            recording.snapshot(Sent {
                at,
                arrives_at: at + delay.unwrap_or(0),
                from,
                to,
                term: shipment.term.get(),
                way: Way {
                    lost: delay.is_none(),
                    ..Way::default()
                },
                shape: 0,
                numbers: vec![last.term.get(), last.index.get()],
            });
        }
    }

    /// The stream takes seconds, and may fall silent at any step.
    fn send_slowly(&mut self, shipment: Shipment, receiver: usize) {
        let stream = SlowStream {
            shipment,
            receiver_life: self.nodes[receiver].life,
            began_at: self.now,
            steps_left: self.machine_random.between(1, 12),
            waits: 0,
        };
        self.schedule_step(stream);
    }

    fn schedule_step(&mut self, stream: SlowStream) {
        let delay = self.machine_random.between(50_000, 500_000);
        self.schedule(delay, Event::SnapshotAdvances(stream));
    }

    /// A slow stream gets further, waits for its link, or ends.
    pub(crate) fn snapshot_advances(&mut self, mut stream: SlowStream) -> Check {
        let shipment = &stream.shipment;
        let sender = self.place(shipment.from.node);
        let receiver = self.place(shipment.to.node);
        let (node, token) = (&self.nodes[sender], shipment.token);
        let is_wanted = node.life == shipment.life && !node.stopped.contains(&token);
        if !is_wanted || self.machine_random.chance(200) {
            return Ok(());
        }
        if self.nodes[receiver].life != stream.receiver_life {
            self.answer_sender(&stream.shipment, 1000, None);
            return Ok(());
        }
        if self.network.is_cut(sender, receiver) {
            stream.waits += 1;
            match stream.waits > MAX_WAITS {
                true => self.answer_sender(&stream.shipment, 0, None),
                false => self.schedule_step(stream),
            }
            return Ok(());
        }
        if stream.steps_left == 0 {
            let limit = self.config.snapshot_timeout.as_micros();
            if u128::from(self.now - stream.began_at) > limit {
                self.report
                    .mark("a snapshot took longer than its limit on silence");
            }
            self.answer_sender(&stream.shipment, PATIENCE, None);
            let spent = self.now - stream.began_at;
            self.record_shipment(&stream.shipment, stream.began_at, Some(spent));
            return self.snapshot_arrives(stream.shipment);
        }
        if stream.waits > 0 {
            self.report.mark("a broken stream went on");
        }
        stream.steps_left -= 1;
        stream.waits = 0;
        self.schedule_step(stream);
        self.trace.note(&[13, sender as u64, token.0]);
        self.handle(sender, Input::SnapshotProgress(token))
    }

    /// The sender hears how it ended, unless it lives no more by then.
    fn answer_sender(&mut self, shipment: &Shipment, delay: u64, installed: Option<LogId>) {
        let answered = Event::SnapshotAnswered {
            node: self.place(shipment.from.node),
            life: shipment.life,
            token: shipment.token,
            installed,
        };
        self.schedule(delay, answered);
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
        let installed = ok.then_some(shipment.image.last);
        let delay = self.machine_random.between(100, 5000);
        self.answer_sender(&shipment, delay, installed);
    }

    /// The receiver reads no further; perhaps it had read all.
    pub(crate) fn stop_install(&mut self, place: usize, token: SnapshotToken) {
        self.report.mark("a snapshot was read no further");
        if self.machine_random.chance(7000) {
            self.nodes[place].unread.insert(token);
        }
    }

    /// A restore is done, or failed and changed nothing.
    pub(crate) fn restored(
        &mut self,
        place: usize,
        token: SnapshotToken,
        image: &SnapshotImage,
    ) -> Check {
        let fails = self.machine_random.chance(1000);
        let node = &mut self.nodes[place];
        let ok = !node.unread.remove(&token) && !fails;
        let id = node.id();
        if ok {
            let log = &node.log;
            if log.contains(image.last) && log.last().index > image.last.index {
                self.report.mark("a log kept its suffix after a snapshot");
            }
            node.machine.restore(image);
            let (index, states) = (image.last.index, &self.checkers.states);
            snapshot_equivalence::restored(states, id, index, image.digest)?;
            self.report.mark("a snapshot was restored");
            let (id, at) = (self.nodes[place].replica, image.last.index);
            self.note_action(id, Action::Restore { at })?;
        }
        if let Some(snapshot) = image.user_snapshot {
            self.tell_user_machines(|machines| machines.restore(place, snapshot, ok))?;
        }
        // The log does not follow any more: the next start sees to it.
        if ok && self.fault_random.chance(self.faults.crash_after_apply * 10) {
            return self.crash(place, "crash after a restore");
        }
        self.trace.note(&[10, place as u64, token.0, u64::from(ok)]);
        self.trace
            .line(self.now, || format!("{id} restored {token:?}: {ok}"));
        self.tell(place, What::Snapshot, || match ok {
            true => "restored its state from a snapshot".into(),
            false => "failed to restore a snapshot".into(),
        });
        self.handle(place, Input::SnapshotRestored { token, ok })
    }
}
