//! The follower's side of replication: consistency check, conflict hint,
//! acknowledgement (Raft §5.3).

use std::time::Duration;

use super::Raft;
use super::event::{Event, StepDownReason};
use super::role::Role;
use crate::entry::{Entry, LogSlice};
use crate::message::{
    AppendEntries, AppendReply, AppendResult, Commit, Envelope, Heartbeat, HeartbeatReply, Message,
};
use crate::types::{LogId, LogIndex, ReplicaId, Term};

/// No leader gives this number to a session.
const NO_SESSION: u64 = 0;

impl Raft {
    /// Recognises the sender as the leader of its term. Answers whether it is;
    /// a deposed one gets to know our term from any answer.
    pub(super) fn hear_leader(&mut self, from: ReplicaId, term: Term) -> bool {
        if term > self.hard_state.current_term {
            self.become_follower(term, StepDownReason::HigherTerm);
        }
        if !self.follow(from) {
            self.drop_message(from, "a term cannot have two leaders");
            return false;
        }
        self.stop_outdated_install(term);
        self.leader_contact = Some(self.now);
        self.idle_elections = 0;
        self.reset_election_timer();
        true
    }

    pub(super) fn on_append_entries(&mut self, envelope: &Envelope, body: AppendEntries) {
        let (from, session, previous) = (envelope.from, body.session, body.previous);
        if envelope.term < self.hard_state.current_term {
            return self.reject_append(from, previous.index);
        }
        let follows = body.entries.first().is_none_or(|first| {
            previous.index.get().checked_add(1) == Some(first.index.get())
                && first.term >= previous.term
        });
        if !follows
            || body
                .entries
                .last()
                .is_some_and(|last| last.term > envelope.term)
        {
            return self.drop_message(from, "an append that does not follow its predecessor");
        }
        if !self.hear_leader(from, envelope.term) {
            return;
        }
        let below_purged = previous.index < self.log.purged().index;
        if !below_purged && !self.log.contains(previous) {
            return self.reject_append_with_hint(from, session, previous);
        }
        let agreed = body
            .entries
            .last()
            .unwrap_or(previous)
            .index
            .max(self.log.purged().index);
        if !self.append_new(from, &body.entries) {
            return;
        }
        self.acknowledge_when_durable(from, session, agreed, body.commit);
    }

    /// Appends what the log lacks and cuts what contradicts (Raft figure 2,
    /// AppendEntries 3 and 4). Answers false, changing nothing, if committed
    /// entries are contradicted: no leader does that.
    fn append_new(&mut self, from: ReplicaId, entries: &LogSlice) -> bool {
        let purged = self.log.purged();
        let known =
            |entry: &Entry| entry.index() <= purged.index || self.log.contains(entry.log_id);
        let is_other_past =
            |entry: &Entry| entry.index() == purged.index && entry.term() != purged.term;
        if entries.entries().iter().any(is_other_past) {
            self.drop_message(from, "an append that contradicts purged entries");
            return false;
        }
        let Some(skip) = entries.entries().iter().position(|entry| !known(entry)) else {
            return true;
        };
        let first = entries.entries()[skip].index();
        if first <= self.log.last().index {
            if first <= self.log.commit_index() {
                self.drop_message(from, "an append that contradicts committed entries");
                return false;
            }
            let verified = match &self.role {
                Role::Follower(follower) => follower.verified,
                _ => LogIndex::ZERO,
            };
            if first <= verified {
                self.drop_message(from, "an append that contradicts an earlier one");
                return false;
            }
            self.emit(Event::Truncated {
                from: first,
                old_last: self.log.last(),
            });
            self.log.truncate_from(first);
            self.stage_truncation(first);
        }
        self.log.append_run(entries.cut(skip, entries.len()));
        self.stage_entries_from(first);
        true
    }

    fn acknowledge_when_durable(
        &mut self,
        from: ReplicaId,
        session: u64,
        agreed: LogIndex,
        commit: LogIndex,
    ) {
        let Role::Follower(follower) = &mut self.role else {
            return;
        };
        follower.session = session;
        follower.verified = follower.verified.max(agreed);
        follower.owes_ack = true;
        let verified = follower.verified;
        let all_durable = verified <= self.sound_index();
        self.observe_commit(commit);
        if all_durable {
            self.acknowledge_appends(from);
        }
    }

    /// Entries became durable: tells the leader, if it waits for that.
    pub(super) fn on_entries_durable(&mut self) {
        match (&self.role, self.leader()) {
            (Role::Follower(follower), Some(leader)) if follower.owes_ack => {
                self.acknowledge_appends(leader);
            }
            _ => {}
        }
    }

    fn acknowledge_appends(&mut self, leader: ReplicaId) {
        let (received, durable) = self.agreement();
        let Role::Follower(follower) = &mut self.role else {
            return;
        };
        follower.owes_ack = durable != received;
        let session = follower.session;
        let result = AppendResult::Accepted { received, durable };
        self.send(
            leader,
            Message::AppendReply(AppendReply { session, result }),
        );
    }

    /// How far our log agrees with the leader's: in memory, and durably.
    fn agreement(&self) -> (LogId, LogId) {
        let verified = match &self.role {
            Role::Follower(follower) => follower.verified,
            _ => LogIndex::ZERO,
        };
        let id_at = |index| self.log.id_at(index).unwrap_or(LogId::ZERO);
        // What follows damage that is not applied yet is of no use before that is mended.
        let received = verified.min(self.unbroken_index());
        (id_at(received), id_at(received.min(self.sound_index())))
    }

    fn reject_append_with_hint(&mut self, from: ReplicaId, session: u64, previous: LogId) {
        // Entries above the leader's term at that place cannot be the leader's.
        let hint = self.log.highest_at_most(previous.index, previous.term);
        let result = AppendResult::Rejected {
            previous: previous.index,
            hint,
        };
        self.send(from, Message::AppendReply(AppendReply { session, result }));
    }

    /// Answers a deposed leader; what counts is the term in the envelope. The
    /// session it asked in is not named: sessions count anew in each leadership,
    /// and it may lead our term by the time it hears this.
    fn reject_append(&mut self, from: ReplicaId, previous: LogIndex) {
        let session = NO_SESSION;
        let result = AppendResult::Rejected {
            previous,
            hint: self.log.last(),
        };
        self.send(from, Message::AppendReply(AppendReply { session, result }));
    }

    pub(super) fn on_heartbeat(&mut self, envelope: &Envelope, body: Heartbeat) {
        let is_current = envelope.term >= self.hard_state.current_term;
        if is_current {
            if !self.hear_leader(envelope.from, envelope.term) {
                return;
            }
            if let Role::Follower(follower) = &mut self.role {
                follower.session = body.session;
                follower.latest_round = follower.latest_round.max(Some(body.round));
            }
            self.observe_commit(body.commit);
        }
        let reply = if is_current {
            let (received, durable) = self.agreement();
            HeartbeatReply {
                session: body.session,
                round: body.round,
                received,
                durable,
                promise: self.config.election_timeout_min,
            }
        } else {
            // Names no session, for the reason that `reject_append` gives.
            HeartbeatReply {
                session: NO_SESSION,
                round: 0,
                received: LogId::ZERO,
                durable: LogId::ZERO,
                promise: Duration::ZERO,
            }
        };
        self.send(envelope.from, Message::HeartbeatReply(reply));
    }

    pub(super) fn on_commit(&mut self, envelope: &Envelope, body: Commit) {
        if envelope.term == self.hard_state.current_term && self.leader() == Some(envelope.from) {
            self.observe_commit(body.commit);
        }
    }

    /// The leader's commit index holds for what our log shares with its log
    /// (Raft figure 2, AppendEntries 5).
    pub(super) fn observe_commit(&mut self, leader_commit: LogIndex) {
        if let Role::Follower(follower) = &self.role {
            let commit = leader_commit.min(follower.verified);
            self.log.set_commit(commit.min(self.snapshot_allows()));
        }
    }
}
