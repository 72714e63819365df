//! Who campaigns, who votes for whom, and who leads (Raft §5.2, §5.4.1; Thesis §9.6).

use std::time::Duration;

use super::group::{Group, Ruled, require};
use super::history::Leadership;
use super::membership::is_quorum;
use super::replica::{Ballot, Replica, Role};
use crate::time::Timestamp;
use crate::types::{LogId, ReplicaId, Term};

impl Group {
    /// Terms come from campaigns, and are learned from whatever is said. A candidate
    /// that nobody asked to take over is not listened to while a leader is heard
    /// (Thesis §4.2.3).
    pub(super) fn learn_term(
        &mut self,
        id: ReplicaId,
        term: Term,
        asked: Option<(Timestamp, Duration)>,
    ) -> Ruled {
        let highest = self.history.highest_term;
        let replica = self.running(id)?;
        require(term > replica.term(), || {
            format!("it is in {} already", replica.term())
        })?;
        require(term <= highest, || {
            format!("nobody has said {term}, the highest ever said is {highest}")
        })?;
        hears_no_leader(replica, asked)?;
        replica.ballot = Ballot { term, vote: None };
        replica.role = Role::Follower;
        Ok(())
    }

    /// The leader of its term speaks.
    pub(super) fn hear(&mut self, id: ReplicaId, leader: ReplicaId, now: Timestamp) -> Ruled {
        let term = self.running(id)?.term();
        let led_by = self.history.leaders.get(&term).map(|led| led.replica);
        require(led_by == Some(leader), || {
            format!("{term} is led by {led_by:?}, not by {leader}")
        })?;
        let replica = self.running(id)?;
        require(replica.role != Role::Leader, || {
            "a leader hears nobody in its term".to_owned()
        })?;
        replica.role = Role::Follower;
        replica.heard_at = now;
        Ok(())
    }

    /// It asks who would vote for it. That binds nobody.
    pub(super) fn pre_campaign(&mut self, id: ReplicaId) -> Ruled {
        let replica = self.running(id)?;
        require(replica.role != Role::Leader, || "it leads".to_owned())?;
        is_voter(id, replica)?;
        replica.role = Role::PreCandidate;
        Ok(())
    }

    /// The same, and it is in a later term by the end of the step.
    pub(super) fn vote_in_passing(
        &mut self,
        id: ReplicaId,
        (term, candidate): (Term, ReplicaId),
        asked: Option<(Timestamp, Duration)>,
    ) -> Ruled {
        let replica = self.running(id)?;
        hears_no_leader(replica, asked)?;
        let ballot = replica.ballot;
        let is_free = ballot.term < term || (ballot.term == term && ballot.vote.is_none());
        require(is_free, || format!("it is at {ballot:?}"))?;
        let own = replica.log.last();
        let history = &mut self.history;
        let campaign = history.campaigns.get(&(term, candidate));
        let campaign = campaign.filter(|_| history.asked.contains(&(term, candidate)));
        require(campaign.is_some_and(|last_log| *last_log >= own), || {
            format!("{candidate} asked with {campaign:?} in {term}, its own log ends at {own}")
        })?;
        history.given.insert((term, id, candidate));
        Ok(())
    }

    /// Asked whether it would vote, it says what it would do (Thesis §9.6): whoever is
    /// behind, or asks while a leader is heard, disturbs nobody.
    pub(super) fn would_vote(
        &mut self,
        id: ReplicaId,
        (term, candidate): (Term, ReplicaId),
        last_log: LogId,
        asked: (Timestamp, Duration),
    ) -> Ruled {
        let replica = self.running(id)?;
        require(term > replica.term(), || {
            format!("it is in {} already", replica.term())
        })?;
        hears_no_leader(replica, Some(asked))?;
        let own = replica.log.last();
        require(last_log >= own, || {
            format!("the log of {candidate} ends at {last_log}, its own at {own}")
        })?;
        self.history.would_have_voted.insert((term, id, candidate));
        Ok(())
    }

    /// A quorum would vote for it, or the leader wants it to take over.
    pub(super) fn campaign(&mut self, id: ReplicaId) -> Ruled {
        let replica = self.running(id)?;
        is_voter(id, replica)?;
        let (term, role) = (replica.term(), replica.role);
        let (next, last) = (term.next(), replica.log.last());
        let membership = std::sync::Arc::clone(replica.log.membership().1);
        let history = &mut self.history;
        let would = |voter| voter == id || history.would_vote.contains(&(next, voter, id));
        let is_asked = role == Role::PreCandidate && is_quorum(&membership, would);
        let takes_over = history.successors.contains(&(term, id)) && role == Role::Follower;
        require(is_asked || takes_over, || {
            format!(
                "no quorum of {membership} would vote for it in {next}, nor does a leader want it"
            )
        })?;
        history.campaigns.insert((next, id), last);
        history.given.insert((next, id, id));
        let replica = self.running(id)?;
        replica.role = Role::Candidate;
        replica.ballot = Ballot {
            term: next,
            vote: Some(id),
        };
        Ok(())
    }

    /// One vote a term, for a log that is at least as up to date as its own.
    pub(super) fn vote(
        &mut self,
        id: ReplicaId,
        candidate: ReplicaId,
        asked: Option<(Timestamp, Duration)>,
    ) -> Ruled {
        let term = self.running(id)?.term();
        let campaign = self.history.campaigns.get(&(term, candidate)).copied();
        let is_known = self.history.asked.contains(&(term, candidate));
        let replica = self.running(id)?;
        let vote = replica.ballot.vote;
        require(vote.is_none(), || {
            format!("it has voted in {term}, for {vote:?}")
        })?;
        hears_no_leader(replica, asked)?;
        let campaign = campaign.filter(|_| is_known);
        let last_log = campaign.ok_or_else(|| format!("{candidate} did not ask it in {term}"))?;
        let own = replica.log.last();
        require(last_log >= own, || {
            format!("the log of {candidate} ends at {last_log}, its own at {own}")
        })?;
        replica.ballot.vote = Some(candidate);
        self.history.given.insert((term, id, candidate));
        Ok(())
    }

    /// A quorum voted for it, durably, itself included. It holds all that was committed in
    /// earlier terms (Leader Completeness), and nobody else ever led its term (Election
    /// Safety).
    pub(super) fn lead(&mut self, id: ReplicaId) -> Ruled {
        let replica = self.running(id)?;
        let (term, log) = (replica.term(), replica.log.clone());
        require(replica.role == Role::Candidate, || {
            format!("it is a {:?}", replica.role)
        })?;
        let (history, membership) = (&self.history, log.membership().1);
        let voted = |voter: ReplicaId| {
            let is_its = history.votes.get(&(term, voter)) == Some(&id);
            is_its && (voter == id || history.told.contains(&(term, voter)))
        };
        require(is_quorum(membership, voted) && voted(id), || {
            format!("it has not the votes of a quorum of {membership}")
        })?;
        if let Some(other) = history.leaders.get(&term) {
            return Err(format!("{} leads {term}", other.replica));
        }
        // Who wins late may lead an old term, which later ones have left behind.
        let earlier = history.committed_in.range(..term);
        let committed = earlier.map(|(_, index)| *index).max().unwrap_or_default();
        require(log.agrees(&history.committed, committed), || {
            format!("it lacks what is committed up to {committed}")
        })?;
        let leadership = Leadership {
            replica: id,
            first: log.last_index().next(),
            log,
        };
        self.history.leaders.insert(term, leadership);
        self.running(id)?.role = Role::Leader;
        Ok(())
    }

    /// It may follow at any time.
    pub(super) fn step_down(&mut self, id: ReplicaId) -> Ruled {
        self.running(id)?.role = Role::Follower;
        Ok(())
    }
}

/// Learners, and those who are no members, ask nobody for a vote. Who loses its vote by
/// an entry that it does not know to be committed may still be needed (Thesis §4.2.2).
fn is_voter(id: ReplicaId, replica: &Replica) -> Ruled {
    let mut memberships = replica.log.memberships_from(replica.commit);
    require(memberships.any(|membership| membership.votes(id)), || {
        let membership = replica.log.membership().1;
        format!("it has no vote in {membership}, nor in one that may be in force")
    })
}

/// Unless the leader wanted it so, a candidate gets a hearing only from who has heard no
/// leader for its patience; a leader hears itself.
fn hears_no_leader(replica: &Replica, asked: Option<(Timestamp, Duration)>) -> Ruled {
    require(asked.is_none() || replica.role != Role::Leader, || {
        "a leader hears itself, and listens to no candidate".to_owned()
    })?;
    asked.map_or(Ok(()), |(now, patience)| {
        let silence = now.since(replica.heard_at);
        require(silence >= patience, || {
            format!("it heard a leader {silence:?} ago")
        })
    })
}
