//! The log of one group.

use std::sync::Arc;

use async_trait::async_trait;
use raft_core::{
    AppendBatch, Entry, EntryMeta, GroupId, LogBounds, LogId, LogIndex, LogSlice, LogStore,
    StorageError, StorageHealth, StoredEntry,
};
use rocksdb::{DB, WriteBatch};

use crate::bounds::{self, GroupBounds};
use crate::keys::{META, PAYLOAD, STATE, StateKey, entry_key, family};
use crate::read::Reader;
use crate::record::{self, MetaBody, PayloadBody, PurgedBody};
use crate::writer::{Job, Writer};

/// A [`LogStore`] in a [`RocksStore`](crate::RocksStore).
///
/// Reads run on tokio's threads for blocking work: they may go to the disk.
pub struct RocksLogStore {
    db: Arc<DB>,
    writer: Arc<Writer>,
    group: GroupId,
    bounds: Arc<GroupBounds>,
}

impl RocksLogStore {
    pub(crate) const fn new(
        db: Arc<DB>,
        writer: Arc<Writer>,
        group: GroupId,
        bounds: Arc<GroupBounds>,
    ) -> Self {
        Self {
            db,
            writer,
            group,
            bounds,
        }
    }

    async fn read_with<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader<'_>, LogBounds) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (db, group, bounds) = (Arc::clone(&self.db), self.group, self.bounds.durable());
        tokio::task::spawn_blocking(move || read(&Reader::new(&db, group), bounds))
            .await
            .unwrap_or_else(|error| Err(StorageError::io("reading the log", error)))
    }

    /// A change of the bounds, and what it puts into the batch knowing those before and after.
    fn job(
        &self,
        doing: &'static str,
        plan: impl FnOnce(&DB, LogBounds) -> Result<LogBounds, StorageError> + Send + 'static,
        fill: impl FnOnce(&DB, &mut WriteBatch, LogBounds, LogBounds) + Send + 'static,
    ) -> Job {
        let bounds = Arc::clone(&self.bounds);
        Job::new(doing, move |db, batch| {
            let (before, after) = bounds.stage(|before| plan(db, before))?;
            fill(db, batch, before, after);
            Ok(Box::new(move || bounds.publish(after)))
        })
    }
}

#[async_trait]
impl LogStore for RocksLogStore {
    async fn append(&self, batch: AppendBatch) -> Result<(), StorageError> {
        let group = self.group;
        let batch = Arc::new(batch);
        let (bytes, only_cuts) = (batch.entries.size(), batch.entries.is_empty());
        let appended = Arc::clone(&batch);
        let plan = move |db: &DB, before: LogBounds| {
            bounds::after_append(before, &batch, |index| {
                Ok(Reader::new(db, group).metadata_at(index)?.log_id)
            })
        };
        let fill = move |db: &DB, writes: &mut WriteBatch, before: LogBounds, _| {
            put_append(db, writes, group, before, &appended);
        };
        let job = self.job("appending entries", plan, fill).of_bytes(bytes);
        // A cut alone reads the term of the entry that it leaves at the end.
        let job = if only_cuts {
            job.after_the_others()
        } else {
            job
        };
        self.writer.write(job).await
    }

    async fn read(
        &self,
        first: LogIndex,
        last: LogIndex,
        max_bytes: usize,
    ) -> Result<Vec<StoredEntry>, StorageError> {
        self.read_with(move |reader, bounds| reader.entries(bounds, first, last, max_bytes))
            .await
    }

    async fn metadata(
        &self,
        first: LogIndex,
        last: LogIndex,
    ) -> Result<Vec<EntryMeta>, StorageError> {
        self.read_with(move |reader, bounds| {
            let first = first.max(bounds.purged.index.next());
            reader.metadata(first, last.min(bounds.last.index))
        })
        .await
    }

    async fn bounds(&self) -> Result<LogBounds, StorageError> {
        Ok(self.bounds.durable())
    }

    async fn purge(&self, up_to: LogId) -> Result<(), StorageError> {
        let group = self.group;
        let plan = move |_: &DB, before| bounds::after_purge(before, up_to);
        let fill = move |db: &DB, writes: &mut WriteBatch, before: LogBounds, after: LogBounds| {
            if before.purged != after.purged {
                put_purged(db, writes, group, after.purged);
                delete(db, writes, group, before.purged.index, after.purged.index);
            }
        };
        self.writer
            .write(self.job("purging the log", plan, fill))
            .await
    }

    async fn reset(&self, snapshot: LogId) -> Result<(), StorageError> {
        let group = self.group;
        let plan = move |_: &DB, _| bounds::after_reset(snapshot);
        let fill = move |db: &DB, writes: &mut WriteBatch, before: LogBounds, after: LogBounds| {
            put_purged(db, writes, group, after.purged);
            delete(db, writes, group, before.purged.index, before.last.index);
        };
        self.writer
            .write(self.job("resetting the log", plan, fill))
            .await
    }

    async fn repair(&self, entries: LogSlice) -> Result<(), StorageError> {
        let (group, bounds) = (self.group, Arc::clone(&self.bounds));
        let bytes = entries.size();
        // What was appended before is durable when its metadata is looked at.
        let job = Job::new("mending entries", move |db, batch| {
            check_repair(&Reader::new(db, group), bounds.durable(), &entries)?;
            for entry in entries.entries() {
                put_payload(db, batch, group, entry);
            }
            Ok(Box::new(|| {}))
        });
        self.writer
            .write(job.of_bytes(bytes).after_the_others())
            .await
    }

    fn health(&self) -> StorageHealth {
        self.writer.health()
    }
}

fn put_append(
    db: &DB,
    writes: &mut WriteBatch,
    group: GroupId,
    before: LogBounds,
    append: &AppendBatch,
) {
    if let Some(kept) = append.truncate_from.and_then(LogIndex::previous) {
        delete(db, writes, group, kept, before.last.index);
    }
    let meta = family(db, META);
    for entry in append.entries.entries() {
        let key = entry_key(group, entry.index());
        let body = MetaBody {
            term: entry.term(),
            kind: entry.kind(),
        };
        writes.put_cf(meta, key, record::encode(&key, &body));
        put_payload(db, writes, group, entry);
    }
}

fn put_payload(db: &DB, writes: &mut WriteBatch, group: GroupId, entry: &Entry) {
    let key = entry_key(group, entry.index());
    let body = PayloadBody {
        term: entry.term(),
        payload: entry.payload.clone(),
    };
    writes.put_cf(family(db, PAYLOAD), key, record::encode(&key, &body));
}

/// Duty 12: only what is there under the same term, index and kind is replaced.
fn check_repair(
    reader: &Reader<'_>,
    bounds: LogBounds,
    entries: &LogSlice,
) -> Result<(), StorageError> {
    for entry in entries.entries() {
        let index = entry.index();
        let is_here = index > bounds.purged.index && index <= bounds.last.index;
        if !is_here || reader.metadata_at(index)? != EntryMeta::from(entry) {
            let reason = format!("{} is not in the log", entry.log_id);
            return Err(StorageError::Misuse { reason });
        }
    }
    Ok(())
}

fn put_purged(db: &DB, writes: &mut WriteBatch, group: GroupId, purged: LogId) {
    let key = StateKey::Purged.of(group);
    let record = record::encode(&key, &PurgedBody(purged));
    writes.put_cf(family(db, STATE), key, record);
}

/// Deletes the entries after `kept` up to and including `last`. One range each,
/// and never one that overlaps an earlier purge: many ranges over the same keys
/// make every read slower.
fn delete(db: &DB, writes: &mut WriteBatch, group: GroupId, kept: LogIndex, last: LogIndex) {
    if last <= kept {
        return;
    }
    let (from, to) = (entry_key(group, kept.next()), entry_key(group, last.next()));
    writes.delete_range_cf(family(db, META), from, to);
    writes.delete_range_cf(family(db, PAYLOAD), from, to);
}
