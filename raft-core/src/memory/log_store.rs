//! A log in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;

use crate::entry::{Entry, EntryMeta, LogSlice};
use crate::error::StorageError;
use crate::log_store::{AppendBatch, LogBounds, LogStore, StorageHealth, StoredEntry};
use crate::types::{LogId, LogIndex};

/// A [`LogStore`] in memory. Clones share their content.
#[derive(Clone, Debug, Default)]
pub struct MemoryLogStore {
    log: Arc<Mutex<Log>>,
}

#[derive(Debug, Default)]
struct Log {
    purged: LogId,
    entries: VecDeque<Entry>,
}

impl Log {
    fn last(&self) -> LogId {
        self.entries
            .back()
            .map_or(self.purged, |entry| entry.log_id)
    }

    fn get(&self, index: LogIndex) -> Option<&Entry> {
        let first = self.purged.index.next();
        let offset = usize::try_from(index.distance_from(first)).ok()?;
        if index < first {
            None
        } else {
            self.entries.get(offset)
        }
    }

    /// Duty 4: a gap, an overlap or a cut below what was purged changes nothing.
    fn check(&self, batch: &AppendBatch) -> Result<(), StorageError> {
        let misuse = |reason: String| Err(StorageError::Misuse { reason });
        let mut last = self.last().index;
        if let Some(cut) = batch.truncate_from {
            if cut <= self.purged.index {
                return misuse(format!("cut at {cut}, purged up to {}", self.purged));
            }
            last = last.min(cut.previous().unwrap_or_default());
        }
        match batch.entries.first() {
            Some(first) if first.index != last.next() => {
                misuse(format!("append at {first}, the log ends at {last}"))
            }
            _ => Ok(()),
        }
    }
}

impl MemoryLogStore {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no holder of this lock panics")
    }
}

#[async_trait]
impl LogStore for MemoryLogStore {
    async fn append(&self, batch: AppendBatch) -> Result<(), StorageError> {
        let mut log = self.lock();
        log.check(&batch)?;
        if let Some(cut) = batch.truncate_from {
            while log.entries.back().is_some_and(|entry| entry.index() >= cut) {
                log.entries.pop_back();
            }
        }
        log.entries.extend(batch.entries.entries().iter().cloned());
        Ok(())
    }

    async fn read(
        &self,
        first: LogIndex,
        last: LogIndex,
        max_bytes: usize,
    ) -> Result<Vec<StoredEntry>, StorageError> {
        let log = self.lock();
        let (mut answers, mut bytes, mut index) = (Vec::new(), 0, first);
        while index <= last && (answers.is_empty() || bytes < max_bytes) {
            answers.push(match log.get(index) {
                Some(entry) => {
                    bytes += entry.size();
                    StoredEntry::Entry(entry.clone())
                }
                None => StoredEntry::Absent { index },
            });
            // Nothing follows the end of the log; one answer says so.
            if index > log.last().index {
                break;
            }
            index = index.next();
        }
        Ok(answers)
    }

    async fn metadata(
        &self,
        first: LogIndex,
        last: LogIndex,
    ) -> Result<Vec<EntryMeta>, StorageError> {
        let log = self.lock();
        let within = |entry: &&Entry| entry.index() >= first && entry.index() <= last;
        Ok(log
            .entries
            .iter()
            .filter(within)
            .map(EntryMeta::from)
            .collect())
    }

    async fn bounds(&self) -> Result<LogBounds, StorageError> {
        let log = self.lock();
        Ok(LogBounds {
            purged: log.purged,
            last: log.last(),
        })
    }

    async fn purge(&self, up_to: LogId) -> Result<(), StorageError> {
        let mut log = self.lock();
        if up_to.index > log.last().index {
            let reason = format!("purge up to {up_to}, the log ends at {}", log.last());
            return Err(StorageError::Misuse { reason });
        }
        while log
            .entries
            .front()
            .is_some_and(|entry| entry.index() <= up_to.index)
        {
            log.entries.pop_front();
        }
        log.purged = log.purged.max(up_to);
        Ok(())
    }

    async fn reset(&self, snapshot: LogId) -> Result<(), StorageError> {
        *self.lock() = Log {
            purged: snapshot,
            entries: VecDeque::new(),
        };
        Ok(())
    }

    async fn repair(&self, entries: LogSlice) -> Result<(), StorageError> {
        let mut log = self.lock();
        let first = log.purged.index.next();
        for entry in entries.into_entries() {
            let offset = entry.index().distance_from(first);
            let place = usize::try_from(offset).unwrap_or(usize::MAX);
            match log.entries.get_mut(place) {
                Some(held) if held.log_id == entry.log_id => *held = entry,
                _ => {
                    let reason = format!("{} is not in the log", entry.log_id);
                    return Err(StorageError::Misuse { reason });
                }
            }
        }
        Ok(())
    }

    fn health(&self) -> StorageHealth {
        StorageHealth::Healthy
    }

    fn is_done_at_once(&self) -> bool {
        true
    }
}
