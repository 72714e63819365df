//! The group of a script: time, requests, and what can be seen from outside.

use std::{mem, thread};

use bytes::Bytes;

use super::super::checker::Check;
use super::super::network::is_answer;
use super::super::plan::{Faults, Plan};
use super::super::random::{Concern, Random};
use super::super::report::Report;
use super::super::workload::value_of;
use super::super::world::{Phase, World};
use super::{FRAME, MS};
use crate::config::Config;
use crate::entry::Payload;
use crate::protocol::{Input, Raft};
use crate::types::{LogIndex, ReplicaId, Term};

/// No script of the course may take longer.
const LONGEST: u64 = 120_000 * MS;

/// How many lines of the trace a failure shows.
const SHOWN: usize = 400;

/// A group of nodes, named by their place, from 0.
pub(super) struct Group {
    pub(super) world: World,
    pub(super) random: Random,
    /// Whom the script has not cut off from all others.
    pub(super) connected: Vec<bool>,
    seed: u64,
    last_command: u64,
}

/// Numbers from here on are the lab's; the world's own clients begin with 1.
const FIRST_COMMAND: u64 = 1 << 32;

impl Group {
    /// A group with the default configuration on perfect links.
    pub(super) fn new(seed: u64, size: usize, trace: bool) -> Self {
        let plan = Plan {
            replicas: Some(size),
            calm: true,
            trace,
            ..Plan::default()
        };
        let mut world = World::new(seed, plan);
        world.config = Config::new(ReplicaId::first(1), 0);
        world.disk_pace = MS;
        for node in &mut world.nodes {
            node.priority = u8::MAX;
        }
        let mut group = Self {
            world,
            // The script stands where the operator of other runs does.
            random: Random::stream(seed, Concern::Operator),
            connected: vec![true; size],
            seed,
            last_command: FIRST_COMMAND,
        };
        for place in 0..size {
            group.restart(place);
        }
        group
    }

    /// What a checker says must be fine.
    pub(super) fn hold(&self, check: Check) {
        if let Err(violation) = check {
            panic!("{violation}");
        }
    }

    /// How many nodes there are.
    pub(super) fn size(&self) -> usize {
        self.world.nodes.len()
    }

    /// The moment, in microseconds.
    pub(super) fn now(&self) -> u64 {
        self.world.now
    }

    /// Lets time pass.
    pub(super) fn wait(&mut self, micros: u64) {
        let check = self.world.run_until(self.world.now + micros);
        self.hold(check);
    }

    /// Every message takes up to 26 ms longer, and overtakes others.
    pub(super) fn set_slow_links(&mut self) {
        self.world.faults = Faults {
            slow: 10_000,
            slowest: 26 * MS,
            reorder: true,
            ..Faults::default()
        };
    }

    /// Slow links, which lose one message in ten.
    pub(super) fn set_unreliable(&mut self) {
        self.set_slow_links();
        self.world.faults.loss = 1000;
    }

    /// Nothing is lost, late or out of order.
    pub(super) fn set_reliable(&mut self) {
        self.world.faults = Faults::default();
    }

    /// Two answers of three come 200 to 2,200 ms late.
    pub(super) fn set_late_answers(&mut self) {
        self.world.faults.late_answers = 6667;
    }

    /// The node that leads. One must be found within 5 s, as the course looks:
    /// about every half second, and only at who is connected.
    pub(super) fn leader(&mut self) -> usize {
        for _ in 0..10 {
            let pause = self.random.between(450 * MS, 550 * MS);
            self.wait(pause);
            let leaders = self.up().filter(|&place| self.connected[place]);
            let leaders = leaders.filter_map(|place| Some((self.led_term(place)?, place)));
            if let Some((_, leader)) = leaders.max() {
                return leader;
            }
        }
        panic!("no leader within 5 s");
    }

    /// Nobody leads, connected or not.
    pub(super) fn has_no_leader(&self) -> bool {
        self.up().all(|place| self.led_term(place).is_none())
    }

    /// The term in which the node leads, if it believes so.
    fn led_term(&self, place: usize) -> Option<Term> {
        let node = &self.world.nodes[place];
        let seen = node.seen.filter(|_| node.leads());
        seen.map(|seen| seen.term())
    }

    /// The term of all connected nodes, who must agree on it.
    pub(super) fn term(&self) -> Term {
        let nodes = self.up().filter(|&place| self.connected[place]);
        let mut terms = nodes.filter_map(|place| self.world.nodes[place].seen);
        let first = terms.next().expect("somebody is connected").term();
        assert!(
            terms.all(|seen| seen.term() == first),
            "the terms of connected nodes differ"
        );
        first
    }

    /// A command like no other, of this many bytes.
    pub(super) fn command(&mut self, size: usize) -> Bytes {
        self.last_command += 1;
        let mut command = self.last_command.to_le_bytes().to_vec();
        command.resize(size.max(command.len()), 0);
        command.into()
    }

    /// Hands a command to a node; answers where it stands in the log, if that
    /// node believes it leads.
    pub(super) fn start(&mut self, place: usize, command: Bytes) -> Option<LogIndex> {
        let node = &mut self.world.nodes[place];
        if !node.leads() {
            return None;
        }
        let proposal = node.proposal(command.clone());
        let request = node.request(proposal.ticket);
        let (value, now) = (value_of(&command), self.world.now);
        self.world.checkers.register.writes(request, value, now);
        self.world.checkers.proposals.proposed(request, command);
        let check = self.world.handle(place, Input::Propose(vec![proposal]));
        self.hold(check);
        Some(self.world.nodes[place].log.last().index)
    }

    /// The same with any command.
    pub(super) fn start_any(&mut self, place: usize) -> Option<LogIndex> {
        let command = self.command(8);
        self.start(place, command)
    }

    /// How many running nodes have applied `index`, and the command there.
    pub(super) fn committed(&self, index: LogIndex) -> (usize, Option<Bytes>) {
        let (mut count, mut command) = (0, None);
        for place in self.up().filter(|&place| self.applied(place) >= index) {
            count += 1;
            let log = &self.world.nodes[place].log;
            let entry = log.entry(index).expect("what is applied is in the log");
            if let Payload::Command { data, .. } = &entry.payload {
                command = Some(data.clone());
            }
        }
        (count, command)
    }

    /// How many commands the log of a node holds up to `index`.
    pub(super) fn commands_up_to(&self, place: usize, index: LogIndex) -> usize {
        self.commands_of(place, index).len()
    }

    /// The commands in the log of a node up to `index`.
    pub(super) fn commands_of(&self, place: usize, index: LogIndex) -> Vec<&Bytes> {
        let log = &self.world.nodes[place].log;
        let entries = (1..=index.get()).filter_map(|index| log.entry(LogIndex::new(index)));
        let commands = entries.filter_map(|entry| match &entry.payload {
            Payload::Command { data, .. } => Some(data),
            _ => None,
        });
        commands.collect()
    }

    /// Up to where a node has applied the log.
    pub(super) fn applied(&self, place: usize) -> LogIndex {
        self.world.nodes[place].machine.state.applied()
    }

    /// Up to where any node has applied the log.
    pub(super) fn last_applied(&self) -> LogIndex {
        let applied = self.up().map(|place| self.applied(place));
        applied.max().unwrap_or_default()
    }

    /// How many commands the node that got furthest has applied.
    pub(super) fn commands_applied(&self) -> usize {
        let counts = self
            .up()
            .map(|place| self.commands_up_to(place, self.applied(place)));
        counts.max().unwrap_or(0)
    }

    /// Requests sent so far.
    pub(super) fn requests(&self) -> u64 {
        let messages = self.world.report.messages.iter();
        let requests = messages.filter(|(name, _)| !is_answer(name));
        requests.map(|(_, count)| count).sum()
    }

    /// Bytes sent so far.
    pub(super) fn bytes(&self) -> u64 {
        let messages: u64 = self.world.report.messages.values().sum();
        self.world.report.payload_bytes + FRAME * messages
    }

    /// How often something happened that the simulator marks.
    pub(super) fn marked(&self, mark: &str) -> u64 {
        let marks = &self.world.report.marks;
        marks.get(mark).copied().unwrap_or(0)
    }

    /// Whether the node runs.
    pub(super) fn is_up(&self, place: usize) -> bool {
        self.world.nodes[place].raft.is_some()
    }

    /// The nodes that run.
    pub(super) fn up(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.size()).filter(|&place| self.is_up(place))
    }

    /// Nothing fails any more: the group becomes whole, and keeps every promise.
    /// Answers what it went through.
    pub(super) fn finish(mut self) -> Report {
        assert!(self.now() <= LONGEST, "the course allows 120 s");
        self.world.phase = Phase::Healed;
        self.set_reliable();
        self.world.clients_stop_at = self.now();
        let heal = self.world.heal();
        self.hold(heal);
        let whole = self.world.recover().and_then(|()| self.world.stay_whole());
        self.hold(whole);
        let audit = self.world.audit();
        self.hold(audit);
        let pending = |place: usize| {
            let raft = self.world.nodes[place].raft.as_ref();
            raft.map(Raft::status)
                .map_or(0, |status| status.pending_proposals)
        };
        assert!(self.up().all(|place| pending(place) == 0));
        mem::take(&mut self.world.report)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        let lines = &self.world.trace.lines;
        for line in &lines[lines.len().saturating_sub(SHOWN)..] {
            eprintln!("{line}");
        }
        let (seed, ms) = (self.seed, self.now() / MS);
        eprintln!(
            "seed {seed}, after {ms} ms; again, with a trace: {}={seed}",
            super::SEED
        );
    }
}
