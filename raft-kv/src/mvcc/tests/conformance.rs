//! The duties of a state machine, as `raft-core` checks them.

use bytes::Bytes;
use raft_core::async_trait;
use raft_core::testing::conformance::state_machine::StateMachineHarness;

use super::crash::crashed_copy;
use super::*;

raft_core::state_machine_conformance!(Harness::new());

/// A directory that a crash replaces by a copy of itself.
struct Harness {
    directory: TempDir,
    store: Option<MvccStore>,
}

impl Harness {
    fn new() -> Self {
        Self {
            directory: TempDir::new().unwrap(),
            store: None,
        }
    }
}

#[async_trait]
impl StateMachineHarness for Harness {
    type Machine = MvccMachine;

    async fn open(&mut self) -> MvccMachine {
        let never = Duration::from_secs(24 * 3600);
        let path = self.directory.path();
        let (store, machine) = MvccStore::open_with(&flushing_every(never), path).unwrap();
        self.store = Some(store);
        machine
    }

    async fn crash(&mut self, machine: MvccMachine) {
        // Dropped after the copy: what it still flushes is in nobody's way.
        self.directory = crashed_copy(self.directory.path());
        drop(machine);
        self.store = None;
    }

    fn another(&self) -> Self {
        Self::new()
    }

    fn command(&self, number: u64) -> Bytes {
        let key = format!("k{}", number % 5);
        let command = match number % 4 {
            0 => Command::DeleteRange(delete(&key, "")),
            _ => Command::Put(put(&key, &number.to_string())),
        };
        command.encode().into()
    }

    async fn contents(&mut self, _machine: &mut MvccMachine) -> Vec<u8> {
        let store = self.store.as_ref().unwrap();
        let everything = store.range(&range("\0", "\0")).unwrap();
        format!("{everything:?}, {}", store.hash().unwrap()).into_bytes()
    }
}
