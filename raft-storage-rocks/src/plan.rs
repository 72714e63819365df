//! What a change will write and show: settled once, written as often as it takes.
//!
//! A change is planned upon what the changes before it planned, so that several share
//! a batch. Once planned it depends on nothing else: the same plan always puts the same
//! bytes into a batch, so a write that a full disk refused is made again as it was,
//! without a copy of it being kept.

use std::sync::Arc;

use raft_core::{
    AppendBatch, EntryMeta, GroupId, LogBounds, LogId, LogIndex, LogSlice, StorageError,
};
use rocksdb::{DB, WriteBatch};

use crate::answers::spans;
use crate::bounds;
use crate::change::Change;
use crate::group::{Group, Staged};
use crate::keys::{IDENTITY, META, PAYLOAD, REPAIRED, STATE, StateKey, family, log_key};
use crate::read::Reader;
use crate::record::{self, PurgedBody};
use crate::run::{self, RunEncoder};

/// A change that nothing stands in the way of.
pub(crate) enum Plan {
    Append {
        group: Arc<Group>,
        before: Staged,
        cut: Option<LogIndex>,
        entries: LogSlice,
        after: LogBounds,
    },
    Purge {
        group: Arc<Group>,
        before: LogBounds,
        after: LogBounds,
    },
    Reset {
        group: Arc<Group>,
        before: Staged,
        after: LogBounds,
    },
    Repair {
        group: GroupId,
        entries: LogSlice,
    },
    Vote {
        group: GroupId,
        vote: Vec<u8>,
        mark: Vec<u8>,
    },
}

impl Plan {
    /// Plans a change, or refuses it and leaves all as it was.
    pub(crate) fn of(change: Change, db: &DB) -> Result<Self, StorageError> {
        match change {
            Change::Append(group, batch) => Self::of_append(group, batch, db),
            Change::Purge(group, up_to) => Self::of_purge(group, up_to),
            Change::Reset(group, snapshot) => Self::of_reset(group, snapshot),
            Change::Repair(group, entries) => Self::of_repair(&group, entries, db),
            Change::Vote { group, vote, mark } => Ok(Self::Vote { group, vote, mark }),
        }
    }

    fn of_append(group: Arc<Group>, batch: AppendBatch, db: &DB) -> Result<Self, StorageError> {
        let mut staged = group.staged();
        let before = *staged;
        let after = bounds::after_append(before.bounds, &batch, |index| {
            Ok(Reader::new(db, group.id).metadata_at(index)?.log_id)
        })?;
        staged.bounds = after;
        drop(staged);
        let cut = batch.truncate_from;
        let cut = cut.filter(|cut| *cut <= before.bounds.last.index);
        Ok(Self::Append {
            group,
            before,
            cut,
            entries: batch.entries,
            after,
        })
    }

    fn of_purge(group: Arc<Group>, up_to: LogId) -> Result<Self, StorageError> {
        let mut staged = group.staged();
        let before = staged.bounds;
        let after = bounds::after_purge(before, up_to)?;
        staged.bounds = after;
        drop(staged);
        Ok(Self::Purge {
            group,
            before,
            after,
        })
    }

    fn of_reset(group: Arc<Group>, snapshot: LogId) -> Result<Self, StorageError> {
        let after = bounds::after_reset(snapshot)?;
        let mut staged = group.staged();
        let before = *staged;
        *staged = Staged {
            bounds: after,
            has_copies: false,
            deleted_below: snapshot.index.next(),
        };
        drop(staged);
        Ok(Self::Reset {
            group,
            before,
            after,
        })
    }

    /// Duty 12: only what is there under the same term, index and kind is replaced.
    fn of_repair(group: &Group, entries: LogSlice, db: &DB) -> Result<Self, StorageError> {
        let mut staged = group.staged();
        let reader = Reader::new(db, group.id);
        for entry in entries.entries() {
            let index = entry.index();
            let is_here = spans(staged.bounds, index);
            if !is_here || reader.metadata_at(index)? != EntryMeta::from(entry) {
                let reason = format!("{} is not in the log", entry.log_id);
                return Err(StorageError::Misuse { reason });
            }
        }
        staged.has_copies = true;
        Ok(Self::Repair {
            group: group.id,
            entries,
        })
    }

    /// Puts it into a batch.
    pub(crate) fn put(&self, batch: &mut Batch<'_>) {
        match self {
            Self::Append {
                group,
                before,
                cut,
                entries,
                ..
            } => batch.append(group.id, before, *cut, entries),
            Self::Purge { before, after, .. } if before.purged == after.purged => {}
            Self::Purge { group, after, .. } => batch.put_purged(group.id, after.purged),
            Self::Reset {
                group,
                before,
                after,
            } => batch.reset(group.id, before, after.purged),
            Self::Repair { group, entries } => batch.put_copies(*group, entries),
            Self::Vote { group, vote, mark } => batch.save_vote(*group, vote, mark),
        }
    }

    /// Makes the change visible to readers: it is durable.
    pub(crate) fn show(self) {
        match self {
            Self::Append {
                group,
                cut,
                entries,
                after,
                ..
            } => group.show_append(cut, entries, after),
            Self::Purge { group, after, .. } => group.show_purge(after),
            Self::Reset { group, after, .. } => group.show_reset(after),
            Self::Repair { .. } | Self::Vote { .. } => {}
        }
    }
}

/// The batch that is being filled.
pub(crate) struct Batch<'a> {
    pub(crate) db: &'a DB,
    pub(crate) writes: WriteBatch,
    pub(crate) encoder: &'a mut RunEncoder,
}

impl Batch<'_> {
    fn append(
        &mut self,
        group: GroupId,
        before: &Staged,
        cut: Option<LogIndex>,
        entries: &LogSlice,
    ) {
        if let Some(cut) = cut {
            self.cut(group, before, cut, entries.is_empty());
        }
        let (meta, payload) = (family(self.db, META), family(self.db, PAYLOAD));
        let writes = &mut self.writes;
        self.encoder
            .encode(group, entries.entries(), |key, run, bytes| {
                writes.put_cf(meta, key, run);
                writes.put_cf(payload, key, bytes);
            });
    }

    /// Removes the runs from `cut` on. An older one that reaches further is shadowed
    /// by what stands at `cut` then: the first new run, or one without entries.
    fn cut(&mut self, group: GroupId, before: &Staged, cut: LogIndex, is_the_end: bool) {
        let last = before.bounds.last.index;
        let (from, to) = (log_key(group, cut), key_behind(group, last));
        self.delete(from, to, before.has_copies);
        if is_the_end {
            let record = run::empty_run(&from);
            self.writes.put_cf(family(self.db, META), from, record);
        }
    }

    fn reset(&mut self, group: GroupId, before: &Staged, purged: LogId) {
        self.put_purged(group, purged);
        let from = log_key(group, LogIndex::ZERO);
        let to = key_behind(group, before.bounds.last.index);
        self.delete(from, to, before.has_copies);
    }

    fn put_copies(&mut self, group: GroupId, entries: &LogSlice) {
        for entry in entries.entries() {
            let key = log_key(group, entry.index());
            let copy = run::repaired(&key, entry);
            self.writes.put_cf(family(self.db, REPAIRED), key, copy);
        }
    }

    fn save_vote(&mut self, group: GroupId, vote: &[u8], mark: &[u8]) {
        let (state, identity) = (family(self.db, STATE), family(self.db, IDENTITY));
        self.writes.put_cf(state, StateKey::Vote.of(group), vote);
        // In another column family than the vote: no one damaged file takes both.
        self.writes
            .put_cf(identity, StateKey::VoteMark.of(group), mark);
    }

    fn put_purged(&mut self, group: GroupId, purged: LogId) {
        let key = StateKey::Purged.of(group);
        let record = record::encode(&key, &PurgedBody(purged));
        self.writes.put_cf(family(self.db, STATE), key, record);
    }

    /// Removes what stands from one position to before another.
    pub(crate) fn delete(&mut self, from: [u8; 16], to: [u8; 16], has_copies: bool) {
        self.writes.delete_range_cf(family(self.db, META), from, to);
        self.writes
            .delete_range_cf(family(self.db, PAYLOAD), from, to);
        if has_copies {
            self.writes
                .delete_range_cf(family(self.db, REPAIRED), from, to);
        }
    }
}

/// Behind all runs of a log that ends at `last`. One without entries may stand right
/// after the last entry.
fn key_behind(group: GroupId, last: LogIndex) -> [u8; 16] {
    log_key(group, LogIndex::new(last.get().saturating_add(2)))
}
