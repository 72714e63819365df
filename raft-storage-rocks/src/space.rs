//! Freeing what was purged, off the path of appends.
//!
//! A purge writes where the log begins and nothing else. The runs that lie wholly
//! before that are deleted with the next batch, or at once when there is nothing else
//! to write; then the keeper removes table files that hold nothing else. The run in
//! which a purge ends stays, as the purge record hides its beginning.
//!
//! Deleting while the entries are still in a memtable is what keeps most of them
//! from ever reaching a table file.

use std::collections::BTreeMap;
use std::sync::Arc;

use raft_core::{GroupId, LogIndex};
use rocksdb::DB;

use crate::group::Group;
use crate::keys::{META, family, index_of, log_key};
use crate::plan::Batch;

/// The purges whose runs are still to be deleted.
#[derive(Default)]
pub(crate) struct Space {
    pending: BTreeMap<GroupId, Arc<Group>>,
    /// Entries that are purged and whose runs are there, by group.
    lag: BTreeMap<GroupId, u64>,
}

/// The runs of a group that begin from one position to before another.
pub(crate) struct Deletion {
    group: Arc<Group>,
    from: LogIndex,
    below: LogIndex,
    has_copies: bool,
}

/// Runs of a group before this position are deleted: files may go, too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deleted {
    pub(crate) group: GroupId,
    pub(crate) below: LogIndex,
}

impl Deletion {
    /// Puts it into a batch.
    pub(crate) fn put(&self, batch: &mut Batch<'_>) {
        let id = self.group.id;
        let (from, to) = (log_key(id, self.from), log_key(id, self.below));
        batch.delete(from, to, self.has_copies);
    }

    /// What it leaves once it is made.
    pub(crate) fn made(&self) -> Deleted {
        Deleted {
            group: self.group.id,
            below: self.below,
        }
    }
}

impl Space {
    /// A purge or a reset is durable.
    pub(crate) fn purged(&mut self, group: Arc<Group>) {
        let staged = *group.staged();
        self.note(group.id, staged.bounds.purged.index, staged.deleted_below);
        self.pending.insert(group.id, group);
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Entries that are purged and whose runs are not deleted. Fewer than a run per
    /// group when nothing is pending, because the last run of a purge stays.
    pub(crate) fn lag(&self) -> u64 {
        self.lag.values().sum()
    }

    /// What is to be deleted now. Whoever takes it makes it, or gives it back.
    pub(crate) fn take_deletions(&mut self, db: &DB) -> Vec<Deletion> {
        let mut all = Vec::new();
        for (id, group) in std::mem::take(&mut self.pending) {
            let mut staged = group.staged();
            let purged = staged.bounds.purged.index;
            // Damage hides where the run begins; a later purge finds another one.
            let below = governing(db, id, purged.next());
            let below = below.filter(|below| staged.deleted_below < *below);
            let from = staged.deleted_below;
            staged.deleted_below = below.unwrap_or(from);
            self.note(id, purged, staged.deleted_below);
            let has_copies = staged.has_copies;
            drop(staged);
            all.extend(below.map(|below| Deletion {
                group,
                from,
                below,
                has_copies,
            }));
        }
        all
    }

    /// They were not made: what they would have deleted is still there.
    pub(crate) fn give_back(&mut self, deletions: Vec<Deletion>) {
        for Deletion { group, from, .. } in deletions {
            group.staged().deleted_below = from;
            self.purged(group);
        }
    }

    fn note(&mut self, group: GroupId, purged: LogIndex, deleted_below: LogIndex) {
        let lag = purged.next().distance_from(deleted_below);
        self.lag.insert(group, lag);
    }
}

/// Where the run begins that governs `index`, as it is on the disk.
fn governing(db: &DB, group: GroupId, index: LogIndex) -> Option<LogIndex> {
    let mut rows = db.raw_iterator_cf(family(db, META));
    rows.seek_for_prev(log_key(group, index));
    rows.key().and_then(|key| index_of(group, key))
}
