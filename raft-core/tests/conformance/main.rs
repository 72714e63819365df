//! The in-memory stores keep their duties; broken ones are caught, by name.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails by panicking"
)]

mod broken_files;
mod broken_log;
mod broken_machine;
mod broken_network;
mod broken_vote;
mod copied_vote;
mod file_log;
mod file_vote;
mod networks;
mod wires;

use bytes::Bytes;
use raft_core::memory::{MemoryLogStore, MemoryStableStore, MemoryStateMachine};
use raft_core::testing::conformance::log_store::LogStoreHarness;
use raft_core::testing::conformance::stable_store::StableStoreHarness;
use raft_core::testing::conformance::state_machine::StateMachineHarness;
use raft_core::{LogIndex, async_trait};

raft_core::log_store_conformance!(Sound::default());
raft_core::stable_store_conformance!(Sound::default());
raft_core::state_machine_conformance!(SoundMachine::default());

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

/// The state machine of this crate; a "crash" keeps what it holds.
#[derive(Default)]
struct SoundMachine {
    machine: MemoryStateMachine,
}

#[async_trait]
impl StateMachineHarness for SoundMachine {
    type Machine = MemoryStateMachine;

    async fn open(&mut self) -> MemoryStateMachine {
        self.machine.clone()
    }

    async fn crash(&mut self, _machine: MemoryStateMachine) {}

    fn another(&self) -> Self {
        Self::default()
    }

    fn command(&self, number: u64) -> Bytes {
        format!("command {number}").into()
    }

    async fn contents(&mut self, machine: &mut MemoryStateMachine) -> Vec<u8> {
        machine.commands().concat()
    }
}
