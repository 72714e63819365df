//! One replica with its driver: carries out every output, and checks what it
//! promises. What is wrong here panics, and so is found.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use raft_core::message::{AppendResult, RequestVoteReply};
use raft_core::protocol::{Input, Output, Restored, SendSnapshot, SnapshotOffer, SnapshotToken};
use raft_core::{
    Config, Entry, EntryKind, EntryMeta, Envelope, LogId, LogIndex, Membership, Message, NodeId,
    Payload, Raft, ReplicaId, RequestId, Term, Timestamp,
};

use crate::answers::{Answers, Kind};
use crate::disk::{Disk, Write};
use crate::feedback;
use crate::machine::Machine;
use crate::values::View;

/// Most messages that a disk can hold back and release at once, and then some.
const MOST_RELEASED: usize = 4096;

/// A replica and all that it talks to.
pub struct Replica {
    raft: Raft,
    now: Duration,
    /// Its stores.
    pub disk: Disk,
    /// Its state machine.
    pub machine: Machine,
    /// Its clients.
    pub answers: Answers,
    /// What it sent and nobody took yet.
    pub outbox: Vec<Envelope>,
    /// Snapshots that it sends.
    pub sending: Vec<SendSnapshot>,
    /// What was handed to the state machine since somebody looked.
    pub handed_out: Vec<LogId>,
    /// Whether inputs wait, to be taken in together.
    pub is_lazy: bool,
    /// Those that do.
    waiting: Vec<Input>,
    /// Whether others may lie to it, even about who leads a term.
    pub hears_lies: bool,
    /// Whether its timeouts are such that time gets past them.
    pub is_on_time: bool,
    starts: u64,
    sessions: BTreeMap<NodeId, u64>,
    round_led: u64,
    round_heard: u64,
    /// Names its latest pre-vote.
    pub pre_vote_round: u64,
    last_offer: u64,
}

impl Replica {
    /// A replica that starts from `restored`, if it can.
    pub fn start(config: Config, restored: Restored) -> Option<Self> {
        let disk = disk_of(&restored);
        let index = restored.last_applied;
        let raft = Raft::restore(config, restored, Timestamp::ZERO).ok()?;
        let term = raft.term_at(index)?;
        let membership = raft.membership_at(index);
        Some(Self {
            now: Duration::ZERO,
            disk,
            machine: Machine::at(LogId { term, index }, membership),
            answers: Answers::default(),
            outbox: Vec::new(),
            sending: Vec::new(),
            handed_out: Vec::new(),
            is_lazy: false,
            waiting: Vec::new(),
            hears_lies: true,
            is_on_time: true,
            starts: 0,
            sessions: BTreeMap::new(),
            round_led: 0,
            round_heard: 0,
            pre_vote_round: 0,
            last_offer: 0,
            raft,
        })
    }

    /// It crashes, and starts again from what is durable.
    pub fn restart(&mut self) {
        self.starts += 1;
        self.disk.crash();
        self.machine.crash();
        self.answers.forget();
        self.sending.clear();
        let applied = self.machine.durable;
        let before_log = applied.index <= self.disk.purged.index;
        if !self.disk.holds(applied) && (!before_log || applied.index == self.disk.purged.index) {
            // The crash came between the state machine's restore and the log's reset.
            self.disk.reset(applied);
        }
        let term = self.disk.hard_state.current_term;
        assert!(
            term >= applied.term,
            "a state of {applied}, but only {term}"
        );
        let restored = self.restored();
        let config = Config {
            // Drawn anew at each start, and so never twice the same.
            seed: self.starts << 32 | self.raft.config().seed,
            ..self.raft.config().clone()
        };
        self.is_lazy = false;
        self.waiting.clear();
        self.raft = Raft::restore(config, restored, self.at())
            .expect("a replica starts from what it made durable");
    }

    fn restored(&self) -> Restored {
        let entries = &self.disk.entries;
        let is_whole = |entry: &&Entry| self.disk.damaged().all(|index| index != entry.index());
        let memberships =
            entries
                .iter()
                .filter(is_whole)
                .filter_map(|entry| match &entry.payload {
                    Payload::Membership(membership) => {
                        Some((entry.index(), Arc::new(membership.as_ref().clone())))
                    }
                    _ => None,
                });
        Restored {
            hard_state: self.disk.hard_state,
            purged: self.disk.purged,
            entries: entries.iter().map(EntryMeta::from).collect(),
            membership: Arc::clone(&self.machine.durable_membership),
            membership_entries: memberships.collect(),
            last_applied: self.machine.durable.index,
            damaged: self.disk.damaged().collect(),
        }
    }

    fn at(&self) -> Timestamp {
        Timestamp::after_start(self.now)
    }

    /// Who it is.
    pub fn id(&self) -> ReplicaId {
        self.raft.config().replica
    }

    /// What nonsense is aimed by.
    pub fn view(&self) -> View<'_> {
        View {
            status: self.raft.status(),
            boot: self.raft.boot(),
            raft: &self.raft,
            sessions: self.sessions.values().copied().collect(),
            rounds: vec![self.round_led, self.round_heard, self.pre_vote_round],
            ticket: self.answers.last_ticket(),
        }
    }

    /// The session in which it leads `node`, or is led.
    pub fn session_with(&self, node: NodeId) -> u64 {
        self.sessions.get(&node).copied().unwrap_or_default()
    }

    /// The latest round that it began.
    pub fn round(&self) -> u64 {
        self.round_led
    }

    /// The membership at an entry of its log.
    pub fn membership_at(&self, index: LogIndex) -> Arc<Membership> {
        self.raft.membership_at(index)
    }

    /// Time passes.
    pub fn wait(&mut self, duration: Duration) {
        self.now = self.now.saturating_add(duration);
    }

    /// Time passes up to its next deadline, and it learns of that.
    pub fn reach_timeout(&mut self) {
        self.now = self.now.max(self.raft.poll_timeout().since_start());
        self.step(Input::Tick);
        let due = self.raft.poll_timeout();
        assert!(
            due > self.at() || !self.is_on_time || self.is_lazy,
            "it is still due at {due}: the driver would spin"
        );
    }

    /// A snapshot is offered.
    pub fn offer(&mut self, from: ReplicaId, term: Term, last: LogId, members: Arc<Membership>) {
        self.last_offer += 1;
        let offer = SnapshotOffer {
            token: SnapshotToken(self.last_offer),
            from,
            term,
            last_included: last,
            membership: members,
        };
        self.machine.is_offered(offer.clone());
        self.step(Input::SnapshotOffered(offer));
    }

    /// Something happens.
    pub fn step(&mut self, input: Input) {
        if let Input::Message(envelope) = &input {
            self.note_received(envelope);
        }
        feedback::note(feedback::kind(&input), &self.raft.status());
        if self.is_lazy {
            self.waiting.push(input);
        } else {
            self.raft.handle(self.at(), input);
            self.carry_out_all();
        }
    }

    /// Takes in together what waits, and carries out what comes of it.
    pub fn carry_out_all(&mut self) {
        if !self.waiting.is_empty() {
            let inputs = std::mem::take(&mut self.waiting);
            self.raft.handle_all(self.at(), inputs);
        }
        let mut count = 0;
        while let Some(output) = self.raft.poll_output() {
            count += 1;
            self.carry_out(output);
        }
        self.check(count);
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Persist(persist) => self.disk.begin(Write::Persist(persist)),
            Output::Purge(up_to) => {
                let durable = self.machine.durable;
                assert!(up_to.index <= durable.index, "purges what a crash needs");
                self.disk.begin(Write::Purge(up_to));
            }
            Output::Repair(entries) => self.disk.begin(Write::Repair(entries)),
            Output::ReadLog(read) => self.disk.reads.push(read),
            Output::Send(envelope) => self.send(envelope),
            Output::Apply(apply) => {
                for (_, ticket) in &apply.proposals {
                    self.answers.end(Kind::Proposal, *ticket);
                }
                let entries = apply.entries.entries();
                for entry in entries {
                    self.handed_out.push(entry.log_id);
                    assert!(self.is_durable(entry.log_id), "applies what may vanish");
                }
                self.machine.apply(apply.entries);
            }
            Output::Checkpoint => self.machine.checkpoints += 1,
            Output::InstallSnapshot(token) => self.machine.install(token),
            Output::SendSnapshot(order) => self.sending.push(order),
            Output::StopSnapshot(token) => self.sending.retain(|sent| sent.token != token),
            Output::ProposalFailed { ticket, .. } => self.answers.end(Kind::Proposal, ticket),
            Output::ReadDone { ticket, .. } => self.answers.end(Kind::Read, ticket),
            Output::MembershipChanged { ticket, .. } => self.answers.end(Kind::Change, ticket),
            Output::TransferEnded { ticket, .. } => self.answers.end(Kind::Transfer, ticket),
            Output::StopInstall(token) => self.machine.stop(token),
            Output::SnapshotInstalled(_) | Output::RefuseSnapshot { .. } | Output::Event(_) => {}
        }
    }

    fn note_received(&mut self, envelope: &Envelope) {
        let from = envelope.from.node;
        match &envelope.message {
            Message::AppendEntries(body) => drop(self.sessions.insert(from, body.session)),
            Message::Heartbeat(body) => self.round_heard = body.round,
            _ => {}
        }
    }

    fn send(&mut self, envelope: Envelope) {
        self.check_claims(&envelope);
        let to = envelope.to.node;
        match &envelope.message {
            Message::PreVote(body) => self.pre_vote_round = body.round,
            Message::AppendEntries(body) => drop(self.sessions.insert(to, body.session)),
            Message::Heartbeat(body) => {
                self.sessions.insert(to, body.session);
                self.round_led = body.round;
            }
            _ => {}
        }
        self.outbox.push(envelope);
    }

    /// Whatever a message claims is durable already. One of an earlier term waited
    /// for the disk, as it could have on the way: it held when that term did.
    fn check_claims(&self, envelope: &Envelope) {
        let state = self.disk.hard_state;
        assert!(
            envelope.term <= state.current_term,
            "speaks in a term that may vanish"
        );
        if envelope.term < state.current_term {
            return;
        }
        match &envelope.message {
            Message::RequestVoteReply(RequestVoteReply {
                vote_term,
                granted: true,
            }) => assert!(
                state.voted_for == Some(envelope.to) && state.current_term == *vote_term,
                "a vote that may vanish"
            ),
            Message::AppendReply(body) => {
                if let AppendResult::Accepted { durable, .. } = body.result {
                    self.check_claim(durable);
                }
            }
            Message::HeartbeatReply(body) => {
                self.check_claim(body.durable);
            }
            _ => {}
        }
    }

    /// A term with two leaders may cut what a message to the first one, which
    /// waited for the disk, claims; it held when it was made.
    fn check_claim(&self, id: LogId) {
        let held = self.hears_lies && self.disk.has_held(id);
        assert!(held || self.is_durable(id), "{id} may vanish");
    }

    fn is_durable(&self, id: LogId) -> bool {
        let known = self.machine.durable.index.max(self.disk.purged.index);
        id.index <= known || self.disk.holds(id)
    }

    /// What is bounded stays so.
    fn check(&self, outputs: usize) {
        let (status, config) = (self.raft.status(), self.raft.config());
        let (proposals, reads) = (status.pending_proposals, status.pending_reads);
        assert!(
            proposals <= config.max_pending_proposals,
            "{proposals} proposals"
        );
        assert!(reads <= config.max_pending_reads, "{reads} reads");
        assert!(
            reads <= self.answers.count(Kind::Read),
            "a read nobody waits for"
        );
        let log = status.last_log.index.distance_from(status.purged.index);
        assert!(status.damaged_entries as u64 <= log, "more damage than log");
        assert!(status.commit_index <= status.last_log.index, "{status:?}");
        assert!(
            status.hard_state.current_term >= status.last_log.term,
            "{status:?}"
        );
        let members = status.membership.members().len() + status.followers.len();
        let bound = MOST_RELEASED + (members + 2) * 400 + 10 * log as usize;
        assert!(outputs <= bound, "{outputs} outputs at once");
    }

    /// The log ends here, as far as it knows.
    pub fn last_log(&self) -> LogId {
        self.raft.status().last_log
    }
}

/// A disk on which exactly this is durable.
fn disk_of(restored: &Restored) -> Disk {
    let payload = |meta: &EntryMeta| match meta.kind {
        EntryKind::Blank => Payload::Blank,
        EntryKind::Command => Payload::Command {
            request: RequestId::default(),
            data: vec![1; 40].into(),
        },
        EntryKind::Membership => {
            let mut all = restored.membership_entries.iter();
            let found = all.find(|(index, _)| *index == meta.log_id.index);
            let membership = found.map_or(&restored.membership, |(_, found)| found);
            Payload::Membership(Box::new(membership.as_ref().clone()))
        }
    };
    let entries = restored.entries.iter().map(|meta| Entry {
        log_id: meta.log_id,
        payload: payload(meta),
    });
    Disk::holding(restored.hard_state, restored.purged, entries.collect())
}
