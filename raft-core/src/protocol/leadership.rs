//! The leader's side of replication: rounds, acknowledgements, commit
//! (Raft §5.3, §5.4.2).

use super::Raft;
use super::event::StepDownReason;
use super::quorum::reached_by_quorum;
use super::replication::ProgressState;
use super::role::Role;
use crate::entry::Entry;
use crate::message::{
    AppendReply, AppendResult, Commit, Envelope, Heartbeat, HeartbeatReply, Message,
};
use crate::time::Timestamp;
use crate::types::{LogId, LogIndex, NodeId};

impl Raft {
    pub(super) fn append_blank(&mut self) {
        let index = self.log.last().index.next();
        self.append_as_leader(Entry::blank(LogId {
            term: self.hard_state.current_term,
            index,
        }));
    }

    pub(super) fn append_as_leader(&mut self, entry: Entry) {
        let Role::Leader(leader) = &mut self.role else {
            panic!("only a leader appends entries of its own");
        };
        let (index, size) = (entry.index(), entry.size());
        leader.unfinished.push_back((index, size));
        leader.unfinished_bytes += size;
        self.log.append(entry);
        self.stage_entries_from(index);
    }

    /// The heartbeat interval has passed.
    pub(super) fn on_heartbeat_timer(&mut self) {
        self.timers.heartbeat = self.now + self.config.heartbeat_interval;
        let patience = self.config.election_timeout_min;
        if let Role::Leader(leader) = &mut self.role {
            for progress in leader.followers.iter_mut() {
                progress.allow_probe(self.now, patience);
            }
            let gone = leader.followers.drop_departed(self.now);
            self.stop_snapshots(gone);
            self.check_snapshots();
            self.begin_round();
            self.purge_log();
        }
    }

    /// Begins a round: who answers it still took us for the leader after now.
    pub(super) fn begin_round(&mut self) {
        let commit = self.log.commit_index();
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        leader.round += 1;
        let round = leader.round;
        leader.rounds.push_back((round, self.now));
        // No lease outlives an election timeout, so older rounds say nothing.
        let patience = self.config.election_timeout_max;
        while leader
            .rounds
            .front()
            .is_some_and(|&(_, at)| self.now.since(at) > patience)
        {
            leader.rounds.pop_front();
        }
        let mut targets = Vec::new();
        for progress in leader.followers.iter_mut() {
            progress.tells_commit(commit);
            targets.push((progress.replica, progress.session));
        }
        for (replica, session) in targets {
            self.send(
                replica,
                Message::Heartbeat(Heartbeat {
                    session,
                    round,
                    commit,
                }),
            );
        }
        self.confirm_reads();
    }

    /// Takes in the term of a follower's answer. Answers whether it is about this leadership.
    fn is_answer_to_us(&mut self, envelope: &Envelope) -> bool {
        if envelope.term > self.hard_state.current_term {
            self.become_follower(envelope.term, StepDownReason::HigherTerm);
        }
        envelope.term == self.hard_state.current_term && matches!(self.role, Role::Leader(_))
    }

    pub(super) fn on_append_reply(&mut self, envelope: &Envelope, body: AppendReply) {
        if !self.is_answer_to_us(envelope) {
            return;
        }
        let now = self.now;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(progress) = leader.followers.in_session(envelope.from, body.session) else {
            return;
        };
        progress.heard(now);
        match body.result {
            AppendResult::Accepted { received, durable } => {
                if !self.log.may_agree(received)
                    || !self.log.may_agree(durable)
                    || durable > received
                {
                    return self.drop_message(envelope.from, "acknowledges entries we do not have");
                }
                let rises = progress.accepted(received.index, durable.index, now);
                progress.begin_replicating();
                let waits_for_snapshot = matches!(progress.state, ProgressState::Snapshot { .. });
                if waits_for_snapshot {
                    self.reconnects(envelope.from.node, received);
                }
                // Copies of what is committed change nothing.
                if rises && durable.index > self.log.commit_index() {
                    self.advance_commit();
                }
            }
            AppendResult::Rejected { previous, hint } => {
                if progress.is_current_rejection(previous) {
                    let below = hint.index.min(previous.previous().unwrap_or_default());
                    if below < self.log.purged().index {
                        progress.begin_snapshot();
                    } else {
                        let agree = self.log.highest_at_most(below, hint.term);
                        progress.begin_probing(agree.index.next());
                    }
                }
            }
        }
    }

    pub(super) fn on_heartbeat_reply(&mut self, envelope: &Envelope, body: HeartbeatReply) {
        if self.is_from_later_life(envelope.from) || !self.is_answer_to_us(envelope) {
            return;
        }
        let (now, patience) = (self.now, self.config.election_timeout_min);
        let promise = self.config.lease_by(body.promise);
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if body.round > leader.round {
            return self.drop_message(envelope.from, "answers a round that has not begun");
        }
        let Some(progress) = leader.followers.in_session(envelope.from, body.session) else {
            return;
        };
        progress.heard(now);
        if body.round > progress.acked_round {
            progress.acked_round = body.round;
            let begun = leader.rounds.iter().find(|(round, _)| *round == body.round);
            if let Some(&(_, at)) = begun {
                progress.promised_until = at + promise;
            }
        }
        let (received, durable) = (body.received, body.durable);
        if !self.log.may_agree(received) || !self.log.may_agree(durable) || durable > received {
            return self.drop_message(envelope.from, "acknowledges entries we do not have");
        }
        let rises = progress.accepted(received.index, durable.index, now);
        let forgot_agreement =
            received.index < progress.match_index && progress.state == ProgressState::Replicate;
        if forgot_agreement || progress.lost_append(received.index, now, patience) {
            progress.begin_probing(received.index.next());
        }
        self.reconnects(envelope.from.node, received);
        if rises {
            self.advance_commit();
        }
        self.confirm_reads();
    }

    /// Raises `commit_index` to the highest index that a quorum holds durably.
    /// Our own copy counts like any other: when it is durable, no earlier.
    pub(super) fn advance_commit(&mut self) {
        let Role::Leader(leader) = &self.role else {
            return;
        };
        let (own, durable) = (self.config.replica.node, self.sound_index());
        let held = reached_by_quorum(self.log.membership(), |node| match node == own {
            true => durable,
            false => leader
                .followers
                .get(node)
                .map_or(LogIndex::ZERO, |p| p.match_index),
        });
        let Some(held) = held else { return };
        assert!(
            held <= self.log.last().index,
            "quorum acknowledged {held}, beyond our log"
        );

        // Raft §5.4.2: only an entry of our own term commits by counting copies.
        // Older entries commit with it, because they lie below it.
        if self.log.term_at(held) == Some(self.hard_state.current_term) && self.log.set_commit(held)
        {
            self.on_commit_advanced();
        }
    }

    pub(super) fn on_commit_advanced(&mut self) {
        self.forget_finished();
        self.confirm_reads();
        self.on_membership_committed();
    }

    /// What is committed and durable here needs no room any more. A quorum can
    /// commit while our own disk hangs, and what waits for the disk is in memory.
    pub(super) fn forget_finished(&mut self) {
        let finished = self.log.commit_index().min(self.log.durable_index());
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        while let Some(&(index, size)) = leader.unfinished.front() {
            if index > finished {
                return;
            }
            leader.unfinished.pop_front();
            leader.unfinished_bytes -= size;
        }
    }

    /// Tells followers whose clients wait that what they forwarded is committed.
    /// All others learn it with the next append or heartbeat.
    pub(super) fn tell_commit_to_forwarders(&mut self) {
        let commit = self.log.commit_index();
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let mut told = Vec::new();
        for progress in leader.followers.iter_mut() {
            let news = commit.min(progress.match_index);
            if progress.commit_told < progress.forwarded_up_to && progress.commit_told < news {
                progress.commit_told = news;
                told.push((progress.replica, news));
            }
        }
        for (replica, commit) in told {
            self.send(replica, Message::Commit(Commit { commit }));
        }
    }

    /// A leader that has not heard a quorum for the longest election timeout
    /// steps down: somebody else may be able to lead (Thesis §6.2).
    ///
    /// Times of contact only rise, so a deadline found once need not be looked at
    /// before it has come.
    pub(super) fn check_quorum(&mut self) {
        match &self.role {
            Role::Leader(leader) if self.now >= leader.quorum_check_at => {}
            _ => return,
        }
        match (self.quorum_deadline(), &mut self.role) {
            (Some(deadline), Role::Leader(leader)) if self.now < deadline => {
                leader.quorum_check_at = deadline;
            }
            _ => self.become_follower(self.hard_state.current_term, StepDownReason::QuorumLost),
        }
    }

    /// When the leadership ends unless a quorum is heard; nothing for others.
    fn quorum_deadline(&self) -> Option<Timestamp> {
        let Role::Leader(leader) = &self.role else {
            return None;
        };
        let own = self.config.replica.node;
        let contact = |node: NodeId| match leader.followers.get(node) {
            Some(progress) => progress.last_contact,
            None if node == own => self.now,
            None => Timestamp::ZERO,
        };
        let heard = reached_by_quorum(self.log.membership(), contact)?;
        Some(heard + self.config.election_timeout_max)
    }
}
