//! Leadership transfer (Thesis §3.10): the leader stops taking proposals, brings
//! the target up to date, and asks it to campaign at once.
//!
//! The lease ends before the target is asked, and stays out of use for the rest
//! of the term if the transfer fails: the request may still be on its way, and
//! the vote it leads to is not held back by the recent-leader rule.

use super::Raft;
use super::event::Event;
use super::input::Ticket;
use super::output::Output;
use super::role::{Leader, Role};
use crate::error::TransferError;
use crate::message::{Envelope, Message, TimeoutNow};
use crate::time::Timestamp;
use crate::types::NodeId;

/// A transfer that a leader has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    to: NodeId,
    /// Who asked for it; nobody if the leader's own disk did.
    ticket: Option<Ticket>,
    deadline: Timestamp,
    /// The round with which the target was last asked.
    asked_in: Option<u64>,
}

/// A transfer that cost this node its leadership, until the next leader is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct AwaitedLeader {
    to: NodeId,
    ticket: Option<Ticket>,
    deadline: Timestamp,
}

impl Raft {
    pub(super) fn on_transfer_leadership(&mut self, ticket: Ticket, to: Option<NodeId>) {
        match self.choose_target(to) {
            Ok(target) if target == self.config.replica.node => {
                self.end_transfer(ticket, Ok(target));
            }
            Ok(target) => self.begin_transfer(target, Some(ticket)),
            Err(error) => self.end_transfer(ticket, Err(error)),
        }
    }

    fn choose_target(&self, to: Option<NodeId>) -> Result<NodeId, TransferError> {
        let Role::Leader(leader) = &self.role else {
            let leader = self.leader().map(|replica| replica.node);
            return Err(TransferError::NotLeader { leader });
        };
        if let Some(under_way) = &leader.transfer {
            return Err(TransferError::InProgress { to: under_way.to });
        }
        match to {
            Some(node) if self.log.membership().voters().contains(&node) => Ok(node),
            Some(node) => Err(TransferError::NotAVoter { node }),
            None => self.best_successor().ok_or(TransferError::NoCandidate),
        }
    }

    /// The other voter that answers and has most of the log; whoever failed to
    /// take over last comes last.
    pub(super) fn best_successor(&self) -> Option<NodeId> {
        let Role::Leader(leader) = &self.role else {
            return None;
        };
        let own = self.config.replica.node;
        let voters = self.log.membership().voters();
        voters
            .iter()
            .copied()
            .filter(|&node| node != own && self.is_active(node))
            .max_by_key(|&node| {
                let matched = leader.followers.get(node).map(|p| p.match_index);
                (leader.failed_successor != Some(node), matched)
            })
    }

    pub(super) fn begin_transfer(&mut self, to: NodeId, ticket: Option<Ticket>) {
        let deadline = self.now + self.config.transfer_timeout;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        leader.transfer = Some(Transfer {
            to,
            ticket,
            deadline,
            asked_in: None,
        });
        self.emit(Event::TransferStarted { to });
    }

    /// Whether this leader is on its way out: it takes no more proposals.
    pub(super) fn hands_over(&self) -> bool {
        match &self.role {
            Role::Leader(leader) => {
                leader.transfer.is_some() || (!self.is_voter() && !self.log.membership().is_joint())
            }
            _ => false,
        }
    }

    /// Who gets the leadership, if it is being handed over.
    pub(super) fn transfer_target(&self) -> Option<NodeId> {
        match &self.role {
            Role::Leader(leader) => leader.transfer.as_ref().map(|transfer| transfer.to),
            _ => None,
        }
    }

    /// Asks the target to campaign once it has everything; once a round, because
    /// a request is good only until the next one.
    pub(super) fn pump_transfer(&mut self) {
        let last = self.log.last().index;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Leader {
            transfer: Some(transfer),
            round,
            followers,
            ..
        } = leader.as_mut()
        else {
            return;
        };
        let to = transfer.to;
        let is_ready = followers.get(to).is_some_and(|p| p.match_index == last);
        if is_ready && transfer.asked_in != Some(*round) {
            transfer.asked_in = Some(*round);
            self.send_timeout_now(to);
        }
    }

    pub(super) fn send_timeout_now(&mut self, to: NodeId) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        leader.lease_is_barred = true;
        let round = leader.round;
        if let Some(replica) = leader.followers.get(to).map(|progress| progress.replica) {
            self.send(replica, Message::TimeoutNow(TimeoutNow { round }));
        }
    }

    /// The leader asks us to take over: no pre-vote, and voters need not wait.
    pub(super) fn on_timeout_now(&mut self, envelope: &Envelope, body: TimeoutNow) {
        let Role::Follower(follower) = &self.role else {
            return;
        };
        let is_from_leader =
            envelope.term == self.hard_state.current_term && follower.leader == Some(envelope.from);
        let is_in_time = follower.latest_round.is_some_and(|seen| seen <= body.round);
        if is_from_leader && is_in_time && self.is_fit_to_lead() {
            self.campaign(true);
        } else {
            self.drop_message(envelope.from, "asks us to lead, too late or unfit");
        }
    }

    /// Gives up a transfer that took too long, and on hearing who leads after one.
    pub(super) fn check_transfer(&mut self) {
        let now = self.now;
        if let Role::Leader(leader) = &mut self.role
            && let Some(late) = leader.transfer.take_if(|transfer| transfer.deadline <= now)
        {
            leader.failed_successor = Some(late.to);
            self.emit(Event::TransferAborted { to: late.to });
            // A request that is still on its way is older than this round.
            self.begin_round();
            if let Some(ticket) = late.ticket {
                self.end_transfer(ticket, Err(TransferError::TimedOut { to: late.to }));
            }
        }
        if let Some(late) = self
            .awaited_leader
            .take_if(|awaited| awaited.deadline <= now)
        {
            let leader = self.leader().map(|replica| replica.node);
            if let Some(ticket) = late.ticket {
                self.end_transfer(ticket, Err(TransferError::OtherLeader { leader }));
            }
        }
    }

    /// A leadership ended during a transfer: its outcome shows with the next leader.
    pub(super) fn await_next_leader(&mut self, transfer: &Transfer) {
        self.awaited_leader = Some(AwaitedLeader {
            to: transfer.to,
            ticket: transfer.ticket,
            deadline: self.now + self.config.transfer_timeout,
        });
    }

    /// A leader is known: a transfer that waited for that has ended.
    pub(super) fn note_next_leader(&mut self, leader: NodeId) {
        if let Some(awaited) = self.awaited_leader.take() {
            let result = if leader == awaited.to {
                Ok(leader)
            } else {
                let leader = Some(leader);
                Err(TransferError::OtherLeader { leader })
            };
            if let Some(ticket) = awaited.ticket {
                self.end_transfer(ticket, result);
            }
        }
    }

    /// Whether this node handed its leadership over and the next leader is yet to
    /// be heard: proposals wait for it as they waited for the transfer.
    pub(super) fn awaits_successor(&self) -> bool {
        self.awaited_leader.is_some() && self.leader().is_none()
    }

    /// When `check_transfer` has something to do.
    pub(super) fn transfer_deadline(&self) -> Option<Timestamp> {
        let own = match &self.role {
            Role::Leader(leader) => leader.transfer.as_ref().map(|transfer| transfer.deadline),
            _ => None,
        };
        own.or(self.awaited_leader.map(|awaited| awaited.deadline))
    }

    fn end_transfer(&mut self, ticket: Ticket, result: Result<NodeId, TransferError>) {
        self.outputs
            .push_back(Output::TransferEnded { ticket, result });
    }
}
