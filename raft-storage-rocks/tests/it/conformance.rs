//! The suites of raft-core, on real files. A crash here abandons the store
//! without closing anything; `crash.rs` kills whole processes.

use raft_core::testing::conformance::log_store::LogStoreHarness;
use raft_core::testing::conformance::stable_store::StableStoreHarness;
use raft_core::{LogIndex, async_trait};
use raft_storage_rocks::{RocksLogStore, RocksStableStore};

use crate::support::{GROUP, Place, entry_key, vote_key};

raft_core::log_store_conformance!(Harness(Place::new()));
raft_core::stable_store_conformance!(Harness(Place::new()));

struct Harness(Place);

#[async_trait]
impl LogStoreHarness for Harness {
    type Store = RocksLogStore;

    async fn open(&mut self) -> RocksLogStore {
        self.0
            .open()
            .log_store(GROUP)
            .expect("the bounds can be read")
    }

    async fn crash(&mut self, store: RocksLogStore) {
        drop(store);
    }

    async fn damage_payload(&mut self, index: LogIndex) -> bool {
        self.0
            .rewrite("payload", &entry_key(index.get()), |record| {
                let last = record.len() - 1;
                record[last] ^= 1;
            });
        true
    }

    async fn fail_next_write(&mut self, _store: &RocksLogStore) -> bool {
        false
    }
}

#[async_trait]
impl StableStoreHarness for Harness {
    type Store = RocksStableStore;

    async fn open(&mut self) -> RocksStableStore {
        self.0.open().stable_store(GROUP)
    }

    async fn crash(&mut self, store: RocksStableStore) {
        drop(store);
    }

    async fn lose_value(&mut self) -> bool {
        self.0.remove("state", &vote_key());
        true
    }

    async fn fail_next_save(&mut self, _store: &RocksStableStore) -> bool {
        false
    }
}
