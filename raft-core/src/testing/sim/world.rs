//! The world of one run: virtual time, an ordered queue of events, the nodes.
//!
//! Nothing here draws from anywhere but the seed, and nothing depends on the
//! order of a hash map, so a seed always goes the same way.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use super::aim::Aim;
use super::batches::Batches;
use super::checker::{Check, Checkers};
use super::cut_offs;
use super::events::Scheduled;
pub(crate) use super::events::{Event, FaultKind};
use super::network::Network;
use super::node::Node;
use super::operator::Operator;
use super::plan::{
    Faults, Plan, draw_config, draw_drift, draw_drift_bound, draw_patience, draw_priorities,
    draw_replicas,
};
use super::random::{Concern, Random};
use super::recording::Recording;
use super::report::Report;
use super::trace::Trace;
use super::user_machine::UserMachines;
use super::workload::Workload;
use crate::config::Config;
use crate::membership::Membership;
use crate::message::Envelope;
use crate::protocol::Input;
use crate::testing::refinement::{Cause, Refinement};
use crate::types::{NodeId, Term};

/// What runs are in when.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    WarmUp,
    Faults,
    Healed,
}

/// Everything a run consists of.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    /// The faults of the phase; none outside [`Phase::Faults`].
    pub(crate) faults: Faults,
    drawn_faults: Faults,
    pub(crate) phase: Phase,
    pub(crate) config: Config,
    pub(crate) founders: Membership,
    pub(crate) operator: Operator,
    pub(crate) now: u64,
    sequence: u64,
    queue: BinaryHeap<Reverse<Scheduled>>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) workload: Workload,
    /// One beside each node's own, if a user brought any.
    pub(crate) user_machines: Option<Box<dyn UserMachines>>,
    pub(crate) clients_stop_at: u64,
    pub(crate) checkers: Checkers,
    pub(crate) candidates: BTreeMap<Term, NodeId>,
    /// Who stepped down because a committed membership has no vote for it.
    pub(crate) removed_leaders: BTreeSet<(Term, NodeId)>,
    /// The step under way is a request that a lease may answer.
    pub(crate) may_use_lease: bool,
    /// The step under way is about several inputs.
    pub(crate) takes_in_together: bool,
    pub(crate) trace: Trace,
    /// Only if the plan asks for it.
    pub(crate) recording: Option<Box<Recording>>,
    pub(crate) report: Report,
    pub(crate) batches: Batches,
    /// The specification, kept beside the run.
    pub(crate) refinement: Option<Refinement>,
    /// What the step under way is about.
    pub(crate) causes: Vec<Cause>,
    pub(crate) disk_pace: u64,
    pub(crate) disk_random: Random,
    pub(crate) machine_random: Random,
    pub(crate) fault_random: Random,
    pub(crate) start_random: Random,
}

impl World {
    /// The world of `seed`, nothing started yet.
    pub(crate) fn new(seed: u64, plan: Plan) -> Self {
        let mut random = Random::stream(seed, Concern::Plan);
        let drawn_size = draw_replicas(&mut random);
        let founders = plan.replicas.unwrap_or(drawn_size).clamp(1, 7);
        let aim = plan.aim;
        let aims_at_members = aim == Aim::Membership;
        let spares = match (random.chance(6000) || aims_at_members) && !plan.calm {
            true => random.position(3) + usize::from(aims_at_members) + random.position(2),
            false => 0,
        };
        let size = (founders + spares).min(7);
        let mut config = draw_config(&mut random);
        let batches = Batches::draw(seed, plan.has("batches"));
        let mut drawn_faults = Faults::draw(&mut random);
        if drawn_faults.slowest > 0 {
            let mut random = Random::stream(seed, Concern::CutOffs);
            cut_offs::draw(&mut drawn_faults, &mut random, batches.are_drawn());
        }
        plan.aim.adjust(&mut drawn_faults, &mut random);
        drawn_faults.leave_out(&plan);
        if plan.calm {
            drawn_faults = Faults::default();
        }
        let mut operator = Operator::new(Random::stream(seed, Concern::Operator), size > 1);
        if aims_at_members {
            operator.hurries();
        }
        if drawn_faults.damage_every > 0 && !plan.damage_anywhere {
            operator.changes_members = false;
            config.keep_entries = u64::MAX;
        }
        if drawn_faults.lose_vote > 0 {
            // Who else left could take the quorum along that is left without the lost votes.
            operator.changes_members = false;
        }
        // A slow disk in one run of four: writes pile up, and crashes find them.
        let slowest = if random.chance(2500) { 30_000 } else { 3000 };
        let disk_pace = random.between(50, slowest);
        let membership = Membership::of_ids(1..=founders as u64);
        let drift_bound = match plan.has("drift") {
            true if plan.aim == Aim::Reads => config.max_clock_drift_ppm,
            true => draw_drift_bound(&config, &mut random),
            false => 0,
        };
        let leases_hold = drift_bound <= config.max_clock_drift_ppm;
        let priorities = draw_priorities(size, &mut random);
        let patience = draw_patience(size, config.election_timeout_min, &mut random);
        let mut nodes = Vec::new();
        for number in 1..=size as u64 {
            let is_founder = number <= founders as u64;
            let known = if is_founder {
                membership.clone()
            } else {
                Membership::default()
            };
            let mut node = Node::new(number, known);
            node.drift = draw_drift(drift_bound, &mut random);
            node.priority = priorities[nodes.len()];
            node.patience = patience[nodes.len()];
            nodes.push(node);
        }
        let network = Network::new(Random::stream(seed, Concern::Network), size);
        let sizes = (size, founders);
        let recording = plan
            .record
            .then(|| Recording::new(seed, plan.clone(), network.usual_delay, sizes));
        Self {
            trace: Trace::new(plan.trace),
            recording: recording.map(Box::new),
            plan,
            faults: Faults::default(),
            drawn_faults,
            phase: Phase::WarmUp,
            config,
            founders: membership,
            operator,
            now: 0,
            sequence: 0,
            queue: BinaryHeap::new(),
            nodes,
            network,
            workload: Workload::new(Random::stream(seed, Concern::Clients), leases_hold, aim),
            user_machines: None,
            clients_stop_at: u64::MAX,
            checkers: Checkers::default(),
            candidates: BTreeMap::new(),
            removed_leaders: BTreeSet::new(),
            may_use_lease: false,
            takes_in_together: false,
            report: Report {
                runs: 1,
                ..Report::default()
            },
            batches,
            refinement: None,
            causes: Vec::new(),
            disk_pace,
            disk_random: Random::stream(seed, Concern::Disk),
            machine_random: Random::stream(seed, Concern::Machine),
            fault_random: Random::stream(seed, Concern::Faults),
            start_random: Random::stream(seed, Concern::Starts),
        }
    }

    /// Goes through all phases.
    pub(crate) fn run(&mut self) -> Check {
        let mut refinement = Refinement::of(Arc::new(self.founders.clone()));
        refinement.actions = self.plan.actions.then(Vec::new);
        self.refinement = Some(refinement);
        for node in 0..self.nodes.len() {
            self.start(node)?;
        }
        for client in 0..self.workload.clients() {
            let pause = self.workload.pause();
            self.schedule(pause, Event::Client(client));
        }
        if self.plan.has("operator") {
            let pause = self.operator.pause();
            self.schedule(pause, Event::Operator);
        }
        self.run_until(micros(self.plan.warm_up))?;
        self.phase = Phase::Faults;
        self.faults = self.drawn_faults.clone();
        self.begin_faults();
        self.run_until(self.now + micros(self.plan.fault_time))?;
        self.phase = Phase::Healed;
        self.faults = Faults::default();
        self.heal()?;
        self.clients_stop_at = self.now + 500_000;
        self.break_for_ever()?;
        self.recover()?;
        self.stay_whole()?;
        self.audit()
    }

    /// Schedules `event` after `delay`.
    pub(crate) fn schedule(&mut self, delay: u64, event: Event) {
        self.schedule_at(self.now + delay, event);
    }

    /// Schedules `event` at the moment `at`; what is scheduled for one moment
    /// happens in the order of scheduling.
    pub(crate) fn schedule_at(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        let sequence = self.sequence;
        self.queue.push(Reverse(Scheduled {
            at,
            sequence,
            event,
        }));
    }

    /// What is scheduled, in no particular order.
    pub(crate) fn scheduled(&self) -> impl Iterator<Item = &Event> {
        self.queue.iter().map(|scheduled| &scheduled.0.event)
    }

    pub(crate) fn run_until(&mut self, end: u64) -> Check {
        while self.queue.peek().is_some_and(|next| next.0.at <= end) {
            self.record();
            let Reverse(next) = self.queue.pop().expect("just seen");
            self.now = next.at;
            self.dispatch(next.event)?;
        }
        self.now = end;
        Ok(())
    }

    fn dispatch(&mut self, event: Event) -> Check {
        let Some(event) = self.postpone_if_paused(event) else {
            return Ok(());
        };
        self.report.steps += 1;
        self.trace.note(&[self.now]);
        match event {
            Event::Deliver(envelope) => self.deliver(envelope),
            Event::Wake { node, life } if self.nodes[node].life == life => self.wake(node),
            Event::DiskDone { node, life } if self.nodes[node].life == life => self.disk_done(node),
            Event::LogRead {
                node,
                life,
                request,
            } if self.nodes[node].life == life => self.log_read(node, request),
            Event::ApplyDone { node, life } if self.nodes[node].life == life => self.job_done(node),
            Event::CheckpointDone { node, life } if self.nodes[node].life == life => {
                self.checkpoint_done(node)
            }
            Event::Turn { node, life } if self.nodes[node].life == life => {
                self.take_in_waiting(node)
            }
            Event::SnapshotArrives(shipment) => self.snapshot_arrives(shipment),
            Event::SnapshotAdvances(stream) => self.snapshot_advances(stream),
            Event::SnapshotAnswered {
                node,
                life,
                token,
                installed,
            } if self.nodes[node].life == life => {
                self.trace.note(&[11, node as u64, token.0]);
                self.handle(node, Input::SnapshotSent { token, installed })
            }
            Event::Health { node, life, health }
                if self.nodes[node].life == life && self.phase == Phase::Faults =>
            {
                self.trace.note(&[12, node as u64]);
                self.handle(node, Input::StorageHealth(health))
            }
            Event::Operator => self.operate(),
            Event::Restart { node, life } if self.nodes[node].life == life => self.start(node),
            Event::Client(client) => self.client(client),
            Event::Fault(kind) => self.fault(kind),
            Event::HealLink { from, to } if self.phase == Phase::Faults => {
                self.network.set_cut(from, to, false);
                Ok(())
            }
            Event::LeaseRead { node } if self.phase == Phase::Faults => self.read_by_lease(node),
            Event::Silence { leader, restarts } if self.phase == Phase::Faults => {
                self.silence(leader, restarts)
            }
            _ => Ok(()),
        }
    }

    /// A paused process takes in nothing until it goes on.
    fn postpone_if_paused(&mut self, event: Event) -> Option<Event> {
        let node = match &event {
            Event::Deliver(envelope) => self.place(envelope.to.node),
            Event::Wake { node, .. }
            | Event::DiskDone { node, .. }
            | Event::Turn { node, .. }
            | Event::LogRead { node, .. }
            | Event::SnapshotAnswered { node, .. }
            | Event::Health { node, .. }
            | Event::CheckpointDone { node, .. }
            | Event::ApplyDone { node, .. } => *node,
            Event::SnapshotArrives(shipment) => self.place(shipment.to.node),
            Event::SnapshotAdvances(stream) => self.place(stream.sender()),
            _ => return Some(event),
        };
        let until = self.nodes[node].paused_until;
        if until <= self.now {
            return Some(event);
        }
        self.schedule_at(until, event);
        None
    }

    /// Where `id` stands among the nodes.
    pub(crate) fn place(&self, id: NodeId) -> usize {
        usize::try_from(id.get() - 1).expect("a run has a handful of nodes")
    }

    fn deliver(&mut self, envelope: Envelope) -> Check {
        let node = self.place(envelope.to.node);
        self.trace.note(&[1, super::trace::digest(&envelope)]);
        self.trace.line(self.now, || {
            let (from, to) = (envelope.from, envelope.to);
            format!("{to} <- {from} {} {:?}", envelope.term, envelope.message)
        });
        self.handle(node, Input::Message(envelope))
    }

    /// A deadline of the node may have come.
    fn wake(&mut self, node: usize) -> Check {
        self.nodes[node].wake_at = None;
        self.trace.note(&[2, node as u64]);
        self.handle(node, Input::Tick)
    }
}

/// A duration as the world counts time.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
