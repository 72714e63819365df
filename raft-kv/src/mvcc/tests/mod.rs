//! Tests of the store as a whole, and the words they speak.

mod conformance;
mod crash;
mod machine;
mod model;
mod ranges;
mod revisions;
mod snapshots;
mod transactions;

use std::path::Path;
use std::time::Duration;

use raft_core::{Entry, LogId, LogSlice, Membership, Payload, RequestId, StateMachine};
use raft_storage_rocks::machine::MachineOptions;
use tempfile::TempDir;

use super::{MvccMachine, MvccStore, QueryError};
use crate::command::{Command, CommandResult, Outcome, Response};
use crate::model::{
    Compare, CompareResult, CompareTarget, DeleteRange, KeyRange, KeyValue, KvError, Op, OpResult,
    Put, Range, RangeResult, SortOrder, SortTarget, Txn, TxnResult,
};

/// A store with its machine, fed with entries of term 1 one after the other.
struct Replica {
    store: MvccStore,
    machine: MvccMachine,
    directory: TempDir,
}

impl Replica {
    fn new() -> Self {
        Self::open(TempDir::new().unwrap())
    }

    fn open(directory: TempDir) -> Self {
        // No flush in the background: a test says when what was applied becomes durable.
        Self::flushing_every(Duration::from_secs(24 * 3600), directory)
    }

    fn flushing_every(interval: Duration, directory: TempDir) -> Self {
        let (store, machine) =
            MvccStore::open_with(&flushing_every(interval), directory.path()).unwrap();
        Self {
            store,
            machine,
            directory,
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn next_index(&self) -> u64 {
        self.store.last_applied().index.next().get()
    }

    /// Applies commands as one run of entries.
    async fn apply_all(&mut self, commands: &[Command]) -> Vec<Response> {
        let responses = self
            .machine
            .apply(entries(self.next_index(), commands))
            .await
            .unwrap();
        responses
            .iter()
            .map(|bytes| Response::decode(bytes).unwrap())
            .collect()
    }

    async fn apply(&mut self, command: Command) -> Response {
        self.apply_all(&[command]).await.remove(0)
    }

    /// Applies a command that is not refused.
    async fn done(&mut self, command: Command) -> Outcome {
        match self.apply(command).await {
            Response::Ok(outcome) => outcome,
            refused => panic!("{refused:?}"),
        }
    }

    /// Why a command is refused; the revision stays.
    async fn refusal(&mut self, command: Command) -> KvError {
        let before = self.store.revision().unwrap();
        match self.apply(command).await {
            Response::Refused { error, revision } => {
                assert_eq!((revision, self.store.revision().unwrap()), (before, before));
                error
            }
            done => panic!("{done:?}"),
        }
    }

    async fn txn(&mut self, txn: Txn) -> TxnResult {
        match self.done(Command::Txn(txn)).await.result {
            CommandResult::Txn(result) => result,
            other => panic!("{other:?}"),
        }
    }

    async fn put(&mut self, key: &str, value: &str) -> i64 {
        self.done(Command::Put(put(key, value))).await.revision
    }

    async fn delete(&mut self, key: &str) -> i64 {
        self.done(Command::DeleteRange(delete(key, "")))
            .await
            .revision
    }

    fn range(&self, range: &Range) -> RangeResult {
        self.store.range(range).unwrap().0
    }

    fn get(&self, key: &str) -> Option<KeyValue> {
        self.range(&range(key, "")).kvs.pop()
    }

    fn range_refusal(&self, range: &Range) -> KvError {
        match self.store.range(range) {
            Err(QueryError::Refused(error)) => error,
            other => panic!("{other:?}"),
        }
    }
}

fn flushing_every(flush_interval: Duration) -> MachineOptions {
    MachineOptions {
        flush_interval,
        ..MachineOptions::default()
    }
}

fn entries(first_index: u64, commands: &[Command]) -> LogSlice {
    let entry = |(index, command): (u64, &Command)| {
        Entry::command(
            LogId::new(1, index),
            RequestId::default(),
            command.encode().into(),
        )
    };
    LogSlice::new((first_index..).zip(commands).map(entry).collect()).unwrap()
}

fn membership_entry(index: u64, membership: Membership) -> LogSlice {
    let entry = Entry {
        log_id: LogId::new(1, index),
        payload: Payload::Membership(Box::new(membership)),
    };
    LogSlice::new(vec![entry]).unwrap()
}

fn keys(key: &str, end: &str) -> KeyRange {
    KeyRange {
        key: key.into(),
        range_end: end.into(),
    }
}

fn put(key: &str, value: &str) -> Put {
    Put {
        key: key.into(),
        value: value.into(),
        prev_kv: false,
        ignore_value: false,
    }
}

fn delete(key: &str, end: &str) -> DeleteRange {
    DeleteRange {
        keys: keys(key, end),
        prev_kv: false,
    }
}

fn range(key: &str, end: &str) -> Range {
    Range {
        keys: keys(key, end),
        limit: 0,
        revision: 0,
        sort_order: SortOrder::None,
        sort_target: SortTarget::Key,
        keys_only: false,
        count_only: false,
        min_mod_revision: 0,
        max_mod_revision: 0,
        min_create_revision: 0,
        max_create_revision: 0,
    }
}

fn compare(keys: KeyRange, result: CompareResult, target: CompareTarget) -> Compare {
    Compare {
        keys,
        result,
        target,
    }
}

fn names(result: &RangeResult) -> Vec<&str> {
    result
        .kvs
        .iter()
        .map(|kv| std::str::from_utf8(&kv.key).unwrap())
        .collect()
}
