//! The suites of raft-core, on real files.
//!
//! A crash here is an image of the directory, taken while the store is open and
//! perhaps writing; the next store opens the image. Nothing gets a chance to be
//! flushed or closed. `crash.rs` kills whole processes.

use raft_core::testing::conformance::log_store::LogStoreHarness;
use raft_core::testing::conformance::stable_store::StableStoreHarness;
use raft_core::{LogIndex, async_trait};
use raft_storage_rocks::{RocksLogStore, RocksStableStore, RocksStore};

use crate::support::{GROUP, Place, vote_key};

raft_core::log_store_conformance!(Harness::new());
raft_core::stable_store_conformance!(Harness::new());

struct Harness {
    place: Place,
    open: Option<RocksStore>,
}

impl Harness {
    fn new() -> Self {
        Self {
            place: Place::new(),
            open: None,
        }
    }

    fn open_store(&mut self) -> &RocksStore {
        self.open.insert(self.place.open())
    }

    /// From here on, the place is what a crash at this moment would have left.
    fn abandon(&mut self) {
        self.place = self.place.image();
        self.open = None;
    }

    fn fail_next(&self) -> bool {
        self.open
            .as_ref()
            .expect("a store is open")
            .fail_next_write();
        true
    }
}

#[async_trait]
impl LogStoreHarness for Harness {
    type Store = RocksLogStore;

    async fn open(&mut self) -> RocksLogStore {
        let store = self.open_store();
        store.log_store(GROUP).expect("the bounds can be read")
    }

    async fn crash(&mut self, _store: RocksLogStore) {
        self.abandon();
    }

    async fn damage_payload(&mut self, index: LogIndex) -> bool {
        self.place.damage_payload(index.get());
        true
    }

    async fn fail_next_write(&mut self, _store: &RocksLogStore) -> bool {
        self.fail_next()
    }
}

#[async_trait]
impl StableStoreHarness for Harness {
    type Store = RocksStableStore;

    async fn open(&mut self) -> RocksStableStore {
        self.open_store().stable_store(GROUP)
    }

    async fn crash(&mut self, _store: RocksStableStore) {
        self.abandon();
    }

    async fn lose_value(&mut self) -> bool {
        self.place.remove("state", &vote_key());
        true
    }

    async fn fail_next_save(&mut self, _store: &RocksStableStore) -> bool {
        self.fail_next()
    }
}
