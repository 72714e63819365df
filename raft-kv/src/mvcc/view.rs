//! What a request sees: the state on disk at one moment, and the changes of
//! earlier commands of the same batch that are not written yet.

use std::collections::BTreeMap;

use raft_core::StorageError;
use raft_storage_rocks::machine::rocksdb::{DBRawIterator, ReadOptions};
use raft_storage_rocks::machine::{Changes, Moment, RecordTooLong, storage_error};

use super::error::corrupt;
use super::keys::{self, Revision};
use super::record::{self, Change, Lifetime, REVISION_KEY};
use crate::model::{Bytes, KeyRange, KeyValue};

/// Where the store's own position lies.
const META: &str = "meta";
/// The index: which changes there are of a key.
const KEYS: &str = "keys";
/// The changes in the order of history.
const REVISIONS: &str = "revisions";

/// The column families; a snapshot tells them by their place here.
pub(super) const FAMILIES: [&str; 3] = [META, KEYS, REVISIONS];

/// The store's revision at that moment.
pub(super) fn revision_at(moment: &Moment<'_>) -> Result<i64, StorageError> {
    let bytes = moment.get(META, REVISION_KEY)?;
    bytes.map_or(Ok(1), |bytes| record::open_revision(&bytes))
}

/// Notes the revision that changes lead to.
pub(super) fn put_revision(changes: &mut Changes<'_>, revision: i64) -> Result<(), RecordTooLong> {
    changes.put(META, REVISION_KEY, record::seal_revision(revision))
}

/// Changes not yet written.
#[derive(Default)]
pub(super) struct Pending {
    index: BTreeMap<Bytes, Option<Lifetime>>,
    changes: BTreeMap<Revision, Change>,
}

impl Pending {
    pub(super) fn insert(&mut self, revision: Revision, change: Change) {
        self.index
            .insert(keys::index_key(&change.key, revision), change.lifetime());
        self.changes.insert(revision, change);
    }

    /// Forgets the changes of revision `main`, the newest.
    pub(super) fn roll_back(&mut self, main: i64) {
        let undone = self.changes.split_off(&Revision { main, sub: 0 });
        for (revision, change) in undone {
            self.index.remove(&keys::index_key(&change.key, revision));
        }
    }

    /// Adds the changes to what is about to be written. None is too long: a command has
    /// 8 MiB at most.
    pub(super) fn write_to(&self, changes: &mut Changes<'_>) -> Result<(), RecordTooLong> {
        for (key, lifetime) in &self.index {
            changes.put(KEYS, key, record::encode_index(key, *lifetime))?;
        }
        for (revision, change) in &self.changes {
            changes.put(REVISIONS, revision.encode(), change.encode(*revision))?;
        }
        Ok(())
    }
}

/// A key that is there at the revision asked for, without its value.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) key: Bytes,
    pub(super) modified: Revision,
    pub(super) lifetime: Lifetime,
}

impl Live {
    /// The key with everything but its value.
    pub(super) fn without_value(self) -> KeyValue {
        KeyValue {
            key: self.key,
            value: Vec::new(),
            create_revision: self.lifetime.create_revision,
            mod_revision: self.modified.main,
            version: self.lifetime.version,
        }
    }
}

/// What a request sees.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) base: &'a Moment<'a>,
    pub(super) pending: &'a Pending,
}

impl<'a> View<'a> {
    /// Hands each key of a range that is there at `revision` to `each`, in key order.
    pub(super) fn walk(
        &self,
        range: &KeyRange,
        revision: i64,
        mut each: impl FnMut(Live),
    ) -> Result<(), StorageError> {
        let Some((start, end)) = keys::bounds(range, revision) else {
            return Ok(());
        };
        let mut cursor = Cursor::new(*self, end);
        cursor.seek(start);
        while let Some(entry) = cursor.current()? {
            if entry.modified.main > revision {
                cursor.seek(keys::seek_key(&entry.key, revision));
                continue;
            }
            cursor.skip_older_changes(&entry.key);
            if let Some(lifetime) = entry.lifetime {
                each(Live {
                    key: entry.key,
                    modified: entry.modified,
                    lifetime,
                });
            }
        }
        Ok(())
    }

    /// One key at `revision`, if it is there.
    pub(super) fn find(&self, key: &[u8], revision: i64) -> Result<Option<Live>, StorageError> {
        let one = KeyRange {
            key: key.to_vec(),
            range_end: Vec::new(),
        };
        let mut found = None;
        self.walk(&one, revision, |live| found = Some(live))?;
        Ok(found)
    }

    /// The key together with its value.
    pub(super) fn with_value(&self, live: Live) -> Result<KeyValue, StorageError> {
        let value = self.value(&live)?;
        Ok(KeyValue {
            value,
            ..live.without_value()
        })
    }

    fn value(&self, live: &Live) -> Result<Bytes, StorageError> {
        let revision = live.modified;
        let change = match self.pending.changes.get(&revision) {
            Some(change) => change.clone(),
            None => match self.base.get(REVISIONS, &revision.encode())? {
                Some(bytes) => Change::decode(revision, &bytes)?,
                None => return Err(disagreement(live, "is missing")),
            },
        };
        match change.written {
            Some((lifetime, value)) if change.key == live.key && lifetime == live.lifetime => {
                Ok(value)
            }
            _ => Err(disagreement(live, "says otherwise")),
        }
    }
}

fn disagreement(live: &Live, how: &str) -> StorageError {
    let reason = format!(
        "the change at revision {}, which it points to, {how}",
        live.modified
    );
    corrupt(
        format!("the index of key {}", live.key.escape_ascii()),
        reason,
    )
}

/// One record of the index.
struct IndexEntry {
    key: Bytes,
    modified: Revision,
    lifetime: Option<Lifetime>,
}

/// Walks the index on disk and the pending part of it as one. No record is in
/// both, because each revision of a key is written once.
struct Cursor<'a> {
    disk: DBRawIterator<'a>,
    pending: &'a BTreeMap<Bytes, Option<Lifetime>>,
    /// Where the pending side stands: at the first record from here on.
    pending_from: Bytes,
    end: Option<Bytes>,
}

impl<'a> Cursor<'a> {
    fn new(view: View<'a>, end: Option<Bytes>) -> Self {
        let mut options = ReadOptions::default();
        if let Some(end) = &end {
            options.set_iterate_upper_bound(end.clone());
        }
        Self {
            disk: view.base.scan(KEYS, options),
            pending: &view.pending.index,
            pending_from: Vec::new(),
            end,
        }
    }

    fn seek(&mut self, to: Bytes) {
        self.disk.seek(&to);
        self.pending_from = to;
    }

    /// The record at which the cursor stands; nothing at the end of the range.
    fn current(&self) -> Result<Option<IndexEntry>, StorageError> {
        let pending = self.pending_side();
        let Some((key, value)) = self.disk.item() else {
            self.disk
                .status()
                .map_err(storage_error("walking the key index"))?;
            return pending
                .map(|(key, lifetime)| entry(key, *lifetime))
                .transpose();
        };
        match pending {
            Some((pending, lifetime)) if pending.as_slice() < key => entry(pending, *lifetime),
            _ => entry(key, record::decode_index(key, value)?),
        }
        .map(Some)
    }

    /// Leaves `key` for the next one. Most keys have few changes: a step is tried before a seek.
    fn skip_older_changes(&mut self, key: &[u8]) {
        let after = keys::after_key(key);
        let on_key = |disk: &DBRawIterator<'_>| disk.key().is_some_and(|k| k < after.as_slice());
        if on_key(&self.disk) {
            self.disk.next();
        }
        if on_key(&self.disk) {
            self.disk.seek(&after);
        }
        self.pending_from = after;
    }

    fn pending_side(&self) -> Option<(&'a Bytes, &'a Option<Lifetime>)> {
        let (key, lifetime) = self.pending.range(self.pending_from.clone()..).next()?;
        let inside = self.end.as_ref().is_none_or(|end| key < end);
        inside.then_some((key, lifetime))
    }
}

fn entry(index_key: &[u8], lifetime: Option<Lifetime>) -> Result<IndexEntry, StorageError> {
    let (key, modified) = keys::parse_index_key(index_key)?;
    Ok(IndexEntry {
        key,
        modified,
        lifetime,
    })
}
