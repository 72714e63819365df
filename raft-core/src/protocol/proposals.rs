//! Proposals of this node's clients, wherever the leader is, and how they end.
//!
//! Each proposal is bound to the term in which it was appended or forwarded:
//! the leader of another term never appends it. Entries carry the request they
//! answer, so whoever made it sees it applied. And once an entry of a later
//! term is committed, a proposal that was not before it never will be.

use bytes::Bytes;

use super::Raft;
use super::event::Event;
use super::input::{Proposal, Ticket};
use super::output::Output;
use super::pending_proposals::PendingProposal;
use super::role::Role;
use crate::entry::{Entry, LogSlice, Payload, size_of_command};
use crate::error::ProposeError;
use crate::message::{Envelope, Message, Propose, ProposeRefused, Refusal};
use crate::types::{LogId, LogIndex, RequestId, Term};

/// Starts of other nodes whose forwarded commands a leader tells apart in one
/// term. A start is a restart of a peer; nobody restarts this often.
const MAX_FORWARDING_STARTS: usize = 10_000;

impl Raft {
    /// Appends the proposals if we lead, forwards them to who does, or refuses them.
    pub(super) fn on_propose(&mut self, proposals: Vec<Proposal>) {
        let mut commands = Vec::new();
        let is_held = self.hands_over() || self.awaits_successor();
        for Proposal { ticket, command } in proposals {
            let outcome = match self.admit(ticket, command.len()) {
                Err(error) => Err(error),
                Ok(()) if is_held => {
                    self.hold(self.config.replica, self.own_request(ticket), command)
                }
                Ok(()) => {
                    self.remember_proposal(ticket);
                    if matches!(self.role, Role::Leader(_)) {
                        self.append_command(self.own_request(ticket), command);
                    } else {
                        commands.push((ticket.0, command));
                    }
                    Ok(())
                }
            };
            if let Err(error) = outcome {
                self.fail_proposal(ticket, error);
            }
        }
        self.forward(commands);
    }

    const fn own_request(&self, ticket: Ticket) -> RequestId {
        RequestId {
            boot: self.boot,
            sequence: ticket.0,
        }
    }

    /// Forwards commands to the leader, in messages no larger than an append may be.
    pub(super) fn forward(&mut self, commands: Vec<(u64, Bytes)>) {
        let Some(leader) = self.leader() else { return };
        let boot = self.boot;
        let (mut part, mut bytes) = (Vec::new(), 0);
        for (sequence, command) in commands {
            if !part.is_empty() && bytes + command.len() > self.config.max_append_bytes {
                let commands = std::mem::take(&mut part);
                self.send(leader, Message::Propose(Propose { boot, commands }));
                bytes = 0;
            }
            bytes += command.len();
            part.push((sequence, command));
        }
        if !part.is_empty() {
            self.send(
                leader,
                Message::Propose(Propose {
                    boot,
                    commands: part,
                }),
            );
        }
    }

    fn admit(&mut self, ticket: Ticket, size: usize) -> Result<(), ProposeError> {
        let pending = self.proposals.len() + self.held.len();
        assert!(
            self.last_ticket < Some(ticket),
            "proposal tickets must rise: {ticket:?} after {:?}",
            self.last_ticket
        );
        self.last_ticket = Some(ticket);
        if self.has_left() {
            return Err(ProposeError::NotLeader { leader: None });
        }
        if self.leader().is_none() && !self.awaits_successor() {
            return Err(ProposeError::NoLeader);
        }
        let limit = self.config.max_command_bytes;
        if size > limit {
            return Err(ProposeError::TooLarge { size, limit });
        }
        if self.leads_with_full_disk() {
            return Err(ProposeError::DiskFull);
        }
        if pending >= self.config.max_pending_proposals || !self.has_room_for(size) {
            return Err(ProposeError::Overloaded { pending });
        }
        Ok(())
    }

    /// Whether a leader may append a command of this length. One that holds nothing
    /// takes anything, so that no proposal is refused for ever.
    fn has_room_for(&self, length: usize) -> bool {
        let size = size_of_command(length);
        match &self.role {
            Role::Leader(leader) => {
                let waiting = leader.unfinished_bytes + self.held.bytes();
                waiting == 0 || waiting + size <= self.config.max_uncommitted_bytes
            }
            // What is forwarded waits here while the term is not durable.
            _ => {
                let waiting = self.durability.held_bytes() + self.held.bytes();
                waiting == 0 || waiting + size <= self.config.max_uncommitted_bytes
            }
        }
    }

    pub(super) fn append_command(&mut self, request: RequestId, data: Bytes) {
        let index = self.log.last().index.next();
        let log_id = LogId {
            term: self.hard_state.current_term,
            index,
        };
        self.append_as_leader(Entry::command(log_id, request, data));
    }

    pub(super) fn remember_proposal(&mut self, ticket: Ticket) {
        let term = self.hard_state.current_term;
        let deadline = self.now + self.config.request_timeout;
        self.proposals
            .insert(ticket.0, PendingProposal { term, deadline });
    }

    pub(super) fn fail_proposal(&mut self, ticket: Ticket, error: ProposeError) {
        self.outputs
            .push_back(Output::ProposalFailed { ticket, error });
    }

    /// A follower forwards its clients' commands.
    ///
    /// Copies of a message and messages that were overtaken are dropped without
    /// a word: their commands may be in the log already.
    pub(super) fn on_forwarded(&mut self, envelope: &Envelope, body: Propose) {
        if envelope.term != self.hard_state.current_term {
            return;
        }
        if body.boot == self.boot {
            return self.drop_message(envelope.from, "forwards proposals in our name");
        }
        let (mut refused, hands_over) = (Vec::new(), self.hands_over());
        let is_full = self.leads_with_full_disk();
        // Who has left would not learn what became of its commands.
        let is_member = !self.log.membership().has_left(envelope.from);
        for (sequence, command) in body.commands {
            let has_room = !is_full && self.has_room_for(command.len());
            let Role::Leader(leader) = &mut self.role else {
                return;
            };
            if leader.forwarded.len() >= MAX_FORWARDING_STARTS
                && !leader.forwarded.contains_key(&body.boot)
            {
                return self.emit(Event::MessageDropped {
                    from: envelope.from,
                    reason: "too many starts forward proposals in one term",
                });
            }
            let seen = leader.forwarded.entry(body.boot).or_default();
            if sequence <= *seen {
                continue;
            }
            *seen = sequence;
            let request = RequestId {
                boot: body.boot,
                sequence,
            };
            if !has_room || !is_member {
                refused.push(sequence);
            } else if !hands_over {
                self.append_command(request, command);
            } else if self.hold(envelope.from, request, command).is_err() {
                refused.push(sequence);
            }
        }
        self.note_forwarder(envelope);
        if !refused.is_empty() {
            let body = ProposeRefused {
                boot: body.boot,
                sequences: refused,
                reason: match is_full {
                    true => Refusal::DiskFull,
                    false => Refusal::Overloaded,
                },
            };
            self.send(envelope.from, Message::ProposeRefused(body));
        }
    }

    fn note_forwarder(&mut self, envelope: &Envelope) {
        let last = self.log.last().index;
        if let Role::Leader(leader) = &mut self.role
            && let Some(progress) = leader.followers.get_mut(envelope.from.node)
        {
            progress.forwarded_up_to = last;
        }
    }

    pub(super) fn on_propose_refused(&mut self, body: &ProposeRefused) {
        if body.boot != self.boot {
            return;
        }
        for &sequence in &body.sequences {
            if self.proposals.remove(sequence).is_some() {
                let error = match body.reason {
                    Refusal::DiskFull => ProposeError::DiskFull,
                    Refusal::Overloaded => ProposeError::Overloaded {
                        pending: self.proposals.len(),
                    },
                };
                self.fail_proposal(Ticket(sequence), error);
            }
        }
    }

    /// Of `entries`, committed and about to be applied, picks those that our
    /// clients wait for, and ends the proposals that can no longer be committed.
    pub(super) fn settle_proposals(&mut self, entries: &LogSlice) -> Vec<(LogIndex, Ticket)> {
        let mut ours = Vec::new();
        for entry in entries.entries() {
            self.supersede_before(entry.term());
            if let Payload::Command { request, .. } = &entry.payload
                && request.boot == self.boot
                && self.proposals.remove(request.sequence).is_some()
            {
                ours.push((entry.index(), Ticket(request.sequence)));
            }
        }
        ours
    }

    /// An entry of `term` is committed: nothing of an earlier term follows it.
    fn supersede_before(&mut self, term: Term) {
        while let Some((sequence, pending)) = self.proposals.first() {
            if pending.term >= term {
                return;
            }
            self.proposals.remove(sequence);
            self.fail_proposal(Ticket(sequence), ProposeError::Superseded { term });
        }
    }

    /// Gives up on proposals that got no outcome in time.
    pub(super) fn expire_proposals(&mut self) {
        while let Some((sequence, pending)) = self.proposals.first() {
            if pending.deadline > self.now {
                return;
            }
            self.proposals.remove(sequence);
            let reason = "no outcome within the request timeout";
            self.fail_proposal(Ticket(sequence), ProposeError::Unknown { reason });
        }
    }
}
