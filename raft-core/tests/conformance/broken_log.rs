//! Log stores that break one duty each: the suite names it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use raft_core::memory::MemoryLogStore;
use raft_core::testing::conformance::log_store::{self, LogStoreHarness};
use raft_core::{
    AppendBatch, Entry, EntryMeta, LogBounds, LogId, LogIndex, LogStore, StorageError,
    StorageHealth, StoredEntry, async_trait,
};
use tokio::task::yield_now;

/// How a store breaks its contract.
#[derive(Clone, Copy, PartialEq)]
enum Flaw {
    /// 1: pretends to be durable.
    ForgetsInACrash,
    /// 2: cuts first and appends later.
    TearsAppends,
    /// 3: forgets the cut that comes with a run.
    LosesCuts,
    /// 3: lets calls overtake each other.
    LetsCallsOvertake,
    /// 4: takes whatever it is given.
    ChecksNothing,
    /// 5: returns damaged data as if it were good.
    BelievesDamage,
    /// 5: takes damage for absence.
    HidesDamage,
    /// 6: reads on beyond the limit.
    ReadsWithoutLimit,
    /// 7: keeps metadata where the payload is.
    LosesMetadata,
    /// 8: purges what it has in memory and no further.
    ForgetsPurges,
    /// 9: cuts durably only when a run follows.
    ForgetsCutsAlone,
    /// 10: empties the log before it notes the snapshot.
    TearsResets,
    /// 11: goes on after a failure.
    GoesOnAfterFailure,
}

/// What is durable of a broken store, and what a test may do to it.
struct Broken {
    flaw: Flaw,
    disk: MemoryLogStore,
    damaged: Option<LogIndex>,
    fails: Arc<AtomicBool>,
}

fn with(flaw: Flaw) -> Broken {
    Broken {
        flaw,
        disk: MemoryLogStore::new(),
        damaged: None,
        fails: Arc::default(),
    }
}

#[async_trait]
impl LogStoreHarness for Broken {
    type Store = BrokenLog;

    async fn open(&mut self) -> BrokenLog {
        BrokenLog {
            flaw: self.flaw,
            log: self.disk.clone(),
            damaged: self.damaged,
            fails: Arc::clone(&self.fails),
            volatile: copy(&self.disk).await,
        }
    }

    async fn crash(&mut self, _store: BrokenLog) {
        if self.flaw == Flaw::ForgetsInACrash {
            self.disk = MemoryLogStore::new();
        }
    }

    async fn damage_payload(&mut self, index: LogIndex) -> bool {
        self.damaged = Some(index);
        true
    }

    async fn fail_next_write(&mut self, _store: &BrokenLog) -> bool {
        self.fails.store(true, Ordering::Relaxed);
        true
    }
}

struct BrokenLog {
    flaw: Flaw,
    /// What a crash leaves.
    log: MemoryLogStore,
    /// What readers see of a store that confuses the two.
    volatile: MemoryLogStore,
    damaged: Option<LogIndex>,
    fails: Arc<AtomicBool>,
}

/// The same log, sharing nothing.
async fn copy(log: &MemoryLogStore) -> MemoryLogStore {
    let copy = MemoryLogStore::new();
    let bounds = log.bounds().await.unwrap();
    copy.reset(bounds.purged).await.unwrap();
    for index in bounds.purged.index.get() + 1..=bounds.last.index.get() {
        let index = LogIndex::new(index);
        let found = log.read(index, index, 0).await.unwrap();
        if let [StoredEntry::Entry(entry)] = found.as_slice() {
            copy.append(run(entry.clone())).await.unwrap();
        }
    }
    copy
}

fn run(entry: Entry) -> AppendBatch {
    AppendBatch {
        truncate_from: None,
        entries: vec![entry].try_into().unwrap(),
    }
}

fn without_cut(batch: AppendBatch) -> AppendBatch {
    AppendBatch {
        truncate_from: None,
        ..batch
    }
}

fn only_cut(batch: &AppendBatch) -> AppendBatch {
    AppendBatch {
        truncate_from: batch.truncate_from,
        ..AppendBatch::default()
    }
}

impl BrokenLog {
    /// What readers see.
    fn seen(&self) -> &MemoryLogStore {
        match self.flaw {
            Flaw::ForgetsPurges | Flaw::ForgetsCutsAlone => &self.volatile,
            _ => &self.log,
        }
    }

    fn falsify(&self, stored: &mut StoredEntry) {
        let StoredEntry::Entry(entry) = stored else {
            return;
        };
        if self.damaged != Some(entry.index()) {
            return;
        }
        *stored = match self.flaw {
            Flaw::BelievesDamage => StoredEntry::Entry(Entry::blank(entry.log_id)),
            Flaw::HidesDamage => StoredEntry::Absent {
                index: entry.index(),
            },
            _ => StoredEntry::Corrupt {
                index: entry.index(),
                meta: Some(EntryMeta::from(&*entry)),
                reason: "damaged by the test".into(),
            },
        };
    }
}

#[async_trait]
impl LogStore for BrokenLog {
    async fn append(&self, batch: AppendBatch) -> Result<(), StorageError> {
        if self.fails.swap(false, Ordering::Relaxed) {
            return Err(StorageError::io("appending", "told to fail"));
        }
        match self.flaw {
            Flaw::TearsAppends if batch.truncate_from.is_some() => {
                self.log.append(only_cut(&batch)).await?;
                yield_now().await;
                self.log.append(without_cut(batch)).await
            }
            Flaw::LosesCuts | Flaw::ChecksNothing => {
                drop(self.log.append(without_cut(batch)).await);
                Ok(())
            }
            Flaw::LetsCallsOvertake => {
                yield_now().await;
                self.log.append(batch).await
            }
            Flaw::ForgetsPurges => {
                self.log.append(batch.clone()).await?;
                self.volatile.append(batch).await
            }
            Flaw::ForgetsCutsAlone => {
                if !batch.entries.is_empty() {
                    self.log.append(batch.clone()).await?;
                }
                self.volatile.append(batch).await
            }
            _ => self.log.append(batch).await,
        }
    }

    async fn read(
        &self,
        first: LogIndex,
        last: LogIndex,
        max_bytes: usize,
    ) -> Result<Vec<StoredEntry>, StorageError> {
        let limit = match self.flaw {
            Flaw::ReadsWithoutLimit => usize::MAX,
            _ => max_bytes,
        };
        let mut found = self.seen().read(first, last, limit).await?;
        found.iter_mut().for_each(|stored| self.falsify(stored));
        Ok(found)
    }

    async fn metadata(
        &self,
        first: LogIndex,
        last: LogIndex,
    ) -> Result<Vec<EntryMeta>, StorageError> {
        let mut found = self.seen().metadata(first, last).await?;
        if self.flaw == Flaw::LosesMetadata {
            found.retain(|meta| Some(meta.log_id.index) != self.damaged);
        }
        Ok(found)
    }

    async fn bounds(&self) -> Result<LogBounds, StorageError> {
        self.seen().bounds().await
    }

    async fn purge(&self, up_to: LogId) -> Result<(), StorageError> {
        self.seen().purge(up_to).await
    }

    async fn reset(&self, snapshot: LogId) -> Result<(), StorageError> {
        if self.flaw == Flaw::TearsResets {
            self.log.reset(LogId::ZERO).await?;
            yield_now().await;
        }
        self.log.reset(snapshot).await
    }

    fn health(&self) -> StorageHealth {
        StorageHealth::Healthy
    }
}

#[tokio::test]
#[should_panic(expected = "duty 1, durable before return")]
async fn a_store_that_returns_before_it_is_durable_is_caught() {
    log_store::an_append_survives_a_crash(&mut with(Flaw::ForgetsInACrash)).await;
}

#[tokio::test]
#[should_panic(expected = "duty 2, atomic")]
async fn a_store_that_tears_an_append_is_caught() {
    let mut harness = with(Flaw::TearsAppends);
    log_store::an_append_interrupted_by_a_crash_is_all_or_nothing(&mut harness).await;
}

#[tokio::test]
#[should_panic(expected = "duty 3, in order")]
async fn a_store_that_loses_a_cut_is_caught() {
    log_store::appends_take_effect_in_order(&mut with(Flaw::LosesCuts)).await;
}

#[tokio::test]
#[should_panic(expected = "duty 3, in order")]
async fn a_store_whose_calls_overtake_each_other_is_caught() {
    log_store::calls_in_flight_take_effect_in_order(&mut with(Flaw::LetsCallsOvertake)).await;
}

#[tokio::test]
#[should_panic(expected = "duty 4, checked")]
async fn a_store_that_checks_nothing_is_caught() {
    let mut harness = with(Flaw::ChecksNothing);
    log_store::a_gap_an_overlap_and_a_cut_below_the_purge_are_refused(&mut harness).await;
}

#[tokio::test]
#[should_panic(expected = "duty 5, reads tell the truth")]
async fn a_store_that_returns_damaged_data_is_caught() {
    let mut harness = with(Flaw::BelievesDamage);
    log_store::a_damaged_payload_is_corrupt_and_never_data(&mut harness).await;
}

#[tokio::test]
#[should_panic(expected = "duty 5, reads tell the truth")]
async fn a_store_that_takes_damage_for_absence_is_caught() {
    let mut harness = with(Flaw::HidesDamage);
    log_store::a_damaged_payload_is_corrupt_and_never_data(&mut harness).await;
}

#[tokio::test]
#[should_panic(expected = "duty 6, reads are bounded")]
async fn a_store_that_reads_without_limit_is_caught() {
    log_store::reads_stop_at_the_byte_limit(&mut with(Flaw::ReadsWithoutLimit)).await;
}

#[tokio::test]
#[should_panic(expected = "duty 7, metadata outlives payloads")]
async fn a_store_that_loses_metadata_with_the_payload_is_caught() {
    log_store::metadata_outlives_a_damaged_payload(&mut with(Flaw::LosesMetadata)).await;
}

#[tokio::test]
#[should_panic(expected = "duty 8, purge is remembered")]
async fn a_store_that_forgets_a_purge_in_a_crash_is_caught() {
    log_store::a_purge_is_remembered(&mut with(Flaw::ForgetsPurges)).await;
}

#[tokio::test]
#[should_panic(expected = "duty 9, bounds are the truth after open")]
async fn a_store_that_comes_back_with_other_bounds_is_caught() {
    log_store::bounds_are_the_truth_after_a_crash(&mut with(Flaw::ForgetsCutsAlone)).await;
}

#[tokio::test]
#[should_panic(expected = "duty 10, reset is one step")]
async fn a_store_that_tears_a_reset_is_caught() {
    let mut harness = with(Flaw::TearsResets);
    log_store::a_reset_interrupted_by_a_crash_is_all_or_nothing(&mut harness).await;
}

#[tokio::test]
#[should_panic(expected = "duty 11, failure is final")]
async fn a_store_that_goes_on_after_a_failure_is_caught() {
    let mut harness = with(Flaw::GoesOnAfterFailure);
    log_store::after_a_failed_write_the_store_is_closed(&mut harness).await;
}
