//! Freeing what was purged, off the path of appends.
//!
//! A purge writes where the log begins and nothing else. The runs that lie wholly
//! before that are deleted with the writer's next batch, or at once when it has
//! nothing to do; then the keeper removes table files that hold nothing else. The
//! run in which a purge ends stays, as the purge record hides its beginning.
//!
//! Deleting while the entries are still in a memtable is what keeps most of them
//! from ever reaching a table file.

use std::collections::BTreeMap;
use std::sync::Arc;

use raft_core::{GroupId, LogIndex};
use rocksdb::DB;

use crate::change::Batch;
use crate::group::Group;
use crate::keys::{META, family, index_of, log_key};

/// The purges whose runs are still to be deleted.
#[derive(Default)]
pub(crate) struct Space {
    pending: BTreeMap<GroupId, Arc<Group>>,
    /// Entries that are purged and whose runs are there, by group.
    lag: BTreeMap<GroupId, u64>,
}

/// Runs of a group before this position are deleted: files may go, too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deleted {
    pub(crate) group: GroupId,
    pub(crate) below: LogIndex,
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

    /// Puts the deletions into the batch.
    pub(crate) fn put_deletions(&mut self, batch: &mut Batch<'_>) -> Vec<Deleted> {
        let mut all = Vec::new();
        for (id, group) in std::mem::take(&mut self.pending) {
            let mut staged = group.staged();
            let purged = staged.bounds.purged.index;
            // Damage hides where the run begins; a later purge finds another one.
            let below = governing(batch.db, id, purged.next());
            if let Some(below) = below.filter(|below| staged.deleted_below < *below) {
                let from = log_key(id, staged.deleted_below);
                batch.delete(from, log_key(id, below), staged.has_copies);
                staged.deleted_below = below;
                all.push(Deleted { group: id, below });
            }
            self.note(id, purged, staged.deleted_below);
        }
        all
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
