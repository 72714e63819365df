//! What a replica may say: what is true, and what its disk would not forget
//! (Raft §5, "before responding to RPCs").

use super::action::Fact;
use super::group::{Group, Ruled, require};
use crate::types::{LogId, LogIndex, ReplicaId, Term};

impl Group {
    /// `id` says `fact` in a message of `term`. The message may have waited for the disk
    /// while its sender moved on.
    pub(super) fn say(&mut self, id: ReplicaId, term: Term, fact: Fact) -> Ruled {
        let durable = self.running(id)?.disk.ballot.term;
        require(term <= durable, || {
            format!("it says {term}, its disk holds {durable}")
        })?;
        match fact {
            Fact::Term => {}
            Fact::Campaigns {
                last_log,
                takes_over,
            } => {
                self.say_takes_over(id, term, takes_over)?;
                self.say_campaigns(id, term, last_log)?;
            }
            Fact::Votes { term, candidate } => self.say_votes(id, term, candidate)?,
            Fact::WouldVote { term, candidate } => self.say_would_vote(id, term, candidate)?,
            Fact::Leads { holds, commit } => self.say_leads(id, term, holds, commit)?,
            Fact::HandsOver { successor } => {
                self.say_leads(id, term, LogId::ZERO, LogIndex::ZERO)?;
                self.history.successors.insert((term, successor));
            }
            Fact::Holds { up_to } => self.say_holds(id, term, up_to)?,
            Fact::Purged { up_to } => self.say_purged(id, up_to)?,
        }
        let highest = &mut self.history.highest_term;
        *highest = term.max(*highest);
        Ok(())
    }

    fn say_campaigns(&mut self, id: ReplicaId, term: Term, last_log: LogId) -> Ruled {
        self.has_voted(id, term, id)?;
        let campaign = self.history.campaigns.get(&(term, id));
        require(campaign == Some(&last_log), || {
            format!("it campaigned in {term} with {campaign:?}, not with {last_log}")
        })?;
        self.history.asked.insert((term, id));
        Ok(())
    }

    /// Only whom the leader of the term before asked may call itself asked.
    fn say_takes_over(&self, id: ReplicaId, term: Term, takes_over: bool) -> Ruled {
        let before = Term::new(term.get().saturating_sub(1));
        let is_asked = self.history.successors.contains(&(before, id));
        require(!takes_over || is_asked, || {
            format!("no leader of {before} asked it to take over")
        })
    }

    /// It would when it was asked: that answer may have waited for the disk.
    fn say_would_vote(&mut self, id: ReplicaId, term: Term, candidate: ReplicaId) -> Ruled {
        let answer = (term, id, candidate);
        require(self.history.would_have_voted.contains(&answer), || {
            format!("it would not have voted for {candidate} in {term} when it was asked")
        })?;
        self.history.would_vote.insert(answer);
        Ok(())
    }

    fn say_votes(&mut self, id: ReplicaId, term: Term, candidate: ReplicaId) -> Ruled {
        self.has_voted(id, term, candidate)?;
        self.history.told.insert((term, id));
        Ok(())
    }

    /// A vote that is said was given, and is durable, or its term is left behind, durably:
    /// either way nobody else gets it.
    fn has_voted(&mut self, id: ReplicaId, term: Term, candidate: ReplicaId) -> Ruled {
        let was_given = self.history.given.contains(&(term, id, candidate));
        require(was_given, || {
            format!("it did not vote for {candidate} in {term}")
        })?;
        let durable = self.replicas[&id].disk.ballot.term;
        let votes = &mut self.history.votes;
        if durable > term {
            votes.entry((term, id)).or_insert(candidate);
        }
        let voted = votes.get(&(term, id));
        require(voted == Some(&candidate), || {
            format!("its vote for {candidate} in {term} is not durable: there is {voted:?}")
        })
    }

    fn say_leads(&self, id: ReplicaId, term: Term, holds: LogId, commit: LogIndex) -> Ruled {
        let history = &self.history;
        let leadership = history.leaders.get(&term);
        let leadership = leadership.filter(|led| led.replica == id);
        let leadership = leadership.ok_or_else(|| format!("it did not lead {term}"))?;
        require(leadership.log.contains(holds), || {
            format!("its log did not hold {holds}")
        })?;
        let known = self.replicas[&id].commit;
        require(commit <= known, || {
            format!("it calls {commit} committed, and knows {known} to be")
        })
    }

    /// Only what is committed is purged, and whoever hears of it may know.
    fn say_purged(&mut self, id: ReplicaId, up_to: LogId) -> Ruled {
        let replica = &self.replicas[&id];
        require(up_to.index <= replica.commit, || {
            format!(
                "it calls {up_to} purged, and knows {} to be committed",
                replica.commit
            )
        })?;
        require(self.history.committed.contains(up_to), || {
            format!("it calls {up_to} purged, which is not committed")
        })?;
        let purged = &mut self.history.purged;
        *purged = up_to.index.max(*purged);
        Ok(())
    }

    /// It tells the leader of `term` what of its log is durable here.
    fn say_holds(&mut self, id: ReplicaId, term: Term, up_to: LogId) -> Ruled {
        if up_to == LogId::ZERO {
            return Ok(());
        }
        let history = &self.history;
        let replica = &self.replicas[&id];
        let disk = &replica.disk;
        let is_in_state = up_to.index <= disk.state && history.committed.contains(up_to);
        let was_durable = disk.ballot.term > term && disk.ever.contains(&up_to);
        require(
            is_in_state || was_durable || disk.log.contains(up_to),
            || {
                format!(
                    "{up_to} is not durable, the disk ends at {}",
                    disk.log.last()
                )
            },
        )?;
        let leadership = history.leaders.get(&term);
        let leadership = leadership.ok_or_else(|| format!("nobody leads {term}"))?;
        require(leadership.log.contains(up_to), || {
            format!(
                "the log of {}, which leads {term}, has no {up_to}",
                leadership.replica
            )
        })?;
        let held = self.history.held.entry((term, id)).or_default();
        *held = up_to.index.max(*held);
        Ok(())
    }
}
