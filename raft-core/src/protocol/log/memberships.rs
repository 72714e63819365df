//! The memberships in the log, so that a truncated one is rolled back (Raft §6).

use std::sync::Arc;

use crate::error::RestoreError;
use crate::membership::Membership;
use crate::protocol::restore::Restored;
use crate::types::{LogIndex, ReplicaId};

/// The memberships by the index of their entry, oldest first; the first is the
/// one in force before the log.
#[derive(Clone, Debug)]
pub(crate) struct Memberships {
    history: Vec<(LogIndex, Arc<Membership>)>,
}

impl Memberships {
    pub(crate) fn restore(restored: &Restored) -> Result<Self, RestoreError> {
        let last = restored
            .entries
            .last()
            .map_or(restored.purged, |meta| meta.log_id)
            .index;
        let mut history = vec![(restored.purged.index, Arc::clone(&restored.membership))];
        for (index, membership) in &restored.membership_entries {
            let before = history.last().map_or(LogIndex::ZERO, |(i, _)| *i);
            if *index <= before || *index > last {
                let what = format!("membership at {index}, outside {before} to {last}");
                return Err(RestoreError::BrokenLog { what });
            }
            history.push((*index, Arc::clone(membership)));
        }
        Ok(Self { history })
    }

    pub(crate) fn append(&mut self, index: LogIndex, membership: Arc<Membership>) {
        self.history.push((index, membership));
    }

    pub(crate) fn truncate_from(&mut self, index: LogIndex) {
        while self.history.len() > 1 && self.history.last().is_some_and(|(i, _)| *i >= index) {
            self.history.pop();
        }
    }

    /// Forgets those that a later one replaced at or below `index`.
    pub(crate) fn purge_to(&mut self, index: LogIndex) {
        let in_force = self.history.partition_point(|(i, _)| *i <= index);
        self.history.drain(..in_force.saturating_sub(1));
    }

    /// Starts anew at a snapshot.
    pub(crate) fn reset(&mut self, index: LogIndex, membership: Arc<Membership>) {
        self.history = vec![(index, membership)];
    }

    /// The membership in force at `index`; below the log's start, the one there.
    pub(crate) fn at(&self, index: LogIndex) -> &Arc<Membership> {
        let in_force = self.history.partition_point(|(i, _)| *i <= index);
        &self.history[in_force.saturating_sub(1)].1
    }

    /// Whether `replica` votes in the membership in force, or in one that still
    /// may be, because what follows is not known to be committed at `commit`.
    pub(crate) fn may_need_vote_of(&self, replica: ReplicaId, commit: LogIndex) -> bool {
        let in_force = self.history.partition_point(|(i, _)| *i <= commit);
        let open = &self.history[in_force.saturating_sub(1)..];
        open.iter().any(|(_, membership)| membership.votes(replica))
    }

    /// The membership in force, with the index of its entry.
    pub(crate) fn current(&self) -> (LogIndex, &Arc<Membership>) {
        let (index, membership) = self.history.last().expect("the first one is never removed");
        (*index, membership)
    }
}
