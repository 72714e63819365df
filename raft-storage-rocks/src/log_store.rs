//! The log of one group.

use std::sync::Arc;

use async_trait::async_trait;
use raft_core::{
    AppendBatch, EntryMeta, LogBounds, LogId, LogIndex, LogSlice, LogStore, StorageError,
    StorageHealth, StoredEntry,
};
use rocksdb::DB;

use crate::change::Change;
use crate::group::{FromMemory, Group};
use crate::merging::Merging;
use crate::metrics::ReadMetrics;
use crate::read::{DOING, METADATA_PAGE, Reader};
use crate::writer::Writer;

/// A [`LogStore`] in a [`RocksStore`](crate::RocksStore).
///
/// Reads of recent entries are answered from memory, at once. Others run on tokio's
/// threads for blocking work: they may go to the disk.
pub struct RocksLogStore {
    db: Arc<DB>,
    writer: Arc<Writer>,
    group: Arc<Group>,
    merging: Arc<Merging>,
    metrics: ReadMetrics,
}

impl RocksLogStore {
    pub(crate) fn new(
        db: Arc<DB>,
        writer: Arc<Writer>,
        group: Arc<Group>,
        merging: Arc<Merging>,
    ) -> Self {
        Self {
            merging,
            db,
            writer,
            group,
            metrics: ReadMetrics::new(),
        }
    }

    /// What memory has, or else what the database says.
    async fn answer<T: Send + 'static>(
        &self,
        memory: FromMemory<T>,
        read: impl FnOnce(&Reader<'_>, LogBounds) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let bounds = match memory {
            FromMemory::Found(answer) => {
                self.metrics.hits.increment(1);
                return Ok(answer);
            }
            FromMemory::Outside(answer) => return Ok(answer),
            FromMemory::Missing(bounds) => bounds,
        };
        self.metrics.misses.increment(1);
        let (db, group) = (Arc::clone(&self.db), self.group.id);
        let merging = Arc::clone(&self.merging);
        let reading = tokio::task::spawn_blocking(move || {
            let reader = Reader::new(&db, group);
            let answer = read(&reader, bounds);
            merging.look_at(reader.unreadable());
            answer
        });
        reading
            .await
            .unwrap_or_else(|error| Err(StorageError::io(DOING, error)))
    }
}

#[async_trait]
impl LogStore for RocksLogStore {
    async fn append(&self, batch: AppendBatch) -> Result<(), StorageError> {
        let group = Arc::clone(&self.group);
        self.writer.write(Change::Append(group, batch)).await
    }

    async fn read(
        &self,
        first: LogIndex,
        last: LogIndex,
        max_bytes: usize,
    ) -> Result<Vec<StoredEntry>, StorageError> {
        let memory = self.group.entries(first, last, max_bytes);
        self.answer(memory, move |reader, bounds| {
            reader.entries(bounds, first, last, max_bytes)
        })
        .await
    }

    async fn metadata(
        &self,
        first: LogIndex,
        last: LogIndex,
    ) -> Result<Vec<EntryMeta>, StorageError> {
        let memory = self.group.metadata(first, last, METADATA_PAGE);
        self.answer(memory, move |reader, bounds| {
            let first = first.max(bounds.purged.index.next());
            reader.metadata(first, last.min(bounds.last.index))
        })
        .await
    }

    async fn bounds(&self) -> Result<LogBounds, StorageError> {
        Ok(self.group.bounds())
    }

    async fn purge(&self, up_to: LogId) -> Result<(), StorageError> {
        let group = Arc::clone(&self.group);
        self.writer.write(Change::Purge(group, up_to)).await
    }

    async fn reset(&self, snapshot: LogId) -> Result<(), StorageError> {
        let group = Arc::clone(&self.group);
        self.writer.write(Change::Reset(group, snapshot)).await
    }

    async fn repair(&self, entries: LogSlice) -> Result<(), StorageError> {
        let group = Arc::clone(&self.group);
        self.writer.write(Change::Repair(group, entries)).await
    }

    fn health(&self) -> StorageHealth {
        self.writer.health()
    }
}
