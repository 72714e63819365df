//! Looks at a replica after each step and asks the checkers.

use super::checker::leader_completeness::Survivor;
use super::checker::{
    Check, Seen, append_only, bounds, corruption, durable_quorum, leader_completeness,
    membership_safety, watermarks,
};
use super::effects::voter;
use super::world::World;
use crate::entry::Payload;
use crate::membership::Membership;
use crate::protocol::Status;
use crate::types::{LogIndex, NodeId};

impl World {
    /// Checks how the node shows itself after a step.
    pub(crate) fn observe(&mut self, place: usize) -> Check {
        let node = &mut self.nodes[place];
        let Some(raft) = &node.raft else {
            return Ok(());
        };
        let status = raft.status();
        let after = Seen::of(&status, node.log.digest());
        let before = node.seen.replace(after);
        self.trace.note(&[
            after.term().get(),
            after.commit_index.get(),
            after.log_digest,
            after.role as u64,
        ]);
        let uncommitted = match after.leads() {
            true => node.log.after(status.commit_index),
            false => &[],
        };
        bounds::keeps(raft.config(), &status, uncommitted)?;
        if after.leads() {
            self.check_followers(place, &status)?;
        }
        if before == Some(after) {
            return Ok(());
        }
        let node = &self.nodes[place];
        let damaged = &node.disk.damaged;
        self.checkers.corruption.remains(node.replica, damaged);
        let state = node.machine.durable.applied();
        watermarks::step(before.as_ref(), &after, state, &node.disk.log, &node.log)?;
        if let Some(before) = &before {
            append_only::step(before, &after, &node.log)?;
        }
        if let Some(before) = before.filter(|before| before.hard_state != after.hard_state) {
            self.check_vote(&before, &after)?;
        }
        if before.is_none_or(|before| before.commit_index < after.commit_index) {
            self.check_commit(place, before.as_ref(), after)?;
        }
        if after.leads()
            && before.is_none_or(|before| !before.leads() || before.term() != after.term())
        {
            self.check_new_leader(place, &status)?;
        }
        let changed = before.is_none_or(|before| {
            before.membership_index != after.membership_index
                || before.last_log.index > after.last_log.index
        });
        match changed {
            true => self.check_membership(place, &status),
            false => Ok(()),
        }
    }

    /// What a leader believes of its followers must be so.
    fn check_followers(&mut self, place: usize, status: &Status) -> Check {
        let (leader, term) = (status.replica, status.term());
        for follower in &status.followers {
            let other = &self.nodes[self.place(follower.replica.node)];
            let log = &self.nodes[place].log;
            // Another life lost what this one held; a later term may have cut it.
            let is_moot =
                other.replica != follower.replica || other.disk.hard_state.current_term > term;
            let holds = |index: LogIndex| {
                let agrees = other.disk.log.digest_at(index) == log.digest_at(index);
                is_moot || agrees || other.machine.durable.applied() >= index
            };
            let replication = &mut self.checkers.replication;
            replication.shows(leader, term, follower, holds)?;
            if !status.membership.contains(follower.replica) {
                replication.departed(leader, follower.replica);
            }
        }
        Ok(())
    }

    /// The membership in force is what the log says, and at most one change is open.
    fn check_membership(&mut self, place: usize, status: &Status) -> Check {
        let node = &self.nodes[place];
        let logged = node.logged_membership();
        // Who joins later learns of the founders with a snapshot only.
        let knows_founders = node.machine.state.origin.is_some();
        let first = match knows_founders && status.membership.as_ref() == &self.founders {
            true => &self.founders,
            false => &node.founders,
        };
        let logged = logged.map_or(first, |membership| membership);
        membership_safety::in_force(node.id(), &status.membership, logged)?;
        let committed = self.checkers.committed.last().index;
        membership_safety::changes(node.id(), node.log.membership_positions(), committed)?;
        self.checkers.operations.appended(&status.membership)
    }

    /// A vote was given, perhaps. Where inputs were taken in together, the log may
    /// have changed since.
    fn check_vote(&self, before: &Seen, after: &Seen) -> Check {
        let (voter, term) = (after.replica.node, after.term());
        let candidate = after.hard_state.voted_for.map(|replica| replica.node);
        let is_new = before.term() < term || before.hard_state.voted_for.is_none();
        match candidate.filter(|_| is_new && !self.takes_in_together) {
            Some(candidate) => {
                let candidates = &self.checkers.candidates;
                candidates.votes(voter, after.last_log, term, candidate)
            }
            None => Ok(()),
        }
    }

    fn check_commit(&mut self, place: usize, before: Option<&Seen>, after: Seen) -> Check {
        let (id, commit) = (after.replica.node, after.commit_index);
        let log = &self.nodes[place].log;
        let new = self.checkers.committed.reported(id, commit, log)?;
        let is_news = !new.is_empty();
        self.report.committed += new.len() as u64;
        for entry in new {
            self.checkers.proposals.committed(entry)?;
            if let Payload::Command { request, .. } = &entry.payload {
                self.checkers.register.committed(*request, entry.index());
            }
            if let Payload::Membership(membership) = &entry.payload {
                self.checkers.operations.committed(membership)?;
                let before = entry.index().previous().unwrap_or_default();
                let began = log.membership_before(before);
                if began.is_some_and(|(term, joint)| joint && term != entry.term()) {
                    self.report.mark("another leader left the joint membership");
                }
            }
        }
        if is_news || after.leads() {
            self.check_quorum(place, before, after)?;
        }
        if after.leads() {
            self.check_survival(place, commit)?;
        }
        if after.leads() && after.durable_index < commit {
            self.report.mark("a leader committed before its own disk");
        }
        if is_news {
            self.check_later_leaders()?;
        }
        Ok(())
    }

    /// Commit means durable on quorums of the membership in force. Where inputs were
    /// taken in together, the commit index may have risen before another one came
    /// into force.
    fn check_quorum(&self, place: usize, before: Option<&Seen>, after: Seen) -> Check {
        let node = &self.nodes[place];
        let Some(raft) = &node.raft else {
            return Ok(());
        };
        let latest = self.check_quorum_of(place, after, &raft.status().membership);
        if latest.is_ok() || !self.takes_in_together {
            return latest;
        }
        let first = before.map_or(LogIndex::ZERO, |before| before.membership_index);
        let since = node.log.membership_positions().filter(|at| *at > first);
        let is_right = |at: LogIndex| {
            let membership = node.log.membership_at(at).map_or(&node.founders, |m| m);
            self.check_quorum_of(place, after, membership).is_ok()
        };
        match std::iter::once(first).chain(since).any(is_right) {
            true => Ok(()),
            false => latest,
        }
    }

    fn check_quorum_of(&self, place: usize, after: Seen, membership: &Membership) -> Check {
        let (node, commit) = (&self.nodes[place], after.commit_index);
        let digest = node.log.digest_at(commit);
        let holds = |voter: NodeId| {
            let other = &self.nodes[self.place(voter)];
            let member = membership.replica(voter);
            // What a life had durable stays so after its vote is lost.
            member.is_some_and(|member| other.held(member, commit, digest))
        };
        durable_quorum::commits(node.id(), commit, membership, holds)?;
        let of_others = |voter: NodeId| voter != node.id() && holds(voter);
        let (corruption, applied) = (&self.checkers.corruption, node.machine.state.applied());
        match corruption.in_the_way_of(node.replica, applied, commit) {
            Some(index)
                if durable_quorum::commits(node.id(), commit, membership, of_others).is_err() =>
            {
                Err(corruption::counts(node.id(), commit, index))
            }
            _ => Ok(()),
        }
    }

    /// Nobody that lacks what a leader calls committed could win any more.
    fn check_survival(&self, place: usize, commit: LogIndex) -> Check {
        let leader = &self.nodes[place];
        let digest = leader.log.digest_at(commit);
        let survivors = self.nodes.iter().map(|node| {
            let (log, state) = (&node.disk.log, &node.machine.durable);
            let last = log.last();
            let of_state = state.membership.as_ref();
            let of_log = log.membership_at(last.index);
            let membership = match state.last > last {
                true => of_state.or(of_log),
                false => of_log.or(of_state),
            };
            Survivor {
                replica: node.replica,
                last: last.max(state.last),
                membership: membership.map_or(&node.founders, |known| known),
                holds: node.held(node.replica, commit, digest),
            }
        });
        let survivors: Vec<_> = survivors.collect();
        leader_completeness::stays(leader.id(), commit, &survivors)
    }

    /// A deposed leader may learn late that its entry is committed; who leads a
    /// later term must hold it nevertheless.
    fn check_later_leaders(&self) -> Check {
        for node in self.nodes.iter().filter(|node| node.leads()) {
            if let Some(seen) = node.seen {
                let committed = &self.checkers.committed;
                leader_completeness::leads(node.id(), seen.term(), &node.log, committed)?;
            }
        }
        Ok(())
    }

    fn check_new_leader(&mut self, place: usize, status: &Status) -> Check {
        let (id, term) = (status.replica.node, status.term());
        self.checkers.elections.leads(term, id)?;
        let votes = &self.checkers.votes;
        membership_safety::elected(id, term, &status.membership, |replica| {
            votes.voted(voter(replica), term, id)
        })?;
        let (log, committed) = (&self.nodes[place].log, &self.checkers.committed);
        leader_completeness::leads(id, term, log, committed)
    }
}
