//! What becomes durable when, what a crash leaves, and what a start begins from.

use std::sync::Arc;

use super::group::{Group, Ruled, require};
use super::log::Log;
use super::replica::{Asked, Ballot, Replica, Role, Write};
use crate::membership::Membership;
use crate::time::Timestamp;
use crate::types::{LogIndex, ReplicaId};

impl Group {
    /// A new replica, which does not run yet. Who is no founder knows no membership.
    pub(super) fn join(&mut self, id: ReplicaId, founders: &Arc<Membership>) -> Ruled {
        require(!self.replicas.contains_key(&id), || {
            "it is there already".to_owned()
        })?;
        for (other, replica) in &mut self.replicas {
            replica.has_ended |= other.node == id.node;
        }
        let log = Log::founded_by(Arc::clone(founders));
        let mut replica = Replica::default();
        (replica.disk.log, replica.log) = (log.clone(), log);
        self.replicas.insert(id, replica);
        Ok(())
    }

    /// Who lost its vote never votes again: its node goes on as another replica, with
    /// the same log, in the last term that shows in it.
    pub(super) fn next_life(&mut self, id: ReplicaId, next: ReplicaId) -> Ruled {
        require(next.node == id.node && next > id, || {
            format!("{next} is no later life of it")
        })?;
        let committed = &self.history.committed;
        let replica = self.replicas.get(&id).ok_or("nobody knows it")?;
        require(replica.role == Role::Down, || "it runs".to_owned())?;
        let (disk, applied) = (&replica.disk, replica.disk.state);
        let of_state = committed.term_at(applied).unwrap_or_default();
        let mut disk = disk.clone();
        disk.ballot = Ballot {
            term: disk.log.last().term.max(of_state),
            vote: None,
        };
        let life = Replica {
            disk,
            ..Replica::default()
        };
        self.known(id)?.has_ended = true;
        self.replicas.insert(next, life);
        Ok(())
    }

    /// It starts as a follower, from its disk alone. If its state machine took a snapshot
    /// in and the log did not follow, it does now. A leader may have been heard right
    /// before it stopped.
    pub(super) fn start(&mut self, id: ReplicaId, now: Timestamp) -> Ruled {
        let committed = self.history.committed.clone();
        let replica = self.known(id)?;
        require(replica.role == Role::Down, || "it runs".to_owned())?;
        let Replica { disk, .. } = replica;
        if !disk.log.agrees(&committed, disk.state) {
            disk.log = committed.prefix(disk.state);
        }
        let asked = Asked {
            ballot: disk.ballot,
            last: disk.log.last(),
        };
        require(asked.last.term <= disk.ballot.term, || {
            format!(
                "its log ends at {}, its term is {}",
                asked.last, disk.ballot.term
            )
        })?;
        *replica = Replica {
            role: Role::Follower,
            ballot: disk.ballot,
            log: disk.log.clone(),
            commit: disk.state,
            applied: disk.state,
            heard_at: now,
            disk: std::mem::take(disk),
            asked,
            ..Replica::default()
        };
        Ok(())
    }

    /// It stops, and its disk keeps some beginning of what it was asked for.
    pub(super) fn crash(&mut self, id: ReplicaId, kept: usize, and_ballot: bool) -> Ruled {
        self.done(id, kept)?;
        let replica = self.running(id)?;
        if let Some(write) = replica.writes.front().cloned().filter(|_| and_ballot) {
            self.save_ballot(id, &write)?;
        }
        let replica = self.running(id)?;
        let disk = std::mem::take(&mut replica.disk);
        *replica = Replica {
            disk,
            ..Replica::default()
        };
        Ok(())
    }

    /// Every change of term, vote and log is asked of the disk in the step that makes it.
    pub(super) fn ask(&mut self, id: ReplicaId, write: &Write) -> Ruled {
        let replica = self.running(id)?;
        let asked = &mut replica.asked;
        if let Some(ballot) = write.ballot {
            require(ballot == replica.ballot, || {
                format!("it acts by {:?} and asks for {ballot:?}", replica.ballot)
            })?;
            asked.ballot = ballot;
        }
        let end = match (&write.reset, write.cut) {
            (Some(log), _) => log.last_index(),
            (None, Some(cut)) => cut.previous().unwrap_or_default(),
            (None, None) => asked.last.index,
        };
        let last = end.plus(write.items.len() as u64);
        let term = replica.log.term_at(last);
        let term = term.ok_or_else(|| format!("its log does not reach {last}"))?;
        asked.last = crate::types::LogId { term, index: last };
        replica.writes.push_back(write.clone());
        Ok(())
    }

    /// At the end of a step: whether all that changed was asked for.
    pub(crate) fn has_asked_for_all(&self, id: ReplicaId) -> bool {
        self.replicas.get(&id).is_none_or(|replica| {
            let Asked { ballot, last } = replica.asked;
            ballot == replica.ballot && last == replica.log.last()
        })
    }

    /// The disk did the oldest writes, in order.
    pub(super) fn done(&mut self, id: ReplicaId, writes: usize) -> Ruled {
        for _ in 0..writes {
            let write = self.running(id)?.writes.pop_front();
            let write = write.ok_or("more writes are done than were asked for")?;
            self.save_ballot(id, &write)?;
            self.running(id)?.disk.save_log(&write);
        }
        Ok(())
    }

    /// A durable term never falls, and a durable vote changes with the term only.
    fn save_ballot(&mut self, id: ReplicaId, write: &Write) -> Ruled {
        let disk = &mut self.running(id)?.disk;
        let old = disk.ballot;
        disk.save_ballot(write);
        let new = disk.ballot;
        require(new.term >= old.term, || {
            format!("{new:?} follows {old:?} on its disk")
        })?;
        if let Some(candidate) = new.vote {
            let votes = &mut self.history.votes;
            let first = *votes.entry((new.term, id)).or_insert(candidate);
            require(first == candidate, || {
                format!("in {} it voted for {first} and for {candidate}", new.term)
            })?;
        }
        Ok(())
    }

    /// The state machine takes over what a snapshot holds, durably. It never goes back.
    pub(super) fn restore(&mut self, id: ReplicaId, at: LogIndex) -> Ruled {
        let committed = self.history.committed.last_index();
        let replica = self.running(id)?;
        require(at <= committed, || {
            format!("the snapshot ends at {at}, committed is {committed}")
        })?;
        require(at >= replica.applied, || {
            format!(
                "the snapshot ends at {at}, it has applied {}",
                replica.applied
            )
        })?;
        (replica.applied, replica.disk.state) = (at, at);
        Ok(())
    }

    /// After a restore the log follows: whoever holds the snapshot's last entry keeps
    /// its log (Raft §7).
    pub(super) fn install(&mut self, id: ReplicaId, at: LogIndex, resets: bool) -> Ruled {
        let snapshot = self.history.committed.prefix(at);
        let replica = self.running(id)?;
        require(replica.disk.state >= at, || {
            format!("its state is that of {}", replica.disk.state)
        })?;
        let holds = replica.log.agrees(&snapshot, at);
        require(holds != resets, || {
            format!("its log holds the entry at {at}: {holds}, and is replaced: {resets}")
        })?;
        if resets {
            replica.log = snapshot;
        }
        replica.commit = replica.commit.max(at);
        Ok(())
    }

    /// What the state machine calls durable it has applied.
    pub(super) fn state_durable(&mut self, id: ReplicaId, index: LogIndex) -> Ruled {
        let replica = self.running(id)?;
        let applied = replica.applied;
        require(index <= applied, || {
            format!("it calls {index} durable and has applied {applied}")
        })?;
        replica.disk.state = replica.disk.state.max(index);
        Ok(())
    }
}
