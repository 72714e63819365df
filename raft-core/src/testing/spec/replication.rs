//! How logs grow, and what is committed (Raft §5.3, §5.4.2, §7).

use super::group::{Group, Ruled, require};
use super::log::Item;
use super::membership::{is_quorum, may_follow};
use super::replica::Role;
use crate::types::{LogIndex, ReplicaId};

impl Group {
    /// A leader's log only grows, by entries of its term; the first of them is blank.
    pub(super) fn append(&mut self, id: ReplicaId, items: &[Item]) -> Ruled {
        let replica = self.replicas.get_mut(&id).ok_or("nobody knows it")?;
        let term = replica.term();
        require(replica.role == Role::Leader, || {
            format!("it is a {:?}", replica.role)
        })?;
        let leadership = self.history.leaders.get_mut(&term);
        let leadership = leadership.ok_or_else(|| format!("nobody leads {term}"))?;
        for item in items {
            let index = replica.log.last_index().next();
            require(item.term == term, || {
                format!("the entry at {index} is of {}, it leads {term}", item.term)
            })?;
            require(index > leadership.first || item.is_blank, || {
                format!("its first entry, at {index}, is not blank")
            })?;
            if let Some(next) = &item.membership {
                may_follow(&replica.log, leadership, replica.commit, next)?;
            }
            replica.log.push(item);
            leadership.log.push(item);
        }
        Ok(())
    }

    /// What a follower takes is a run of its leader's log, right after what both share.
    /// It cuts only what contradicts that, and nothing that it knows to be committed.
    pub(super) fn accept(&mut self, id: ReplicaId, cut: Option<LogIndex>, items: &[Item]) -> Ruled {
        let replica = self.replicas.get_mut(&id).ok_or("nobody knows it")?;
        let term = replica.term();
        require(replica.role == Role::Follower, || {
            format!("it is a {:?}", replica.role)
        })?;
        let leadership = self.history.leaders.get(&term);
        let leadership = leadership.ok_or_else(|| format!("nobody leads {term}"))?;
        if let Some(from) = cut {
            require(from > replica.commit, || {
                format!("it cuts from {from}, committed is {}", replica.commit)
            })?;
            require(!replica.log.agrees(&leadership.log, from), || {
                format!("it cuts from {from}, which does not contradict its leader's log")
            })?;
            require(!items.is_empty(), || "it cuts and takes nothing".to_owned())?;
            replica.log.cut(from);
        }
        let previous = replica.log.last_index();
        require(replica.log.agrees(&leadership.log, previous), || {
            format!("up to {previous} its log is not its leader's")
        })?;
        items.iter().for_each(|item| replica.log.push(item));
        let last = replica.log.last();
        require(replica.log.agrees(&leadership.log, last.index), || {
            format!("what it takes up to {last} is not in its leader's log")
        })
    }

    /// Damage that was never committed may go (the argument is in `protocol/absence.rs`).
    pub(super) fn cut_damage(&mut self, id: ReplicaId, from: LogIndex) -> Ruled {
        let committed = self.history.committed.last_index();
        let replica = self.running(id)?;
        require(replica.role == Role::Follower, || {
            format!("it is a {:?}", replica.role)
        })?;
        require(from > committed, || {
            format!("it cuts from {from}, committed is {committed}")
        })?;
        replica.log.cut(from);
        Ok(())
    }

    /// A leader counts copies that are durable, on a quorum of the membership in force,
    /// of an entry of its own term; its own copy counts like any other.
    pub(super) fn commit(&mut self, id: ReplicaId, index: LogIndex) -> Ruled {
        let replica = self.running(id)?;
        let term = replica.term();
        require(replica.role == Role::Leader, || {
            format!("it is a {:?}", replica.role)
        })?;
        require(index > replica.commit, || {
            format!("committed is {} already", replica.commit)
        })?;
        require(replica.log.term_at(index) == Some(term), || {
            format!("the entry at {index} is not of {term}, which it leads")
        })?;
        require(self.is_on_quorum(id, index), || {
            format!("{index} is not durable on a quorum")
        })?;
        let log = &self.replicas[&id].log;
        let history = &mut self.history;
        let known = history.committed.last_index();
        require(log.agrees(&history.committed, known.min(index)), || {
            "its log is not what is committed".to_owned()
        })?;
        // Leader Completeness, of those who led later and before this was known.
        let mut later = history.leaders.range(term.next()..);
        if let Some((term, other)) = later.find(|(_, other)| !other.log.agrees(log, index)) {
            return Err(format!("{} leads {term} without {index}", other.replica));
        }
        if index > known {
            history.committed.extend(log, index);
        }
        history.committed_in.insert(term, index);
        self.running(id)?.commit = index;
        Ok(())
    }

    /// Whether `leader` may know that a quorum holds its log up to `index` durably.
    pub(crate) fn is_on_quorum(&self, leader: ReplicaId, index: LogIndex) -> bool {
        let Some(replica) = self.replicas.get(&leader) else {
            return false;
        };
        let holds = |voter: ReplicaId| match voter == leader {
            true => {
                let is_in_state = replica.disk.state >= index;
                is_in_state || replica.disk.log.agrees(&replica.log, index)
            }
            false => {
                let held = self.history.held.get(&(replica.term(), voter));
                held.is_some_and(|held| *held >= index)
            }
        };
        is_quorum(replica.log.membership().1, holds)
    }

    /// Whoever learns of a commit, by whatever way, has the very entries in its log. A
    /// leader counts copies; others tell it only that they have purged what it asks for.
    pub(super) fn learn_commit(&mut self, id: ReplicaId, index: LogIndex) -> Ruled {
        let history = &self.history;
        let replica = self.replicas.get(&id).ok_or("nobody knows it")?;
        require(index > replica.commit, || {
            format!("it knows of {} already", replica.commit)
        })?;
        require(
            replica.role != Role::Leader || index <= history.purged,
            || "a leader counts copies, nobody tells it".to_owned(),
        )?;
        require(replica.log.agrees(&history.committed, index), || {
            let committed = history.committed.last_index();
            format!("its log up to {index} is not what is committed, up to {committed}")
        })?;
        self.running(id)?.commit = index;
        Ok(())
    }

    /// Only what is committed is applied, in order.
    pub(super) fn apply(&mut self, id: ReplicaId, index: LogIndex) -> Ruled {
        let replica = self.running(id)?;
        let (commit, applied) = (replica.commit, replica.applied);
        require(index > applied && index <= commit, || {
            format!("it has applied up to {applied}, committed is {commit}, and now {index}")
        })?;
        replica.applied = index;
        Ok(())
    }
}
