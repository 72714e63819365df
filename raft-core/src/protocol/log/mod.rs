//! The log as the rules see it: identities of all entries, recent ones in
//! memory, and the watermarks.
//!
//! Payloads of older entries are not here; they come back through
//! `Output::ReadLog`. What is not durable yet is always in memory.

mod memberships;
mod recent;
mod terms;

use std::sync::Arc;

pub(crate) use memberships::Memberships;
use recent::Recent;
use terms::TermRuns;

use crate::entry::{Entry, EntryMeta, LogSlice, Payload};
use crate::error::RestoreError;
use crate::membership::Membership;
use crate::protocol::restore::Restored;
use crate::types::{LogId, LogIndex, ReplicaId, Term};

/// The log of one replica.
#[derive(Clone, Debug)]
pub(crate) struct RaftLog {
    terms: TermRuns,
    recent: Recent,
    memberships: Memberships,
    durable_index: LogIndex,
    commit_index: LogIndex,
    last_applied: LogIndex,
}

/// Where wanted entries are.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Fetched {
    /// Here.
    Entries(LogSlice),
    /// In the log store alone, up to this index.
    OnDisk(LogIndex),
}

impl RaftLog {
    /// Rebuilds the log from what was stored.
    pub(crate) fn restore(restored: &Restored, cache_bytes: usize) -> Result<Self, RestoreError> {
        let mut terms = TermRuns::starting_after(restored.purged);
        for &EntryMeta { log_id, .. } in &restored.entries {
            let last = terms.last();
            if last.index.next() != log_id.index || log_id.term < last.term {
                return Err(RestoreError::BrokenLog {
                    what: format!("{log_id} follows {last}"),
                });
            }
            terms.push(log_id);
        }
        let last = terms.last();
        let applied = restored.last_applied;
        if applied < restored.purged.index || applied > last.index {
            return Err(RestoreError::AppliedOutsideLog {
                applied,
                first: restored.purged.index.next(),
                last: last.index,
            });
        }
        let memberships = Memberships::restore(restored)?;
        Ok(Self {
            terms,
            recent: Recent::new(cache_bytes),
            memberships,
            durable_index: last.index,
            commit_index: applied,
            last_applied: applied,
        })
    }

    pub(crate) fn purged(&self) -> LogId {
        self.terms.start()
    }

    pub(crate) fn last(&self) -> LogId {
        self.terms.last()
    }

    /// The term of the entry at `index`: known from the purged position to the last entry.
    pub(crate) fn term_at(&self, index: LogIndex) -> Option<Term> {
        self.terms.term_at(index)
    }

    /// The identity of the entry at `index`, where the term is known.
    pub(crate) fn id_at(&self, index: LogIndex) -> Option<LogId> {
        self.term_at(index).map(|term| LogId { term, index })
    }

    /// Whether this log holds, or held before purging, exactly this entry.
    pub(crate) fn contains(&self, id: LogId) -> bool {
        self.term_at(id.index) == Some(id.term)
    }

    /// Whether another log that holds `id` can agree with this one so far. What
    /// was purged here is committed, and cannot be compared any more.
    pub(crate) fn may_agree(&self, id: LogId) -> bool {
        id.index < self.purged().index || self.contains(id)
    }

    /// The highest entry at or below `index` whose term is at most `term`: where
    /// two logs may still agree, about one step per term (Raft §5.3, end).
    pub(crate) fn highest_at_most(&self, index: LogIndex, term: Term) -> LogId {
        self.terms.highest_at_most(index, term)
    }

    /// Appends `entry`, which must follow the last one.
    pub(crate) fn append(&mut self, entry: Entry) {
        let last = self.last();
        assert!(
            entry.index() == last.index.next() && entry.term() >= last.term,
            "{} cannot follow {last}",
            entry.log_id
        );
        self.terms.push(entry.log_id);
        self.note_membership(&entry);
        self.recent.push(entry);
    }

    /// Appends a run, which must follow the last entry; shares it.
    pub(crate) fn append_run(&mut self, entries: LogSlice) {
        let last = self.last();
        let Some(first) = entries.first() else { return };
        assert!(
            first.index == last.index.next() && first.term >= last.term,
            "{first} cannot follow {last}"
        );
        for entry in entries.entries() {
            self.terms.push(entry.log_id);
            self.note_membership(entry);
        }
        self.recent.push_run(entries);
    }

    fn note_membership(&mut self, entry: &Entry) {
        if let Payload::Membership(membership) = &entry.payload {
            let membership = Arc::new(membership.as_ref().clone());
            self.memberships.append(entry.index(), membership);
        }
    }

    /// Forgets the entries from `index` on. Nothing committed is ever forgotten.
    pub(crate) fn truncate_from(&mut self, index: LogIndex) {
        assert!(
            index > self.commit_index,
            "truncation at {index} would cut committed entries up to {}",
            self.commit_index
        );
        self.terms.truncate_from(index);
        self.recent.truncate_from(index);
        self.memberships.truncate_from(index);
        self.durable_index = self.durable_index.min(self.last().index);
    }

    /// The entries from `first` to `last`, as far as the limits go; at least one.
    pub(crate) fn fetch(
        &mut self,
        first: LogIndex,
        last: LogIndex,
        max_entries: usize,
        max_bytes: usize,
    ) -> Fetched {
        match self.recent.slice(first, last, max_entries, max_bytes) {
            Some(entries) => Fetched::Entries(entries),
            None => Fetched::OnDisk(
                self.recent
                    .before_first()
                    .unwrap_or(self.last().index)
                    .min(last),
            ),
        }
    }

    /// Everything up to `index` became durable.
    pub(crate) fn set_durable(&mut self, index: LogIndex) {
        assert!(
            index <= self.last().index,
            "{index} durable beyond the log's end"
        );
        self.durable_index = self.durable_index.max(index);
        self.recent.evict_up_to(self.durable_index);
    }

    pub(crate) fn durable_index(&self) -> LogIndex {
        self.durable_index
    }

    /// Raises the commit index; a lower one is no news.
    pub(crate) fn set_commit(&mut self, index: LogIndex) -> bool {
        assert!(
            index <= self.last().index,
            "commit at {index} beyond the log's end"
        );
        let rises = index > self.commit_index;
        self.commit_index = self.commit_index.max(index);
        rises
    }

    pub(crate) fn commit_index(&self) -> LogIndex {
        self.commit_index
    }

    /// What may be applied: committed, and durable here. The state machine may
    /// flush at any time, and must never be ahead of what our log keeps.
    pub(crate) fn applicable_index(&self) -> LogIndex {
        self.commit_index.min(self.durable_index)
    }

    /// The state machine applied up to `index`.
    pub(crate) fn set_applied(&mut self, index: LogIndex) {
        assert!(
            index <= self.applicable_index(),
            "applied {index} before it was committed"
        );
        self.last_applied = self.last_applied.max(index);
    }

    pub(crate) fn last_applied(&self) -> LogIndex {
        self.last_applied
    }

    /// Forgets the entries up to `index`, which is applied.
    pub(crate) fn purge_to(&mut self, index: LogIndex) {
        assert!(
            index <= self.last_applied,
            "purging up to {index}, above applied {}",
            self.last_applied
        );
        self.terms.purge_to(index);
        self.recent.drop_up_to(index);
        self.memberships.purge_to(index);
    }

    /// The state machine was restored, durably, to the state right after `snapshot`.
    /// Keeps the entries after it if the log holds it (Raft §7); answers
    /// whether it does. Else the log starts anew there.
    pub(crate) fn install(&mut self, snapshot: LogId, membership: &Arc<Membership>) -> bool {
        assert!(
            snapshot.index > self.last_applied,
            "the snapshot at {snapshot} would take applied entries back"
        );
        let keeps_suffix = self.contains(snapshot);
        if keeps_suffix {
            self.memberships.learn_up_to(snapshot.index, membership);
        } else {
            assert!(
                snapshot.index > self.commit_index,
                "the snapshot at {snapshot} contradicts committed entries"
            );
            self.terms = TermRuns::starting_after(snapshot);
            self.recent.drop_up_to(LogIndex::new(u64::MAX));
            self.memberships
                .reset(snapshot.index, Arc::clone(membership));
            self.durable_index = snapshot.index;
        }
        // Durable with or without entries: the state machine holds their effect.
        self.durable_index = self.durable_index.max(snapshot.index);
        self.commit_index = self.commit_index.max(snapshot.index);
        self.last_applied = snapshot.index;
        keeps_suffix
    }

    /// The membership in force at `index`.
    pub(crate) fn membership_at(&self, index: LogIndex) -> &Arc<Membership> {
        self.memberships.at(index)
    }

    /// See [`Memberships::may_need_vote_of`].
    pub(crate) fn may_need(&self, replica: ReplicaId) -> bool {
        self.memberships
            .may_need_vote_of(replica, self.commit_index)
    }

    /// The membership in force: the latest one in the log (Raft §6).
    pub(crate) fn membership(&self) -> &Arc<Membership> {
        self.memberships.current().1
    }

    /// Whether the membership in force is certain: no entry that brought one is
    /// damaged and yet to be mended.
    pub(crate) fn membership_is_known(&self) -> bool {
        self.memberships.are_known()
    }

    /// A peer's copy of a damaged entry came.
    pub(crate) fn learn_membership(&mut self, entry: &Entry) {
        if let Payload::Membership(membership) = &entry.payload {
            self.memberships.learn(entry.index(), membership);
        }
    }

    /// Somebody who has purged the log up to `index` says what is in force there.
    /// Answers whether that was not known.
    pub(crate) fn learn_membership_at(
        &mut self,
        index: LogIndex,
        membership: &Arc<Membership>,
    ) -> bool {
        self.memberships.learn_up_to(index, membership)
    }

    /// The entry that brought the membership in force.
    pub(crate) fn membership_index(&self) -> LogIndex {
        self.memberships.current().0
    }
}
