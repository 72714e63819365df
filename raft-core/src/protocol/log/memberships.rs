//! The memberships in the log, so that a truncated one is rolled back (Raft §6).
//!
//! After a start one may be missing: its entry is damaged and not applied yet.
//! The one before it stands in for it until a peer's copy or a snapshot says what
//! it was; who does not know the membership in force must not lead meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::entry::{EntryKind, EntryMeta};
use crate::error::RestoreError;
use crate::membership::Membership;
use crate::protocol::restore::Restored;
use crate::types::{LogIndex, ReplicaId};

/// The memberships by the index of their entry, oldest first; the first is the
/// one in force before the log.
#[derive(Clone, Debug)]
pub(crate) struct Memberships {
    history: Vec<(LogIndex, Arc<Membership>)>,
    /// Entries that brought a membership, and cannot be read.
    missing: BTreeSet<LogIndex>,
    /// Those of them that are known not to be in force any more: a later one is, which
    /// is committed.
    passed: BTreeSet<LogIndex>,
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
        let missing = missing_in(restored)?;
        let passed = BTreeSet::new();
        Ok(Self {
            history,
            missing,
            passed,
        })
    }

    /// Whether it is known what every entry brought that may be in force.
    pub(crate) fn are_known(&self) -> bool {
        self.missing.is_empty()
    }

    /// A peer's copy says what the damaged entry at `index` brought. It is in force
    /// from now on, unless a later one is.
    pub(crate) fn learn(&mut self, index: LogIndex, membership: &Membership) {
        if self.missing.remove(&index) || self.passed.remove(&index) {
            self.insert(index, Arc::new(membership.clone()));
        }
    }

    /// A snapshot, or who has purged the log so far, says what is in force at
    /// `index`. Answers whether that was not known.
    pub(crate) fn learn_up_to(&mut self, index: LogIndex, membership: &Arc<Membership>) -> bool {
        let later = self.missing.split_off(&index.next());
        let mut passed = std::mem::replace(&mut self.missing, later);
        let is_news = !passed.is_empty();
        let in_force = self.history.partition_point(|(i, _)| *i <= index);
        let known = self.history[in_force.saturating_sub(1)].0;
        if let Some(&last) = passed.last()
            && last > known
        {
            passed.remove(&last);
            self.insert(last, Arc::clone(membership));
        }
        self.passed.append(&mut passed);
        is_news
    }

    fn insert(&mut self, index: LogIndex, membership: Arc<Membership>) {
        let place = self.history.partition_point(|(i, _)| *i < index);
        self.history.insert(place, (index, membership));
    }

    pub(crate) fn append(&mut self, index: LogIndex, membership: Arc<Membership>) {
        self.history.push((index, membership));
    }

    pub(crate) fn truncate_from(&mut self, index: LogIndex) {
        while self.history.len() > 1 && self.history.last().is_some_and(|(i, _)| *i >= index) {
            self.history.pop();
        }
        drop(self.missing.split_off(&index));
        drop(self.passed.split_off(&index));
    }

    /// Forgets those that a later one replaced at or below `index`.
    pub(crate) fn purge_to(&mut self, index: LogIndex) {
        let in_force = self.history.partition_point(|(i, _)| *i <= index);
        self.history.drain(..in_force.saturating_sub(1));
        self.missing = self.missing.split_off(&index.next());
        self.passed = self.passed.split_off(&index.next());
    }

    /// Starts anew at a snapshot.
    pub(crate) fn reset(&mut self, index: LogIndex, membership: Arc<Membership>) {
        self.history = vec![(index, membership)];
        self.missing.clear();
        self.passed.clear();
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

/// The damaged memberships above what is applied. Below, the state machine knows
/// what they came to.
fn missing_in(restored: &Restored) -> Result<BTreeSet<LogIndex>, RestoreError> {
    let is_open = |meta: &&EntryMeta| {
        meta.kind == EntryKind::Membership && meta.log_id.index > restored.last_applied
    };
    let is_read = |index: &LogIndex| restored.membership_entries.iter().any(|(i, _)| i == index);
    let open = restored.entries.iter().filter(is_open);
    let missing: BTreeSet<LogIndex> = open
        .map(|meta| meta.log_id.index)
        .filter(|index| !is_read(index))
        .collect();
    match missing
        .iter()
        .find(|index| !restored.damaged.contains(index))
    {
        Some(index) => Err(RestoreError::BrokenLog {
            what: format!("the membership at {index} is neither given nor said to be damaged"),
        }),
        None => Ok(missing),
    }
}
