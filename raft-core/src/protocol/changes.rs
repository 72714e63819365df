//! Membership changes that this node's clients asked for, wherever the leader
//! is, and how they end.
//!
//! A change is bound to the term in which it was begun or forwarded, like a
//! proposal. It is done once a configuration at or after its first entry is
//! committed and not joint.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Raft;
use super::input::Ticket;
use super::output::Output;
use super::role::Role;
use crate::error::ChangeMembershipError;
use crate::membership::Membership;
use crate::membership_change::MembershipChange;
use crate::message::{ChangeMembership, ChangeMembershipReply, Envelope, Message};
use crate::time::Timestamp;
use crate::types::{LogId, RequestId};

/// Most changes of this node's clients that wait; they come one at a time anyway.
const MAX_PENDING: usize = 64;

/// Starts of other nodes whose forwarded changes a leader tells apart in one term.
const MAX_STARTS: usize = 10_000;

/// Changes of this node without an outcome, by ticket.
pub(super) type PendingChanges = BTreeMap<u64, PendingChange>;

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingChange {
    /// The entry it begins with, once the leader has appended it.
    begun: Option<LogId>,
    /// When its outcome is given up.
    deadline: Timestamp,
}

/// How a change ended.
type Outcome = Result<(LogId, Arc<Membership>), ChangeMembershipError>;

impl Raft {
    /// Begins the change if we lead, asks the leader for it, or refuses it.
    pub(super) fn on_change_membership(&mut self, ticket: Ticket, change: MembershipChange) {
        let pending = self.changes.len();
        let begun = if pending >= MAX_PENDING {
            Err(ChangeMembershipError::Overloaded { pending })
        } else if matches!(self.role, Role::Leader(_)) {
            self.begin_change(&change).map(Some)
        } else {
            self.forward_change(ticket, change).map(|()| None)
        };
        let deadline = self.now + self.config.request_timeout;
        match begun {
            Ok(begun) => {
                let pending = PendingChange { begun, deadline };
                self.changes.insert(ticket.0, pending);
            }
            Err(error) => self.end_change(ticket, Err(error)),
        }
    }

    fn forward_change(
        &mut self,
        ticket: Ticket,
        change: MembershipChange,
    ) -> Result<(), ChangeMembershipError> {
        let leader = self.leader().ok_or(ChangeMembershipError::NoLeader)?;
        let request = RequestId {
            boot: self.boot,
            sequence: ticket.0,
        };
        let body = ChangeMembership { request, change };
        self.send(leader, Message::ChangeMembership(body));
        Ok(())
    }

    /// A follower asks for a change. Copies of the message get no second answer:
    /// a refusal of the copy could overtake the consent to the original.
    pub(super) fn on_forwarded_change(&mut self, envelope: &Envelope, body: &ChangeMembership) {
        if envelope.term != self.hard_state.current_term {
            return;
        }
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let RequestId { boot, sequence } = body.request;
        if leader.changes_seen.len() >= MAX_STARTS && !leader.changes_seen.contains_key(&boot) {
            return self.drop_message(envelope.from, "too many starts ask for changes in one term");
        }
        let seen = leader.changes_seen.entry(boot).or_default();
        if sequence <= *seen {
            return;
        }
        *seen = sequence;
        let result = self.begin_change(&body.change);
        let reply = ChangeMembershipReply {
            request: body.request,
            result,
        };
        self.send(envelope.from, Message::ChangeMembershipReply(reply));
    }

    pub(super) fn on_change_reply(&mut self, body: ChangeMembershipReply) {
        if body.request.boot != self.boot {
            return;
        }
        let ticket = body.request.sequence;
        match (self.changes.get_mut(&ticket), body.result) {
            (Some(pending), Ok(log_id)) => pending.begun = Some(log_id),
            (Some(pending), Err(error)) if pending.begun.is_none() => {
                self.changes.remove(&ticket);
                self.end_change(Ticket(ticket), Err(error));
            }
            _ => {}
        }
    }

    /// Ends the changes whose outcome is known by now.
    pub(super) fn settle_changes(&mut self) {
        if self.changes.is_empty() {
            return;
        }
        let ended: Vec<_> = self
            .changes
            .iter()
            .filter_map(|(&ticket, pending)| Some((ticket, self.outcome_of(pending.begun?)?)))
            .collect();
        for (ticket, outcome) in ended {
            self.changes.remove(&ticket);
            self.end_change(Ticket(ticket), outcome);
        }
    }

    /// What became of the change that began with entry `begun`, if that is known.
    fn outcome_of(&self, begun: LogId) -> Option<Outcome> {
        let commit = self.log.commit_index();
        if begun.index > commit {
            return None;
        }
        match self.log.term_at(begun.index) {
            None => return Some(Err(ChangeMembershipError::Unknown)),
            Some(term) if term != begun.term => {
                return Some(Err(ChangeMembershipError::Superseded { term }));
            }
            Some(_) => {}
        }
        let (index, membership) = (self.log.membership_index(), self.log.membership());
        let is_done = index <= commit && !membership.is_joint();
        let log_id = self.log.id_at(index).unwrap_or(begun);
        is_done.then(|| Ok((log_id, Arc::clone(membership))))
    }

    /// Gives up on changes that got no outcome in time.
    pub(super) fn expire_changes(&mut self) {
        while let Some(entry) = self.changes.first_entry() {
            if entry.get().deadline > self.now {
                return;
            }
            let ticket = Ticket(*entry.key());
            entry.remove();
            self.end_change(ticket, Err(ChangeMembershipError::Unknown));
        }
    }

    /// When the first change is given up.
    pub(super) fn change_deadline(&self) -> Option<Timestamp> {
        self.changes.first_key_value().map(|(_, p)| p.deadline)
    }

    fn end_change(&mut self, ticket: Ticket, result: Outcome) {
        self.outputs
            .push_back(Output::MembershipChanged { ticket, result });
    }
}
