//! The in-memory stores keep their duties; broken ones are caught, by name.

use raft_core::memory::{MemoryLogStore, MemoryStableStore};
use raft_core::testing::conformance::log_store::{self, LogStoreHarness};
use raft_core::testing::conformance::stable_store::{self, StableStoreHarness};
use raft_core::{
    AppendBatch, Entry, EntryMeta, HardState, LogBounds, LogId, LogIndex, LogStore, StableState,
    StableStore, StorageError, StorageHealth, StoredEntry, async_trait,
};

raft_core::log_store_conformance!(Sound::default());
raft_core::stable_store_conformance!(Sound::default());

/// The stores of this crate; a "crash" keeps what they hold, as a disk would.
#[derive(Default)]
struct Sound {
    log: MemoryLogStore,
    stable: MemoryStableStore,
}

#[async_trait]
impl LogStoreHarness for Sound {
    type Store = MemoryLogStore;

    async fn open(&mut self) -> MemoryLogStore {
        self.log.clone()
    }

    async fn crash(&mut self, _store: MemoryLogStore) {}

    async fn damage_payload(&mut self, _index: LogIndex) -> bool {
        false
    }

    async fn fail_next_write(&mut self, _store: &MemoryLogStore) -> bool {
        false
    }
}

#[async_trait]
impl StableStoreHarness for Sound {
    type Store = MemoryStableStore;

    async fn open(&mut self) -> MemoryStableStore {
        self.stable.clone()
    }

    async fn crash(&mut self, _store: MemoryStableStore) {}

    async fn lose_value(&mut self) -> bool {
        false
    }

    async fn fail_next_save(&mut self, _store: &MemoryStableStore) -> bool {
        false
    }
}

/// How a store breaks its contract.
#[derive(Clone, Copy, PartialEq)]
enum Flaw {
    /// Returns before anything is durable.
    ForgetsInACrash,
    /// Makes the cut and the run durable apart, and crashes between them.
    TearsAppends,
    /// Returns damaged data as if it were good.
    BelievesDamage,
    /// Appends whatever it is given.
    ChecksNothing,
    /// Forgets the cut that comes with an append.
    LosesTruncations,
}

struct Broken {
    flaw: Flaw,
    disk: MemoryLogStore,
    damaged: Option<LogIndex>,
}

impl Broken {
    fn with(flaw: Flaw) -> Self {
        Self {
            flaw,
            disk: MemoryLogStore::new(),
            damaged: None,
        }
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
        false
    }
}

struct BrokenLog {
    flaw: Flaw,
    log: MemoryLogStore,
    damaged: Option<LogIndex>,
}

#[async_trait]
impl LogStore for BrokenLog {
    async fn append(&self, batch: AppendBatch) -> Result<(), StorageError> {
        match self.flaw {
            Flaw::TearsAppends if batch.truncate_from.is_some() => {
                let cut = AppendBatch {
                    truncate_from: batch.truncate_from,
                    ..Default::default()
                };
                self.log.append(cut).await?;
                tokio::task::yield_now().await;
                self.log
                    .append(AppendBatch {
                        truncate_from: None,
                        ..batch
                    })
                    .await
            }
            Flaw::LosesTruncations | Flaw::ChecksNothing => {
                drop(
                    self.log
                        .append(AppendBatch {
                            truncate_from: None,
                            ..batch
                        })
                        .await,
                );
                Ok(())
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
        let mut found = self.log.read(first, last, max_bytes).await?;
        for stored in &mut found {
            if let StoredEntry::Entry(entry) = stored
                && self.damaged == Some(entry.index())
            {
                *stored = StoredEntry::Entry(Entry::blank(entry.log_id));
            }
        }
        Ok(found)
    }

    async fn metadata(
        &self,
        first: LogIndex,
        last: LogIndex,
    ) -> Result<Vec<EntryMeta>, StorageError> {
        self.log.metadata(first, last).await
    }

    async fn bounds(&self) -> Result<LogBounds, StorageError> {
        self.log.bounds().await
    }

    async fn purge(&self, up_to: LogId) -> Result<(), StorageError> {
        self.log.purge(up_to).await
    }

    async fn reset(&self, snapshot: LogId) -> Result<(), StorageError> {
        self.log.reset(snapshot).await
    }

    fn health(&self) -> StorageHealth {
        StorageHealth::Healthy
    }
}

#[tokio::test]
#[should_panic(expected = "duty 1, durable before return")]
async fn a_store_that_returns_before_it_is_durable_is_caught() {
    log_store::an_append_survives_a_crash(&mut Broken::with(Flaw::ForgetsInACrash)).await;
}

#[tokio::test]
#[should_panic(expected = "duty 2, atomic")]
async fn a_store_that_is_not_atomic_is_caught() {
    let mut harness = Broken::with(Flaw::TearsAppends);
    log_store::an_append_interrupted_by_a_crash_is_all_or_nothing(&mut harness).await;
}

#[tokio::test]
#[should_panic(expected = "duty 3, in order")]
async fn a_store_that_loses_a_truncation_is_caught() {
    log_store::appends_take_effect_in_order(&mut Broken::with(Flaw::LosesTruncations)).await;
}

#[tokio::test]
#[should_panic(expected = "duty 4, checked")]
async fn a_store_that_checks_nothing_is_caught() {
    let mut harness = Broken::with(Flaw::ChecksNothing);
    log_store::a_gap_an_overlap_and_a_cut_below_the_purge_are_refused(&mut harness).await;
}

#[tokio::test]
#[should_panic(expected = "duty 5, reads tell the truth")]
async fn a_store_that_returns_damaged_data_is_caught() {
    let mut harness = Broken::with(Flaw::BelievesDamage);
    log_store::a_damaged_payload_is_corrupt_and_never_data(&mut harness).await;
}

/// A vote store that cannot tell what it lost from what it never had.
struct Forgetful(MemoryStableStore);

#[async_trait]
impl StableStoreHarness for Forgetful {
    type Store = ForgetfulStore;

    async fn open(&mut self) -> ForgetfulStore {
        ForgetfulStore(self.0.clone())
    }

    async fn crash(&mut self, _store: ForgetfulStore) {}

    async fn lose_value(&mut self) -> bool {
        self.0 = MemoryStableStore::new();
        true
    }

    async fn fail_next_save(&mut self, _store: &ForgetfulStore) -> bool {
        true
    }
}

struct ForgetfulStore(MemoryStableStore);

#[async_trait]
impl StableStore for ForgetfulStore {
    async fn load(&self) -> Result<StableState, StorageError> {
        self.0.load().await
    }

    async fn save(&self, state: HardState) -> Result<(), StorageError> {
        self.0.save(state).await
    }
}

#[tokio::test]
#[should_panic(expected = "duty 4, empty is not lost")]
async fn a_vote_store_that_takes_lost_for_empty_is_caught() {
    let mut harness = Forgetful(MemoryStableStore::new());
    stable_store::a_store_that_lost_its_vote_says_so(&mut harness).await;
}

#[tokio::test]
#[should_panic(expected = "duty 5, failure is final")]
async fn a_vote_store_that_goes_on_after_a_failure_is_caught() {
    let mut harness = Forgetful(MemoryStableStore::new());
    stable_store::after_a_failed_save_the_store_is_closed(&mut harness).await;
}
