//! Elections: pre-vote, campaign, tally, and who gets our vote (Raft §5.2, §5.4.1; Thesis §9.6).

use super::event::StepDownReason;
use super::quorum::{VoteResult, vote_result};
use super::role::Role;
use super::{Event, Raft};
use crate::hard_state::HardState;
use crate::message::{Envelope, Message, PreVote, PreVoteReply, RequestVote, RequestVoteReply};
use crate::types::{NodeId, ReplicaId, Term};

impl Raft {
    /// No leader was heard for an election timeout.
    pub(super) fn on_election_timeout(&mut self) {
        self.idle_elections = self.idle_elections.saturating_add(1);
        self.reset_election_timer();
        if !self.is_fit_to_lead() {
            if !matches!(self.role, Role::Follower(_)) {
                self.become_follower(self.hard_state.current_term, StepDownReason::Unfit);
            }
            return;
        }
        self.become_pre_candidate();
        self.pre_vote_round = self.pre_vote_round.wrapping_add(1);
        let body = PreVote {
            round: self.pre_vote_round,
            proposed_term: self.hard_state.current_term.next(),
            last_log: self.log.last(),
        };
        self.send_to_voters(&Message::PreVote(body));
        self.count_vote(self.config.replica.node, true);
    }

    /// Campaigns; if the leader asked for it, voters need not wait (Thesis §3.10).
    pub(super) fn campaign(&mut self, leadership_transfer: bool) {
        self.reset_election_timer();
        self.become_candidate();
        let body = RequestVote {
            last_log: self.log.last(),
            leadership_transfer,
        };
        self.send_to_voters(&Message::RequestVote(body));
        // Our own vote is counted once it is durable, like everybody else's.
    }

    fn send_to_voters(&mut self, message: &Message) {
        let membership = self.log.membership().clone();
        let own = self.config.replica.node;
        for replica in membership
            .replicas()
            .filter(|r| r.node != own && membership.is_voter(r.node))
        {
            self.send(replica, message.clone());
        }
    }

    /// Term and vote became durable: a candidate may count its own vote.
    pub(super) fn on_hard_state_durable(&mut self) {
        if matches!(self.role, Role::Candidate(_))
            && self.durability.durable_hard_state() == self.hard_state
        {
            self.count_vote(self.config.replica.node, true);
        }
    }

    fn count_vote(&mut self, voter: NodeId, granted: bool) {
        let (Role::PreCandidate(tally) | Role::Candidate(tally)) = &mut self.role else {
            return;
        };
        tally.votes.entry(voter).or_insert(granted);
        let result = vote_result(self.log.membership(), |node| {
            tally.votes.get(&node).copied()
        });
        match (result, &self.role) {
            (VoteResult::Pending, _) => {}
            (VoteResult::Won, Role::PreCandidate(_)) => self.campaign(false),
            (VoteResult::Won, _) => {
                // A quorum of others may answer before our own disk does.
                if self.durability.durable_hard_state() == self.hard_state {
                    self.become_leader();
                }
            }
            (VoteResult::Lost, _) => {
                self.become_follower(self.hard_state.current_term, StepDownReason::VoteLost);
            }
        }
    }

    /// Whether a leader was heard within the shortest election timeout; a leader
    /// hears itself (check-quorum sees to it that it has a quorum), and a fresh
    /// start counts as having heard one (Thesis §4.2.3, §6.4.1).
    fn heard_leader_recently(&self) -> bool {
        matches!(self.role, Role::Leader(_))
            || self
                .leader_contact
                .is_some_and(|at| self.now.since(at) < self.config.election_timeout_min)
    }

    /// A pre-vote changes nothing here, and is always answered.
    pub(super) fn on_pre_vote(&mut self, from: ReplicaId, body: PreVote) {
        let granted = body.proposed_term > self.hard_state.current_term
            && body.last_log >= self.log.last()
            && !self.heard_leader_recently();
        let reply = PreVoteReply {
            round: body.round,
            proposed_term: body.proposed_term,
            granted,
        };
        self.send(from, Message::PreVoteReply(reply));
    }

    pub(super) fn on_pre_vote_reply(
        &mut self,
        envelope_term: Term,
        from: ReplicaId,
        body: PreVoteReply,
    ) {
        // A refusal from a higher term is how a candidate left behind catches up.
        if envelope_term > self.hard_state.current_term {
            self.become_follower(envelope_term, StepDownReason::HigherTerm);
        } else if matches!(self.role, Role::PreCandidate(_))
            && body.round == self.pre_vote_round
            && body.proposed_term == self.hard_state.current_term.next()
            && self.log.membership().contains(from)
        {
            self.count_vote(from.node, body.granted);
        }
    }

    pub(super) fn on_request_vote(&mut self, envelope: &Envelope, body: RequestVote) {
        let sticks_to_leader = self.heard_leader_recently() && !body.leadership_transfer;
        if envelope.term > self.hard_state.current_term && !sticks_to_leader {
            self.become_follower(envelope.term, StepDownReason::HigherTerm);
        }
        let granted = !sticks_to_leader && self.may_vote_for(envelope, body);
        if granted && self.hard_state.voted_for.is_none() {
            let voted_for = Some(envelope.from);
            self.set_hard_state(HardState {
                voted_for,
                ..self.hard_state
            });
        }
        if granted {
            self.reset_election_timer();
        }
        // A granting reply waits until the vote is durable: `send` sees to it.
        let reply = RequestVoteReply {
            vote_term: envelope.term,
            granted,
        };
        self.send(envelope.from, Message::RequestVoteReply(reply));
    }

    /// Raft §5.2 and §5.4.1: one vote a term, to a log at least as up to date as ours.
    fn may_vote_for(&self, envelope: &Envelope, body: RequestVote) -> bool {
        let free = self
            .hard_state
            .voted_for
            .is_none_or(|voted| voted == envelope.from);
        envelope.term == self.hard_state.current_term
            && free
            && self.leader().is_none()
            && body.last_log >= self.log.last()
    }

    pub(super) fn on_request_vote_reply(&mut self, envelope: &Envelope, body: RequestVoteReply) {
        if envelope.term > self.hard_state.current_term {
            self.become_follower(envelope.term, StepDownReason::HigherTerm);
        } else if matches!(self.role, Role::Candidate(_))
            && body.vote_term == self.hard_state.current_term
            && self.log.membership().contains(envelope.from)
        {
            self.count_vote(envelope.from.node, body.granted);
        }
    }

    pub(super) fn drop_message(&mut self, from: ReplicaId, reason: &'static str) {
        self.emit(Event::MessageDropped { from, reason });
    }
}
