//! A state machine whose disk fills up. Only root may mount one that is small enough;
//! otherwise the tests say that they are skipped.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use raft_core::{
    Entry, LogId, LogIndex, LogSlice, RequestId, SnapshotReader, StateMachine, StorageError,
    async_trait,
};
use raft_storage_rocks::machine::{Application, Changes, MachineOptions, Moment, RocksMachine};
use tempfile::TempDir;

use crate::small_disk::{SmallDisk, noise};

const KEPT: &str = "kept";

/// Longer than a write waits for a flush, which is 10 seconds, and than RocksDB waits
/// before it looks for space again, which is 5.
const PATIENCE: Duration = Duration::from_secs(60);

/// An apply that takes longer than this waits for space.
const WAITS: Duration = Duration::from_secs(3);

const COMMAND_BYTES: usize = 64 << 10;

/// Keeps each command under its last bytes.
struct Keeper;

impl Application for Keeper {
    fn format(&self) -> &'static str {
        "keeper 1"
    }

    fn families(&self) -> &'static [&'static str] {
        &[KEPT]
    }

    fn apply(
        &self,
        _before: &Moment<'_>,
        commands: &[Bytes],
        changes: &mut Changes<'_>,
    ) -> Result<Vec<Bytes>, StorageError> {
        for command in commands {
            changes.put(KEPT, &command[command.len() - 8..], command)?;
        }
        Ok(vec![Bytes::new(); commands.len()])
    }
}

fn open(path: &Path) -> RocksMachine<Keeper> {
    let options = MachineOptions {
        write_buffer_bytes: 2 << 20,
        flush_bytes: 1 << 20,
        ..MachineOptions::default()
    };
    RocksMachine::open(path, Keeper, &options).unwrap()
}

fn command(number: u64) -> Bytes {
    noise(number, COMMAND_BYTES).into()
}

/// An entry with the command of this number.
fn entry(index: u64, number: u64) -> LogSlice {
    let entry = Entry::command(LogId::new(1, index), RequestId::default(), command(number));
    LogSlice::new(vec![entry]).unwrap()
}

async fn holds(machine: &RocksMachine<Keeper>, number: u64) -> bool {
    let (reader, command) = (machine.reader(), command(number));
    let key = command.slice(command.len() - 8..);
    let read = move || reader.read(|moment| moment.get(KEPT, &key));
    let found = tokio::task::spawn_blocking(read).await.unwrap().unwrap();
    found.is_some_and(|found| found == command)
}

/// What a stream consists of, a chunk at a time.
struct Chunks(std::vec::IntoIter<Bytes>);

#[async_trait]
impl SnapshotReader for Chunks {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        Ok(self.0.next())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_without_space_fails_and_leaves_the_old_state_and_all_its_room() {
    let Some(disk) = SmallDisk::new() else { return };
    let elsewhere = TempDir::new().unwrap();
    let mut source = open(elsewhere.path());
    for index in 1..=640 {
        source.apply(entry(index, index)).await.unwrap();
    }
    let mut snapshot = source.snapshot().await.unwrap();
    let mut chunks = Vec::new();
    while let Some(chunk) = snapshot.reader.next_chunk().await.unwrap() {
        chunks.push(chunk);
    }
    let stream = || Box::new(Chunks(chunks.clone().into_iter()));

    let mut machine = open(&disk.path());
    machine.apply(entry(1, 1000)).await.unwrap();
    machine.flush().await.unwrap();
    disk.leave_free(16 << 20);

    let restored = machine.restore(snapshot.meta.clone(), stream());
    let restored = tokio::time::timeout(PATIENCE, restored).await;

    let refused = restored.expect("it hangs").unwrap_err();
    assert!(matches!(refused, StorageError::Full { .. }), "{refused:?}");
    assert!(!disk.path().join("state-2").exists(), "it takes room");
    assert!(holds(&machine, 1000).await && !holds(&machine, 1).await);

    disk.free_space();
    machine.restore(snapshot.meta, stream()).await.unwrap();
    assert!(holds(&machine, 640).await && !holds(&machine, 1000).await);
}

/// A node that is told to stop gives it up; the log has what it lacks.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_waits_for_space_can_be_let_go_and_goes_on_where_it_was_durable() {
    let Some(disk) = SmallDisk::new() else { return };
    let mut machine = open(&disk.path());
    machine.apply(entry(1, 1)).await.unwrap();
    machine.flush().await.unwrap();
    disk.leave_free(8 << 20);
    let mut index = 2;
    // As a node that stops does: nobody waits for the answer any more.
    while tokio::time::timeout(WAITS, machine.apply(entry(index, index)))
        .await
        .is_ok_and(|applied| applied.is_ok())
    {
        index += 1;
        assert!(index < 10_000, "the disk is small, and was not filled");
    }

    let letting_go = tokio::task::spawn_blocking(move || drop(machine));
    let let_go = tokio::time::timeout(PATIENCE, letting_go).await;

    let_go.expect("it hangs").unwrap();
    disk.free_space();
    let mut machine = reopened(&disk.path()).await;
    let durable = machine.durable_applied();
    assert!(durable >= LogIndex::new(1), "{durable}");
    assert_eq!(machine.applied().await.unwrap().last_applied.index, durable);
    let next = durable.next().get();
    machine.apply(entry(next, next)).await.unwrap();
    assert!(holds(&machine, 1).await && holds(&machine, next).await);
}

/// Opens it as soon as what the one before still does has ended.
async fn reopened(path: &Path) -> RocksMachine<Keeper> {
    let opened = async {
        loop {
            match RocksMachine::open(path, Keeper, &MachineOptions::default()) {
                Ok(machine) => return machine,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, opened).await.unwrap()
}
