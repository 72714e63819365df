//! Carries out what replicas ask for.

use super::checker::durable_before_ack::{self, DurableState};
use super::checker::{Check, Seen, lease, reads};
use super::disk::Write;
use super::machine::Job;
use super::node::Node;
use super::recording::{Way, What, words};
use super::world::{Event, World};
use crate::error::ProposeError;
use crate::message::{AppendResult, Envelope, Message};
use crate::protocol::{self, Consistency, Input, Output, RoleKind, StepDownReason, Ticket};
use crate::testing::refinement::Cause;
use crate::types::{LogIndex, NodeId, ReplicaId};

impl World {
    /// A node takes something in alone; its outputs are carried out, and everything
    /// is checked.
    pub(crate) fn take_in(&mut self, place: usize, input: Input) -> Check {
        let node = &mut self.nodes[place];
        let clock = node.clock(self.now);
        let Some(raft) = &mut node.raft else {
            return Ok(());
        };
        self.may_use_lease = uses_lease(&input);
        self.causes.push(Cause::of(&input));
        raft.handle(clock, input);
        let settled = self.settle(place);
        self.may_use_lease = false;
        settled
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
                if let (Some(_), Some(origin)) = (persist.reset, &node.machine.state.origin) {
                    node.log.reset(origin);
                }
                node.log.write(persist.truncate_from, &persist.entries)?;
                if let Some(first) = first {
                    self.checkers.logs.appended(id, &node.log, first.index)?;
                }
            }
        }
        self.nodes[place].note_memberships(&outputs);
        self.observe(place)?;
        self.explain(place, &outputs)?;
        self.schedule_wake(place);
        for output in outputs {
            self.carry_out(place, output, before)?;
            if self.nodes[place].raft.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn write(&mut self, place: usize, write: Write) {
        if self.nodes[place].disk.begin(write) {
            self.schedule_disk(place);
        }
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
                self.tell(place, What::Write, || words::persist(&persist));
                let origin = self.nodes[place].machine.state.origin.clone();
                let snapshot = origin.filter(|_| persist.reset.is_some());
                self.write(place, Write::Persist(persist, snapshot));
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
                self.begin_job(place, Job::Apply(apply));
                Ok(())
            }
            Output::Checkpoint => {
                self.begin_job(place, Job::Checkpoint);
                Ok(())
            }
            Output::Purge(up_to) => {
                self.report.mark("a log was purged");
                self.nodes[place].log.purge(up_to);
                self.write(place, Write::Purge(up_to));
                Ok(())
            }
            Output::SendSnapshot(order) => self.send_snapshot(place, order),
            Output::InstallSnapshot(token) => {
                self.install_snapshot(place, token);
                Ok(())
            }
            Output::SnapshotInstalled(token) => {
                self.answer_snapshot(place, token, true);
                Ok(())
            }
            Output::RefuseSnapshot { token, .. } => {
                self.report.mark("a snapshot was refused");
                self.answer_snapshot(place, token, false);
                Ok(())
            }
            Output::StopInstall(token) => {
                self.stop_install(place, token);
                Ok(())
            }
            Output::StopSnapshot(token) => {
                self.stop_snapshot(place, token);
                Ok(())
            }
            Output::MembershipChanged { ticket, result } => {
                self.membership_changed(place, ticket, &result)
            }
            Output::TransferEnded { ticket, result } => self.transfer_ended(place, ticket, &result),
            Output::ProposalFailed { ticket, error } => {
                let words = error.to_string();
                self.trace
                    .line(self.now, || format!("{id} fails {ticket:?}: {words}"));
                self.tell(place, What::Client, || {
                    format!("fails request {}: {words}", ticket.0)
                });
                self.count_failure(&error);
                let request = self.nodes[place].request(ticket);
                if error.is_refusal() {
                    self.checkers.register.refused(request);
                }
                self.checkers.proposals.failed(request, error.is_refusal())
            }
            Output::ReadDone { ticket, result } => self.read_done(place, ticket, result.ok()),
            Output::Repair(entries) => {
                self.write(place, Write::Repair(entries));
                Ok(())
            }
            Output::Event(event) => {
                self.trace.line(self.now, || format!("{id} {event}"));
                self.tell(place, words::kind_of(&event), || event.to_string());
                if let protocol::Event::EntryDamaged { log_id } = &event {
                    let replica = self.nodes[place].replica;
                    self.checkers.corruption.found(replica, log_id.index);
                }
                self.count_event(id, &event, before);
                Ok(())
            }
        }
    }

    fn count_failure(&mut self, error: &ProposeError) {
        match error {
            ProposeError::Superseded { .. } => self.report.mark("a proposal was superseded"),
            ProposeError::Unknown { .. } => self.report.mark("a proposal ended unknown"),
            ProposeError::DiskFull => self.report.mark("a proposal was refused by a full disk"),
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
            protocol::Event::EntryDamaged { .. } => self.report.mark("a damaged entry was found"),
            protocol::Event::EntryMended { .. } => self.report.mark("a damaged entry was mended"),
            protocol::Event::DamageIsCommitted { .. } => {
                self.report.mark("damage was found to be committed");
            }
            protocol::Event::DamageIsCut { .. } => {
                self.report.mark("damage that was never committed was cut");
            }
            protocol::Event::MembershipInForce { ref membership, .. } => {
                let is_back = |n: &Node| !n.past_lives.is_empty() && membership.votes(n.replica);
                if self.nodes.iter().any(is_back) {
                    self.report.mark("a node that lost its vote votes again");
                }
            }
            protocol::Event::LaterLifeHeard { .. } => {
                self.report.mark("a leader heard a later life");
            }
            protocol::Event::DiskHealth { is_ill: true } => match was {
                Some(RoleKind::Leader) => self.report.mark("the disk of a leader fell ill"),
                _ => self.report.mark("the disk of a follower fell ill"),
            },
            protocol::Event::ElectionStarted { term }
                if *self.candidates.entry(term).or_insert(id) != id =>
            {
                self.report.mark("two candidates stood in one term");
            }
            protocol::Event::SteppedDown { term, reason } => match (was, reason) {
                (Some(RoleKind::Leader), StepDownReason::HigherTerm) => {
                    self.report.mark("a leader was deposed by a higher term");
                }
                (Some(RoleKind::Leader), StepDownReason::Removed) => {
                    self.removed_leaders.insert((term, id));
                    self.report.mark("a leader removed itself");
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

    /// A message leaves a node, after a look at what it claims.
    pub(super) fn send(&mut self, place: usize, envelope: Envelope) -> Check {
        let checked = self.check_message(place, &envelope);
        if let (Err(_), Some(recording)) = (&checked, &mut self.recording) {
            recording.message(self.now, self.now, &envelope, Way::violating());
        }
        checked?;
        if !self.hands_over_unheard(place, &envelope) {
            self.post(place, envelope);
        }
        if self.fault_random.chance(self.faults.crash_after_send) {
            return self.crash(place, "crash after a send");
        }
        Ok(())
    }

    /// What a message claims must be so, and durable.
    fn check_message(&mut self, place: usize, envelope: &Envelope) -> Check {
        let node = &self.nodes[place];
        let disk = &node.disk;
        let durable = DurableState {
            hard_state: disk.hard_state,
            log: &disk.log,
            ever: &disk.ever,
            state: node.machine.durable.last,
        };
        durable_before_ack::sends(envelope, durable)?;
        let (damaged, applied) = (&disk.damaged, node.machine.state.applied());
        self.checkers.amnesia.sends(envelope)?;
        self.checkers.answers.sends(envelope)?;
        self.checkers.corruption.sends(envelope, damaged, applied)?;
        self.note_message(envelope)?;
        let from = envelope.from.node;
        match &envelope.message {
            Message::RequestVoteReply(reply) if reply.granted => {
                let (term, candidate) = (reply.vote_term, envelope.to.node);
                self.checkers
                    .votes
                    .votes(voter(envelope.from), term, candidate)?;
            }
            Message::RequestVote(body) => {
                self.checkers
                    .candidates
                    .asks(from, envelope.term, body.last_log);
            }
            Message::AppendEntries(_) | Message::Heartbeat(_) => {
                self.checkers.elections.leads(envelope.term, from)?;
            }
            Message::ReadIndexReply(reply) if reply.index.is_some() && self.may_use_lease => {
                lease::serves(from, envelope.term, self.checkers.elections.latest())?;
            }
            Message::AppendReply(reply) => {
                if matches!(reply.result, AppendResult::Rejected { .. }) {
                    self.report.mark("an append was rejected");
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn post(&mut self, place: usize, envelope: Envelope) {
        self.report.message(&envelope.message);
        let link = (place, self.place(envelope.to.node));
        let mut arrivals = Vec::new();
        let kept = self.recording.as_ref().map(|_| envelope.clone());
        let fate = self
            .network
            .send(self.now, link, envelope, &self.faults, |at, envelope| {
                arrivals.push((at, envelope));
            });
        if let (Some(recording), Some(envelope)) = (&mut self.recording, kept) {
            recording.sends(self.now, &envelope, fate, &arrivals);
        }
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

    fn read_done(&mut self, place: usize, ticket: Ticket, index: Option<LogIndex>) -> Check {
        let node = &mut self.nodes[place];
        let (id, leads, request) = (node.id(), node.leads(), node.request(ticket));
        self.trace.line(self.now, || {
            format!("{id} ends read {ticket:?} at {index:?}")
        });
        self.tell(place, What::Client, || match index {
            Some(index) => format!("serves read {} at {index}", ticket.0),
            None => format!("refuses read {}", ticket.0),
        });
        let node = &mut self.nodes[place];
        let Some(index) = index else {
            self.report.mark("a read was refused or not confirmed");
            node.lease_reads.remove(&ticket);
            return self.checkers.reads.failed(id, request);
        };
        node.has_read = true;
        self.report.reads += 1;
        if !leads {
            self.report.mark("a read was served on a follower");
        }
        let (applied, value) = (node.machine.state.applied(), node.machine.state.value);
        if node.stale_reads.remove(&ticket) {
            self.report.mark("a local read was served");
            return reads::local(id, index, applied);
        }
        if node.lease_reads.remove(&ticket) {
            self.report.mark("a lease read was served");
            if let Some(seen) = node.seen.filter(|seen| seen.leads() && self.may_use_lease) {
                lease::serves(id, seen.term(), self.checkers.elections.latest())?;
            }
        }
        self.checkers
            .register
            .read(request, value, applied, self.now);
        self.checkers.reads.served(id, request, index, applied)
    }
}

/// Whether what follows from `input` may rely on the lease.
pub(crate) fn uses_lease(input: &Input) -> bool {
    match input {
        Input::Read { consistency, .. } => *consistency == Consistency::Lease,
        Input::Message(envelope) => {
            matches!(&envelope.message, Message::ReadIndex(body) if body.lease)
        }
        _ => false,
    }
}

/// Names a life of a node as a voter of its own: another life has another vote.
pub(crate) fn voter(replica: ReplicaId) -> NodeId {
    NodeId::new(replica.node.get() + 1000 * replica.incarnation.get())
}
