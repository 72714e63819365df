//! The log of one group.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use raft_core::{
    AppendBatch, Entry, EntryKind, EntryMeta, GroupId, LogBounds, LogId, LogIndex, LogStore,
    Payload, StorageError, StorageHealth, StoredEntry, Term,
};
use rocksdb::{ColumnFamily, DB, Direction, IteratorMode, WriteBatch};

use crate::keys::{META, PAYLOAD, STATE, StateKey, entry_key, index_of};
use crate::record::{self, Kind};
use crate::writer::Writer;

/// Most metadata records that one call answers.
const METADATA_PAGE: usize = 65_536;

/// What the metadata record of an entry holds.
type MetaBody = (Term, EntryKind);

/// A [`LogStore`] in a [`RocksStore`](crate::RocksStore).
pub struct RocksLogStore {
    db: Arc<DB>,
    writer: Arc<Writer>,
    group: GroupId,
    /// As the writer will have left them; changed by the writer thread alone.
    staged: Arc<Mutex<LogBounds>>,
    /// As they are durable.
    bounds: Arc<Mutex<LogBounds>>,
}

impl RocksLogStore {
    pub(crate) fn open(
        db: Arc<DB>,
        writer: Arc<Writer>,
        group: GroupId,
    ) -> Result<Self, StorageError> {
        let found = find_bounds(&db, group)?;
        let (staged, bounds) = (Arc::new(Mutex::new(found)), Arc::new(Mutex::new(found)));
        Ok(Self {
            db,
            writer,
            group,
            staged,
            bounds,
        })
    }

    /// Queues a change of the log. `plan` decides from the bounds before it what
    /// the bounds after it are, or refuses; `fill` puts it into the batch.
    async fn change(
        &self,
        doing: &'static str,
        plan: impl FnOnce(LogBounds) -> Result<LogBounds, StorageError> + Send + 'static,
        fill: impl FnOnce(&DB, &mut WriteBatch, LogBounds) + Send + 'static,
    ) -> Result<(), StorageError> {
        let (staged, bounds) = (Arc::clone(&self.staged), Arc::clone(&self.bounds));
        let planned = Arc::new(Mutex::new(LogBounds::default()));
        let result = Arc::clone(&planned);
        let change = Box::new(move |db: &DB, batch: &mut WriteBatch| {
            let mut staged = lock(&staged);
            let before = *staged;
            *staged = plan(before)?;
            *lock(&result) = *staged;
            fill(db, batch, before);
            Ok(())
        });
        let publish = Box::new(move || *lock(&bounds) = *lock(&planned));
        self.writer.write(doing, change, publish).await
    }
}

fn lock(bounds: &Mutex<LogBounds>) -> std::sync::MutexGuard<'_, LogBounds> {
    bounds.lock().expect("no holder of this lock panics")
}

fn family<'a>(db: &'a DB, name: &str) -> &'a ColumnFamily {
    db.cf_handle(name).expect("opened with all column families")
}

/// The bounds a crash left: the purge record, and the last metadata key.
fn find_bounds(db: &DB, group: GroupId) -> Result<LogBounds, StorageError> {
    let failed = |error| StorageError::io("reading the log's bounds", error);
    let key = StateKey::Purged.of(group);
    let purged = match db.get_cf(family(db, STATE), key).map_err(failed)? {
        None => LogId::ZERO,
        Some(record) => {
            record::decode(&key, Kind::Purged, &record).map_err(|reason| StorageError::Corrupt {
                what: format!("the purge record of {group}"),
                reason,
            })?
        }
    };
    let end = entry_key(group, LogIndex::new(u64::MAX));
    let mut backwards = db.iterator_cf(
        family(db, META),
        IteratorMode::From(&end, Direction::Reverse),
    );
    let last = match backwards.next().transpose().map_err(failed)? {
        Some((key, record)) => match index_of(group, &key) {
            Some(index) if index > purged.index => Some(decode_meta(group, index, &record)?.log_id),
            _ => None,
        },
        None => None,
    };
    Ok(LogBounds {
        purged,
        last: last.unwrap_or(purged),
    })
}

fn decode_meta(group: GroupId, index: LogIndex, record: &[u8]) -> Result<EntryMeta, StorageError> {
    let key = entry_key(group, index);
    let (term, kind): MetaBody =
        record::decode(&key, Kind::Meta, record).map_err(|reason| StorageError::Corrupt {
            what: format!("the metadata of entry {index} of {group}"),
            reason,
        })?;
    Ok(EntryMeta {
        log_id: LogId { term, index },
        kind,
    })
}

/// Duty 4: no gap, no overlap, no cut below what was purged.
fn plan_append(before: LogBounds, batch: &AppendBatch) -> Result<LogBounds, StorageError> {
    let misuse = |reason: String| Err(StorageError::Misuse { reason });
    let mut end = before.last.index;
    if let Some(cut) = batch.truncate_from {
        if cut <= before.purged.index {
            return misuse(format!("cut at {cut}, purged up to {}", before.purged));
        }
        end = end.min(cut.previous().unwrap_or_default());
    }
    match (batch.entries.first(), batch.entries.last()) {
        (Some(first), _) if first.index != end.next() => {
            misuse(format!("append at {first}, the log ends at {end}"))
        }
        (_, Some(last)) => Ok(LogBounds { last, ..before }),
        // Only a cut: the term of the new end is found when it is asked for.
        _ if end == before.last.index => Ok(before),
        _ if end == before.purged.index => Ok(LogBounds {
            last: before.purged,
            ..before
        }),
        _ => Ok(LogBounds {
            last: LogId {
                index: end,
                ..before.last
            },
            ..before
        }),
    }
}

fn fill_append(
    db: &DB,
    batch: &mut WriteBatch,
    group: GroupId,
    before: LogBounds,
    append: &AppendBatch,
) {
    let (meta, payload) = (family(db, META), family(db, PAYLOAD));
    if let Some(cut) = append.truncate_from.filter(|cut| *cut <= before.last.index) {
        let (from, to) = (
            entry_key(group, cut),
            entry_key(group, before.last.index.next()),
        );
        batch.delete_range_cf(meta, from, to);
        batch.delete_range_cf(payload, from, to);
    }
    for entry in append.entries.entries() {
        let key = entry_key(group, entry.index());
        let body: MetaBody = (entry.term(), entry.kind());
        batch.put_cf(meta, key, record::encode(&key, Kind::Meta, &body));
        batch.put_cf(
            payload,
            key,
            record::encode(&key, Kind::Payload, &entry.payload),
        );
    }
}

fn fill_purge(db: &DB, batch: &mut WriteBatch, group: GroupId, purged: LogId, end: LogIndex) {
    let key = StateKey::Purged.of(group);
    batch.put_cf(
        family(db, STATE),
        key,
        record::encode(&key, Kind::Purged, &purged),
    );
    let (from, to) = (
        entry_key(group, LogIndex::ZERO),
        entry_key(group, end.next()),
    );
    batch.delete_range_cf(family(db, META), from, to);
    batch.delete_range_cf(family(db, PAYLOAD), from, to);
}

#[async_trait]
impl LogStore for RocksLogStore {
    async fn append(&self, batch: AppendBatch) -> Result<(), StorageError> {
        let group = self.group;
        let batch = Arc::new(batch);
        let planned = Arc::clone(&batch);
        let db = Arc::clone(&self.db);
        let only_cuts = batch.entries.is_empty();
        let plan = move |before: LogBounds| {
            let mut after = plan_append(before, &planned)?;
            // The entry at the new end is durable already, so its term can be read.
            if only_cuts && after.last != before.last && after.last.index > after.purged.index {
                after.last = read_meta(&db, group, after.last.index)?.log_id;
            }
            Ok(after)
        };
        let fill = move |db: &DB, writes: &mut WriteBatch, before: LogBounds| {
            fill_append(db, writes, group, before, &batch);
        };
        self.change("appending entries", plan, fill).await
    }

    async fn read(
        &self,
        first: LogIndex,
        last: LogIndex,
        max_bytes: usize,
    ) -> Result<Vec<StoredEntry>, StorageError> {
        let (db, group, bounds) = (Arc::clone(&self.db), self.group, *lock(&self.bounds));
        blocking(move || read(&db, group, bounds, first, last, max_bytes)).await
    }

    async fn metadata(
        &self,
        first: LogIndex,
        last: LogIndex,
    ) -> Result<Vec<EntryMeta>, StorageError> {
        let (db, group, bounds) = (Arc::clone(&self.db), self.group, *lock(&self.bounds));
        let first = first.max(bounds.purged.index.next());
        let last = last.min(bounds.last.index);
        blocking(move || read_metadata(&db, group, first, last)).await
    }

    async fn bounds(&self) -> Result<LogBounds, StorageError> {
        Ok(*lock(&self.bounds))
    }

    async fn purge(&self, up_to: LogId) -> Result<(), StorageError> {
        let group = self.group;
        let plan = move |before: LogBounds| {
            if up_to.index > before.last.index {
                let reason = format!("purge up to {up_to}, the log ends at {}", before.last);
                return Err(StorageError::Misuse { reason });
            }
            let purged = before.purged.max(up_to);
            Ok(LogBounds {
                purged,
                last: before.last.max(purged),
            })
        };
        let fill = move |db: &DB, batch: &mut WriteBatch, before: LogBounds| {
            let purged = before.purged.max(up_to);
            fill_purge(db, batch, group, purged, purged.index);
        };
        self.change("purging the log", plan, fill).await
    }

    async fn reset(&self, snapshot: LogId) -> Result<(), StorageError> {
        let group = self.group;
        let plan = move |_| {
            Ok(LogBounds {
                purged: snapshot,
                last: snapshot,
            })
        };
        let fill = move |db: &DB, batch: &mut WriteBatch, before: LogBounds| {
            fill_purge(
                db,
                batch,
                group,
                snapshot,
                before.last.index.max(snapshot.index),
            );
        };
        self.change("resetting the log", plan, fill).await
    }

    fn health(&self) -> StorageHealth {
        self.writer.health()
    }
}

/// Reads run apart from the runtime's threads: they may go to the disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(StorageError::io("reading the log", error)))
}

fn read_meta(db: &DB, group: GroupId, index: LogIndex) -> Result<EntryMeta, StorageError> {
    let record = db
        .get_cf(family(db, META), entry_key(group, index))
        .map_err(|error| StorageError::io("reading the log", error))?;
    match record {
        Some(record) => decode_meta(group, index, &record),
        None => Err(StorageError::Corrupt {
            what: format!("the metadata of entry {index} of {group}"),
            reason: "it is missing".into(),
        }),
    }
}

fn read_metadata(
    db: &DB,
    group: GroupId,
    first: LogIndex,
    last: LogIndex,
) -> Result<Vec<EntryMeta>, StorageError> {
    let start = entry_key(group, first);
    let mut found = Vec::new();
    for item in db.iterator_cf(
        family(db, META),
        IteratorMode::From(&start, Direction::Forward),
    ) {
        let (key, record) = item.map_err(|error| StorageError::io("reading the log", error))?;
        let Some(index) = index_of(group, &key).filter(|index| *index <= last) else {
            break;
        };
        found.push(decode_meta(group, index, &record)?);
        if found.len() >= METADATA_PAGE {
            break;
        }
    }
    Ok(found)
}

fn read(
    db: &DB,
    group: GroupId,
    bounds: LogBounds,
    first: LogIndex,
    last: LogIndex,
    max_bytes: usize,
) -> Result<Vec<StoredEntry>, StorageError> {
    let (mut answers, mut bytes, mut index) = (Vec::new(), 0, first);
    while index <= last && (answers.is_empty() || bytes < max_bytes) {
        if index <= bounds.purged.index || index > bounds.last.index {
            answers.push(StoredEntry::Absent { index });
        } else {
            let entry = read_entry(db, group, index)?;
            bytes += match &entry {
                StoredEntry::Entry(entry) => entry.size(),
                _ => 0,
            };
            answers.push(entry);
        }
        // Nothing follows the end of the log; one answer says so.
        if index > bounds.last.index {
            break;
        }
        index = index.next();
    }
    Ok(answers)
}

/// One entry within the bounds: the entry, or how it is damaged. Never absent.
fn read_entry(db: &DB, group: GroupId, index: LogIndex) -> Result<StoredEntry, StorageError> {
    let key = entry_key(group, index);
    let meta = match read_meta(db, group, index) {
        Ok(meta) => meta,
        Err(StorageError::Corrupt { what, reason }) => {
            let reason = format!("{what}: {reason}");
            return Ok(StoredEntry::Corrupt {
                index,
                meta: None,
                reason,
            });
        }
        Err(error) => return Err(error),
    };
    let record = match db.get_pinned_cf(family(db, PAYLOAD), key) {
        Ok(record) => record,
        // RocksDB's own checksum of the block does not match.
        Err(error) if error.kind() == rocksdb::ErrorKind::Corruption => {
            let reason = error.to_string();
            return Ok(StoredEntry::Corrupt {
                index,
                meta: Some(meta),
                reason,
            });
        }
        Err(error) => return Err(StorageError::io("reading the log", error)),
    };
    let decoded = match record {
        None => Err("the payload is missing".to_owned()),
        Some(record) => record::decode::<Payload>(&key, Kind::Payload, &record),
    };
    Ok(match decoded {
        Ok(payload) => StoredEntry::Entry(Entry {
            log_id: meta.log_id,
            payload,
        }),
        Err(reason) => StoredEntry::Corrupt {
            index,
            meta: Some(meta),
            reason,
        },
    })
}
