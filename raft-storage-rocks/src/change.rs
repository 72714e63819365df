//! What can be written: each change as it goes into a batch, and what it shows
//! when the batch is durable.
//!
//! A change looks at what the changes before it planned, so that several of them
//! share a batch. It refuses and leaves the batch as it was, or is in it whole.

use std::sync::Arc;

use raft_core::{
    AppendBatch, EntryMeta, GroupId, LogBounds, LogId, LogIndex, LogSlice, StorageError,
};
use rocksdb::{DB, WriteBatch};

use crate::answers::spans;
use crate::bounds;
use crate::group::{Group, Staged};
use crate::keys::{IDENTITY, META, PAYLOAD, REPAIRED, STATE, StateKey, family, log_key};
use crate::read::Reader;
use crate::record::{self, PurgedBody};
use crate::run::{self, RunEncoder};

/// One thing to write.
pub(crate) enum Change {
    Append(Arc<Group>, AppendBatch),
    Purge(Arc<Group>, LogId),
    Reset(Arc<Group>, LogId),
    Repair(Arc<Group>, LogSlice),
    /// The records of a vote and of its mark.
    Vote {
        group: GroupId,
        vote: Vec<u8>,
        mark: Vec<u8>,
    },
}

/// What changes can be about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Thing {
    /// The log of a group.
    Log(GroupId),
    /// Its term and vote.
    Vote(GroupId),
}

/// What a change shows once it is durable.
pub(crate) enum Effect {
    Append {
        group: Arc<Group>,
        cut: Option<LogIndex>,
        entries: LogSlice,
        after: LogBounds,
    },
    Purge(Arc<Group>, LogBounds),
    Reset(Arc<Group>, LogBounds),
    Nothing,
}

/// The batch that is being filled.
pub(crate) struct Batch<'a> {
    pub(crate) db: &'a DB,
    pub(crate) writes: WriteBatch,
    pub(crate) encoder: &'a mut RunEncoder,
}

impl Change {
    /// What it does, for errors.
    pub(crate) const fn doing(&self) -> &'static str {
        match self {
            Self::Append(..) => "appending entries",
            Self::Purge(..) => "purging the log",
            Self::Reset(..) => "resetting the log",
            Self::Repair(..) => "mending entries",
            Self::Vote { .. } => "saving the vote",
        }
    }

    /// What it changes: the changes of one thing take effect in their order.
    pub(crate) fn thing(&self) -> Thing {
        match self {
            Self::Append(group, _)
            | Self::Purge(group, _)
            | Self::Reset(group, _)
            | Self::Repair(group, _) => Thing::Log(group.id),
            Self::Vote { group, .. } => Thing::Vote(*group),
        }
    }

    /// About how much it writes.
    pub(crate) const fn bytes(&self) -> usize {
        match self {
            Self::Append(_, batch) => batch.entries.size(),
            Self::Repair(_, entries) => entries.size(),
            Self::Purge(..) | Self::Reset(..) | Self::Vote { .. } => 0,
        }
    }

    /// Whether it reads, so that what was handed in before must be durable first: a
    /// cut alone needs the term of the entry that it leaves at the end.
    pub(crate) const fn reads(&self) -> bool {
        match self {
            Self::Append(_, batch) => batch.entries.is_empty(),
            Self::Repair(..) => true,
            Self::Purge(..) | Self::Reset(..) | Self::Vote { .. } => false,
        }
    }

    /// Puts it into the batch.
    pub(crate) fn stage(self, batch: &mut Batch<'_>) -> Result<Effect, StorageError> {
        match self {
            Self::Append(group, append) => batch.append(group, append),
            Self::Purge(group, up_to) => batch.purge(group, up_to),
            Self::Reset(group, snapshot) => batch.reset(group, snapshot),
            Self::Repair(group, entries) => batch.repair(&group, &entries),
            Self::Vote { group, vote, mark } => {
                batch.save_vote(group, &vote, &mark);
                Ok(Effect::Nothing)
            }
        }
    }
}

impl Effect {
    /// Makes the change visible to readers.
    pub(crate) fn show(self) {
        match self {
            Self::Append {
                group,
                cut,
                entries,
                after,
            } => group.show_append(cut, entries, after),
            Self::Purge(group, after) => group.show_purge(after),
            Self::Reset(group, after) => group.show_reset(after),
            Self::Nothing => {}
        }
    }
}

impl Batch<'_> {
    fn append(&mut self, group: Arc<Group>, append: AppendBatch) -> Result<Effect, StorageError> {
        let mut staged = group.staged();
        let before = staged.bounds;
        let after = bounds::after_append(before, &append, |index| {
            Ok(Reader::new(self.db, group.id).metadata_at(index)?.log_id)
        })?;
        staged.bounds = after;
        let AppendBatch {
            truncate_from: cut,
            entries,
        } = append;
        let cut = cut.filter(|cut| *cut <= before.last.index);
        if let Some(cut) = cut {
            self.cut(
                group.id,
                &staged,
                cut,
                before.last.index,
                entries.is_empty(),
            );
        }
        let (meta, payload) = (family(self.db, META), family(self.db, PAYLOAD));
        let writes = &mut self.writes;
        self.encoder
            .encode(group.id, entries.entries(), |key, run, bytes| {
                writes.put_cf(meta, key, run);
                writes.put_cf(payload, key, bytes);
            });
        drop(staged);
        Ok(Effect::Append {
            group,
            cut,
            entries,
            after,
        })
    }

    /// Removes the runs from `cut` on. An older one that reaches further is shadowed
    /// by what stands at `cut` then: the first new run, or one without entries.
    fn cut(
        &mut self,
        group: GroupId,
        staged: &Staged,
        cut: LogIndex,
        last: LogIndex,
        is_the_end: bool,
    ) {
        let (from, to) = (log_key(group, cut), key_behind(group, last));
        self.delete(from, to, staged.has_copies);
        if is_the_end {
            let record = run::empty_run(&from);
            self.writes.put_cf(family(self.db, META), from, record);
        }
    }

    fn purge(&mut self, group: Arc<Group>, up_to: LogId) -> Result<Effect, StorageError> {
        let mut staged = group.staged();
        let before = staged.bounds;
        let after = bounds::after_purge(before, up_to)?;
        staged.bounds = after;
        drop(staged);
        if before.purged != after.purged {
            self.put_purged(group.id, after.purged);
        }
        Ok(Effect::Purge(group, after))
    }

    fn reset(&mut self, group: Arc<Group>, snapshot: LogId) -> Result<Effect, StorageError> {
        let after = bounds::after_reset(snapshot)?;
        let mut staged = group.staged();
        let before = staged.bounds;
        self.put_purged(group.id, after.purged);
        let from = log_key(group.id, LogIndex::ZERO);
        let to = key_behind(group.id, before.last.index);
        self.delete(from, to, staged.has_copies);
        *staged = Staged {
            bounds: after,
            has_copies: false,
            deleted_below: snapshot.index.next(),
        };
        drop(staged);
        Ok(Effect::Reset(group, after))
    }

    /// Duty 12: only what is there under the same term, index and kind is replaced.
    fn repair(&mut self, group: &Group, entries: &LogSlice) -> Result<Effect, StorageError> {
        let mut staged = group.staged();
        let reader = Reader::new(self.db, group.id);
        for entry in entries.entries() {
            let index = entry.index();
            let is_here = spans(staged.bounds, index);
            if !is_here || reader.metadata_at(index)? != EntryMeta::from(entry) {
                let reason = format!("{} is not in the log", entry.log_id);
                return Err(StorageError::Misuse { reason });
            }
        }
        for entry in entries.entries() {
            let key = log_key(group.id, entry.index());
            let copy = run::repaired(&key, entry);
            self.writes.put_cf(family(self.db, REPAIRED), key, copy);
        }
        staged.has_copies = true;
        Ok(Effect::Nothing)
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
