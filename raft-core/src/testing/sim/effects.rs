//! Carries out what replicas ask for, and brings back what came of it.

use super::checker::durable_before_ack::{self, DurableState};
use super::checker::{Check, Seen, hard_state};
use super::disk::HardStateChanges;
use super::workload::Request;
use super::world::{Event, World};
use crate::entry::LogSlice;
use crate::message::{AppendResult, Envelope, Message};
use crate::protocol::{self, Input, Output, Raft, ReadLog, RoleKind, StepDownReason, Ticket};
use crate::types::NodeId;

impl World {
    /// A node takes something in; its outputs are carried out, and everything is checked.
    pub(crate) fn handle(&mut self, place: usize, input: Input) -> Check {
        let node = &mut self.nodes[place];
        let clock = node.clock(self.now);
        let Some(raft) = &mut node.raft else {
            return Ok(());
        };
        raft.handle(clock, input);
        self.settle(place)
    }

    /// Checks the state after a step, then carries out its outputs.
    pub(crate) fn settle(&mut self, place: usize) -> Check {
        let mut outputs = Vec::new();
        let before = self.nodes[place].seen;
        if let Some(raft) = &mut self.nodes[place].raft {
            while let Some(output) = raft.poll_output() {
                outputs.push(output);
            }
        }
        for output in &outputs {
            if let Output::Persist(persist) = output {
                let node = &mut self.nodes[place];
                let (id, first) = (node.id(), persist.entries.first());
                node.log.write(persist.truncate_from, &persist.entries)?;
                if let Some(first) = first {
                    self.checkers.logs.appended(id, &node.log, first.index)?;
                }
            }
        }
        self.observe(place)?;
        self.schedule_wake(place);
        for output in outputs {
            self.carry_out(place, output, before)?;
            if self.nodes[place].raft.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn schedule_wake(&mut self, place: usize) {
        let node = &self.nodes[place];
        let Some(raft) = &node.raft else { return };
        let at = node.moment(raft.poll_timeout()).max(self.now);
        if node.wake_at.is_none_or(|scheduled| at < scheduled) {
            let life = node.life;
            self.nodes[place].wake_at = Some(at);
            self.schedule_at(at, Event::Wake { node: place, life });
        }
    }

    fn carry_out(&mut self, place: usize, output: Output, before: Option<Seen>) -> Check {
        let life = self.nodes[place].life;
        let id = self.nodes[place].id();
        match output {
            Output::Persist(persist) => {
                self.trace.line(self.now, || {
                    let (token, state) = (persist.token, persist.hard_state);
                    let (cut, last) = (persist.truncate_from, persist.entries.last());
                    format!("{id} persists {token:?} {state:?} cut {cut:?} up to {last:?}")
                });
                if self.nodes[place].disk.begin(persist) {
                    self.schedule_disk(place);
                }
                match self.fault_random.chance(self.faults.crash_before_persist) {
                    true => self.crash(place, "crash before a persist"),
                    false => Ok(()),
                }
            }
            Output::Send(envelope) => self.send(place, envelope),
            Output::ReadLog(request) => {
                self.report.mark("entries were read back from disk");
                let delay = self.disk_random.around(self.disk_pace);
                let node = place;
                self.schedule(
                    delay,
                    Event::LogRead {
                        node,
                        life,
                        request,
                    },
                );
                Ok(())
            }
            Output::Apply(apply) => {
                if self.nodes[place].machine.begin(apply) {
                    let delay = self.machine_random.between(10, 3000);
                    self.schedule(delay, Event::ApplyDone { node: place, life });
                }
                Ok(())
            }
            Output::ProposalFailed { ticket, error } => {
                let words = error.to_string();
                self.trace
                    .line(self.now, || format!("{id} fails {ticket:?}: {words}"));
                self.count_failure(&error);
                let request = self.nodes[place].request(ticket);
                self.checkers.proposals.failed(request, error.is_refusal())
            }
            Output::ReadDone { ticket, result } => self.read_done(place, ticket, result.ok()),
            Output::Event(event) => {
                self.trace.line(self.now, || format!("{id} {event}"));
                self.count_event(id, &event, before);
                Ok(())
            }
        }
    }

    fn count_failure(&mut self, error: &crate::error::ProposeError) {
        use crate::error::ProposeError;
        match error {
            ProposeError::Superseded { .. } => self.report.mark("a proposal was superseded"),
            ProposeError::Unknown { .. } => self.report.mark("a proposal ended unknown"),
            ProposeError::Overloaded { .. } => {
                self.report.mark("a proposal was refused for overload");
            }
            _ => {}
        }
    }

    fn count_event(&mut self, id: NodeId, event: &protocol::Event, before: Option<Seen>) {
        let was = before.map(|seen| seen.role);
        match *event {
            protocol::Event::Truncated { .. } => self.report.mark("a log was truncated"),
            protocol::Event::BecameLeader { .. } => self.report.leaders += 1,
            protocol::Event::ElectionStarted { term }
                if *self.candidates.entry(term).or_insert(id) != id =>
            {
                self.report.mark("two candidates stood in one term");
            }
            protocol::Event::SteppedDown { reason, .. } => match (was, reason) {
                (Some(RoleKind::Leader), StepDownReason::HigherTerm) => {
                    self.report.mark("a leader was deposed by a higher term");
                }
                (_, StepDownReason::QuorumLost) => self.report.mark("a leader lost its quorum"),
                (Some(RoleKind::Candidate), _) => self.report.mark("an election was lost"),
                (Some(RoleKind::PreCandidate), _) => {
                    self.report.mark("a pre-candidate went back to follow");
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn send(&mut self, place: usize, envelope: Envelope) -> Check {
        let disk = &self.nodes[place].disk;
        let durable = DurableState {
            hard_state: disk.hard_state,
            log: &disk.log,
            ever: &disk.ever,
        };
        durable_before_ack::sends(&envelope, durable)?;
        let from = envelope.from.node;
        match &envelope.message {
            Message::RequestVoteReply(reply) if reply.granted => {
                let (term, candidate) = (reply.vote_term, envelope.to.node);
                self.checkers.votes.votes(from, term, candidate)?;
            }
            Message::AppendEntries(_) | Message::Heartbeat(_) => {
                self.checkers.elections.leads(envelope.term, from)?;
            }
            Message::AppendReply(reply) => {
                if matches!(reply.result, AppendResult::Rejected { .. }) {
                    self.report.mark("an append was rejected");
                }
            }
            _ => {}
        }
        self.post(place, envelope);
        if self.fault_random.chance(self.faults.crash_after_send) {
            return self.crash(place, "crash after a send");
        }
        Ok(())
    }

    fn post(&mut self, place: usize, envelope: Envelope) {
        let link = (place, self.place(envelope.to.node));
        let mut arrivals = Vec::new();
        let fate = self
            .network
            .send(self.now, link, envelope, &self.faults, |at, envelope| {
                arrivals.push((at, envelope));
            });
        for (at, envelope) in arrivals {
            self.schedule_at(at, Event::Deliver(envelope));
        }
        if fate.lost {
            self.report.fault("message lost");
        }
        if fate.duplicated {
            self.report.fault("message duplicated");
        }
        if fate.slow {
            self.report.fault("message delayed");
        }
        if fate.replayed {
            self.report.mark("an old message was replayed");
        }
    }

    fn schedule_disk(&mut self, place: usize) {
        let node = &self.nodes[place];
        let life = node.life;
        let delay = self.disk_random.around(self.disk_pace);
        let at = (self.now + delay).max(node.disk.stalled_until);
        self.schedule_at(at, Event::DiskDone { node: place, life });
    }

    /// A sync returned.
    pub(crate) fn disk_done(&mut self, place: usize) -> Check {
        let node = &mut self.nodes[place];
        let id = node.id();
        if node.disk.stalled_until > self.now {
            self.schedule_disk(place);
            return Ok(());
        }
        let (token, count, changes) = node.disk.complete(&mut self.disk_random)?;
        self.check_hard_states(id, changes)?;
        if count > 1 {
            self.report.mark("several writes became durable at once");
        }
        if !self.nodes[place].disk.is_idle() {
            self.schedule_disk(place);
        }
        if self.fault_random.chance(self.faults.crash_after_persist) {
            return self.crash(place, "crash after a persist");
        }
        let Some(token) = token else { return Ok(()) };
        self.trace.note(&[3, place as u64, token.0]);
        self.trace
            .line(self.now, || format!("{id} persisted {token:?}"));
        self.handle(place, Input::Persisted(token))
    }

    /// Durable terms and votes changed.
    pub(crate) fn check_hard_states(&mut self, id: NodeId, changes: HardStateChanges) -> Check {
        for (old, new) in changes {
            hard_state::changed(id, old, new)?;
            if let Some(candidate) = new.voted_for {
                let term = new.current_term;
                self.checkers.votes.votes(id, term, candidate.node)?;
            }
        }
        Ok(())
    }

    /// Answers a log read from what is durable now; now and then with nothing,
    /// which the contract allows.
    pub(crate) fn log_read(&mut self, place: usize, request: ReadLog) -> Check {
        let log = &self.nodes[place].disk.log;
        let entries = match self.disk_random.chance(200) {
            true => LogSlice::empty(),
            false => log.read(request.first, request.last, request.max_bytes),
        };
        let token = request.token;
        self.trace.note(&[4, place as u64, entries.len() as u64]);
        self.handle(place, Input::LogRead { token, entries })
    }

    /// The state machine finished a batch: clients get their answers.
    pub(crate) fn apply_done(&mut self, place: usize) -> Check {
        let node = &mut self.nodes[place];
        let (id, life, leads) = (node.id(), node.life, node.leads());
        let Some(batch) = node.machine.next_batch() else {
            return Ok(());
        };
        for entry in batch.entries.entries() {
            let previous = node.machine.state.applied;
            node.machine.apply(entry);
            let state = node.machine.state;
            self.checkers
                .states
                .applied(id, previous, state.applied, state.digest)?;
        }
        for (index, ticket) in batch.proposals {
            let request = self.nodes[place].request(ticket);
            self.checkers.proposals.acknowledged(request, index)?;
            self.checkers.reads.acknowledged(index);
            self.nodes[place].has_written = true;
            self.report.acknowledged += 1;
            if !leads {
                self.report.mark("a forwarded proposal was acknowledged");
            }
        }
        if self.machine_random.chance(2000) {
            self.nodes[place].machine.flush();
        }
        if !self.nodes[place].machine.is_idle() {
            let delay = self.machine_random.between(10, 3000);
            self.schedule(delay, Event::ApplyDone { node: place, life });
        }
        if self.fault_random.chance(self.faults.crash_after_apply) {
            return self.crash(place, "crash after an apply");
        }
        let applied = self.nodes[place].machine.state.applied;
        self.trace.note(&[5, place as u64, applied.get()]);
        self.trace
            .line(self.now, || format!("{id} applied {applied}"));
        self.handle(place, Input::Applied(applied))
    }

    fn read_done(
        &mut self,
        place: usize,
        ticket: Ticket,
        index: Option<crate::types::LogIndex>,
    ) -> Check {
        let node = &mut self.nodes[place];
        let (id, leads, request) = (node.id(), node.leads(), node.request(ticket));
        let Some(index) = index else {
            self.report.mark("a read was refused or not confirmed");
            return self.checkers.reads.failed(id, request);
        };
        node.has_read = true;
        self.report.reads += 1;
        if !leads {
            self.report.mark("a read was served on a follower");
        }
        let applied = node.machine.state.applied;
        self.checkers.reads.served(id, request, index, applied)
    }

    /// A client's turn.
    pub(crate) fn client(&mut self, client: usize) -> Check {
        if self.now >= self.clients_stop_at {
            return Ok(());
        }
        let pause = self.workload.pause();
        self.schedule(pause, Event::Client(client));
        let (place, request) = self.workload.next(self.nodes.len());
        self.ask(place, request)
    }

    /// Asks for what has not succeeded yet on some node since the faults ended,
    /// one request at a time: what measures a group must not be what overloads it.
    pub(crate) fn probe(&mut self) -> Check {
        for place in 0..self.nodes.len() {
            let status = self.nodes[place].raft.as_ref().map(Raft::status);
            let (writes, reads) = status.map_or((0, 0), |status| {
                (status.pending_proposals, status.pending_reads)
            });
            if !self.nodes[place].has_written && writes == 0 {
                let command = self.workload.command();
                self.ask(place, Request::Write(vec![command]))?;
            }
            if !self.nodes[place].has_read && reads == 0 {
                self.ask(place, Request::Read(1))?;
            }
        }
        Ok(())
    }

    fn ask(&mut self, place: usize, request: Request) -> Check {
        let node = &mut self.nodes[place];
        if node.raft.is_none() || node.paused_until > self.now {
            return Ok(());
        }
        self.trace.note(&[6, place as u64]);
        let input = match request {
            Request::Write(commands) => {
                let propose = |command| {
                    let proposal = node.proposal(command);
                    let (request, command) =
                        (node.request(proposal.ticket), proposal.command.clone());
                    self.checkers.proposals.proposed(request, command);
                    proposal
                };
                Input::Propose(commands.into_iter().map(propose).collect())
            }
            Request::Read(count) => {
                let mut tickets = Vec::with_capacity(count);
                for _ in 0..count {
                    let ticket = node.next_ticket();
                    self.checkers.reads.began(node.request(ticket));
                    tickets.push(ticket);
                }
                Input::Read(tickets)
            }
        };
        let id = node.id();
        self.trace
            .line(self.now, || format!("{id} is asked {input:?}"));
        self.handle(place, input)
    }
}
