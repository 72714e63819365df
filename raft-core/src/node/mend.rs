//! Puts undamaged copies into the log store.
//!
//! A store that cannot replace single entries gets the end of its log anew, from the
//! damaged entry on: one append that cuts there and adds the copy and all that
//! follows. It is atomic, and what it adds is what was there, so it changes no
//! entry. All that follows must be readable for that; as long as it is not, or is too
//! much to be in memory at once, the copy alone is in memory, and the protocol offers it
//! again when the next damaged entry above is mended.

use super::error::NodeError;
use super::inbound::Completion;
use crate::entry::{Entry, LogSlice};
use crate::error::StorageError;
use crate::log_store::{AppendBatch, LogStore, StoredEntry};
use crate::types::LogIndex;

/// Most bytes of entries that are written anew for the sake of one.
const MAX_REWRITTEN_BYTES: usize = 64 << 20;

/// Replaces damaged entries by `sound` ones. Answers those that are durable.
pub(super) async fn mend(
    log: &dyn LogStore,
    sound: LogSlice,
) -> Result<Vec<Completion>, NodeError> {
    let is_mended = match log.repair(sound.clone()).await {
        Ok(()) => true,
        Err(StorageError::Misuse { reason }) => {
            let is_mended = write_anew(log, &sound).await?;
            if !is_mended {
                tracing::warn!(reason, "a damaged entry stays damaged on disk for now");
            }
            is_mended
        }
        Err(source) => return Err(NodeError::storage("mending the log", source)),
    };
    let ids = sound.entries().iter().map(|entry| entry.log_id);
    Ok(match is_mended {
        true => ids.map(Completion::Repaired).collect(),
        false => Vec::new(),
    })
}

/// Writes the log anew from the first of `sound` on. Answers whether that was possible.
async fn write_anew(log: &dyn LogStore, sound: &LogSlice) -> Result<bool, NodeError> {
    let failed = |source| NodeError::storage("reading the log to mend it", source);
    let (Some(first), Some(last)) = (sound.first(), sound.last()) else {
        return Ok(false);
    };
    // The log may have been cut or purged since.
    let known = log.metadata(first.index, last.index).await;
    let known: Vec<_> = known.map_err(failed)?.iter().map(|m| m.log_id).collect();
    if !known
        .iter()
        .eq(sound.entries().iter().map(|entry| &entry.log_id))
    {
        return Ok(false);
    }
    let end = log.bounds().await.map_err(failed)?.last.index;
    let Some(mut entries) = read_sound(log, last.index.next(), end).await? else {
        return Ok(false);
    };
    entries.splice(..0, sound.entries().iter().cloned());
    let Ok(entries) = LogSlice::new(entries) else {
        return Ok(false);
    };
    let truncate_from = Some(first.index);
    let batch = AppendBatch {
        truncate_from,
        entries,
    };
    match log.append(batch).await {
        Ok(()) => Ok(true),
        Err(StorageError::Misuse { .. }) => Ok(false),
        Err(source) => Err(NodeError::storage("mending the log", source)),
    }
}

/// The entries from `next` to `last`, if all can be read and are not too much.
async fn read_sound(
    log: &dyn LogStore,
    mut next: LogIndex,
    last: LogIndex,
) -> Result<Option<Vec<Entry>>, NodeError> {
    let (mut entries, mut room) = (Vec::new(), MAX_REWRITTEN_BYTES);
    while next <= last {
        let read = log.read(next, last, room).await;
        let read =
            read.map_err(|source| NodeError::storage("reading the log to mend it", source))?;
        let before = entries.len();
        for answer in read {
            let StoredEntry::Entry(entry) = answer else {
                return Ok(None);
            };
            let Some(left) = room.checked_sub(entry.size()) else {
                return Ok(None);
            };
            room = left;
            next = entry.index().next();
            entries.push(entry);
        }
        if entries.len() == before {
            return Ok(None);
        }
    }
    Ok(Some(entries))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::entry::EntryMeta;
    use crate::log_store::{LogBounds, StorageHealth};
    use crate::types::LogId;

    /// A log with damage, in a store that cannot replace single entries.
    #[derive(Default)]
    struct Refusing {
        log: Mutex<Vec<Entry>>,
        damaged: Mutex<BTreeSet<LogIndex>>,
    }

    impl Refusing {
        fn with_damage_at(damaged: &[u64]) -> Self {
            let store = Self::default();
            store.log.lock().unwrap().extend((1..=5).map(blank));
            let damaged = damaged.iter().map(|&index| LogIndex::new(index));
            store.damaged.lock().unwrap().extend(damaged);
            store
        }

        fn is_whole(&self) -> bool {
            let sound: Vec<_> = (1..=5).map(blank).collect();
            *self.log.lock().unwrap() == sound && self.damaged.lock().unwrap().is_empty()
        }

        fn within(&self, first: LogIndex, last: LogIndex) -> Vec<Entry> {
            let log = self.log.lock().unwrap();
            let range = first..=last;
            let within = log.iter().filter(|entry| range.contains(&entry.index()));
            within.cloned().collect()
        }
    }

    #[async_trait]
    impl LogStore for Refusing {
        async fn append(&self, batch: AppendBatch) -> Result<(), StorageError> {
            let mut log = self.log.lock().unwrap();
            if let Some(cut) = batch.truncate_from {
                drop(self.damaged.lock().unwrap().split_off(&cut));
                log.retain(|entry| entry.index() < cut);
            }
            log.extend(batch.entries.into_entries());
            Ok(())
        }

        /// An entry at a time.
        async fn read(
            &self,
            first: LogIndex,
            _: LogIndex,
            _: usize,
        ) -> Result<Vec<StoredEntry>, StorageError> {
            let found = self.within(first, first).into_iter();
            let answer = |entry: Entry| match self.damaged.lock().unwrap().contains(&entry.index())
            {
                false => StoredEntry::Entry(entry),
                true => StoredEntry::Corrupt {
                    index: entry.index(),
                    meta: None,
                    reason: "checksum mismatch".into(),
                },
            };
            Ok(found.map(answer).collect())
        }

        async fn metadata(
            &self,
            first: LogIndex,
            last: LogIndex,
        ) -> Result<Vec<EntryMeta>, StorageError> {
            let within = self.within(first, last);
            Ok(within.iter().map(EntryMeta::from).collect())
        }

        async fn bounds(&self) -> Result<LogBounds, StorageError> {
            let last = self.log.lock().unwrap().last().map(|entry| entry.log_id);
            Ok(LogBounds {
                purged: LogId::ZERO,
                last: last.unwrap_or(LogId::ZERO),
            })
        }

        async fn purge(&self, _: LogId) -> Result<(), StorageError> {
            Ok(())
        }

        async fn reset(&self, _: LogId) -> Result<(), StorageError> {
            Ok(())
        }

        fn health(&self) -> StorageHealth {
            StorageHealth::Healthy
        }
    }

    fn blank(index: u64) -> Entry {
        Entry::blank(LogId::new(1, index))
    }

    /// Offers a copy of one entry. Answers whether the store has it now.
    async fn offer(store: &Refusing, copy: Entry) -> bool {
        let log_id = copy.log_id;
        let sound = LogSlice::new(vec![copy]).unwrap();
        let done = mend(store, sound).await.unwrap();
        matches!(done[..], [Completion::Repaired(id)] if id == log_id)
    }

    #[tokio::test]
    async fn a_store_that_refuses_repair_gets_its_end_anew() {
        let store = Refusing::with_damage_at(&[3]);

        assert!(offer(&store, blank(3)).await);

        assert!(store.is_whole());
    }

    #[tokio::test]
    async fn the_last_of_two_damaged_entries_goes_first() {
        let store = Refusing::with_damage_at(&[2, 4]);

        assert!(!offer(&store, blank(2)).await);
        assert!(offer(&store, blank(4)).await);
        assert!(offer(&store, blank(2)).await);

        assert!(store.is_whole());
    }

    #[tokio::test]
    async fn what_the_log_does_not_hold_is_not_written() {
        let store = Refusing::with_damage_at(&[]);

        assert!(!offer(&store, Entry::blank(LogId::new(2, 3))).await);
        assert!(!offer(&store, blank(6)).await);

        assert!(store.is_whole());
    }
}
