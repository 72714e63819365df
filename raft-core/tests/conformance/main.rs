//! The in-memory stores keep their duties; broken ones are caught, by name.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails by panicking"
)]

mod broken_log;
mod broken_vote;

use raft_core::memory::{MemoryLogStore, MemoryStableStore};
use raft_core::testing::conformance::log_store::LogStoreHarness;
use raft_core::testing::conformance::stable_store::StableStoreHarness;
use raft_core::{LogIndex, async_trait};

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
        self.stable.lose();
        true
    }

    async fn fail_next_save(&mut self, _store: &MemoryStableStore) -> bool {
        false
    }
}
