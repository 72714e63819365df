//! State machines that break one duty each: the suite names it.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use raft_core::memory::MemoryStateMachine;
use raft_core::testing::conformance::state_machine::{self, StateMachineHarness};
use raft_core::{
    AppliedState, CheckpointTask, Entry, LogId, LogIndex, LogSlice, Payload, Snapshot,
    SnapshotMeta, SnapshotReader, StateMachine, StorageError, async_trait,
};

/// How a state machine breaks its contract.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    /// 1: answers with a number that others draw from, too.
    AnswersByChance,
    /// 2: takes a command for a repetition if it was restarted since.
    SkipsAfterACrash,
    /// 3: a crash takes the last effect and leaves the position.
    LosesTheEffectOnly,
    /// 4: answers commands alone.
    AnswersCommandsAlone,
    /// 5: calls durable what a crash takes.
    PretendsToBeDurable,
    /// 6: reads what it holds when the snapshot is read.
    SnapshotsLater,
    /// 6: says that its snapshots hold one entry more.
    NamesTheWrongMoment,
    /// 7: names the position of the checkpoint before.
    CheckpointsTooLow,
    /// 8: empties itself before it has read the new state.
    EmptiesItselfFirst,
    /// 8: takes each chunk for a command.
    TakesChunksForRecords,
}

static CHANCE: AtomicU64 = AtomicU64::new(0);

/// What a crash leaves, and how the state machine misbehaves.
struct Broken {
    flaw: Flaw,
    disk: MemoryStateMachine,
    crashes: u64,
}

fn with(flaw: Flaw) -> Broken {
    Broken {
        flaw,
        disk: MemoryStateMachine::new(),
        crashes: 0,
    }
}

struct Machine {
    flaw: Flaw,
    state: MemoryStateMachine,
    /// The position before the last apply.
    before: LogIndex,
    skips: bool,
    entries: Vec<Entry>,
}

#[async_trait]
impl StateMachineHarness for Broken {
    type Machine = Machine;

    async fn open(&mut self) -> Machine {
        Machine {
            flaw: self.flaw,
            state: self.disk.clone(),
            before: LogIndex::ZERO,
            skips: self.flaw == Flaw::SkipsAfterACrash && self.crashes > 0,
            entries: Vec::new(),
        }
    }

    async fn crash(&mut self, mut machine: Machine) {
        self.crashes += 1;
        let loses = match self.flaw {
            Flaw::LosesTheEffectOnly | Flaw::PretendsToBeDurable => true,
            // What it applied since is gone, as it may be, and comes again.
            Flaw::SkipsAfterACrash => true,
            _ => false,
        };
        if loses && !machine.entries.is_empty() {
            let last = machine.entries.pop().unwrap();
            let mut left = MemoryStateMachine::new();
            let mut kept = std::mem::take(&mut machine.entries);
            if self.flaw == Flaw::LosesTheEffectOnly {
                kept.push(Entry::blank(last.log_id));
            }
            left.apply(LogSlice::new(kept).unwrap()).await.unwrap();
            self.disk = left;
        }
    }

    fn another(&self) -> Self {
        // The twin is sound where the flaw would only be met by itself.
        with(self.flaw)
    }

    fn command(&self, number: u64) -> Bytes {
        format!("command {number};").into()
    }

    async fn contents(&mut self, machine: &mut Machine) -> Vec<u8> {
        machine.state.commands().concat()
    }
}

#[async_trait]
impl StateMachine for Machine {
    async fn applied(&mut self) -> Result<AppliedState, StorageError> {
        self.state.applied().await
    }

    async fn apply(&mut self, entries: LogSlice) -> Result<Vec<Bytes>, StorageError> {
        self.before = self.state.durable_applied();
        let mut entries = entries.into_entries();
        if std::mem::take(&mut self.skips) {
            for entry in &mut entries {
                *entry = Entry::blank(entry.log_id);
            }
        }
        self.entries.extend(entries.iter().cloned());
        let commands: Vec<bool> = entries
            .iter()
            .map(|entry| matches!(entry.payload, Payload::Command { .. }))
            .collect();
        let mut responses = self.state.apply(LogSlice::new(entries).unwrap()).await?;
        match self.flaw {
            Flaw::AnswersByChance => {
                let drawn = CHANCE.fetch_add(1, Ordering::Relaxed).to_string();
                responses[0] = drawn.into();
            }
            Flaw::AnswersCommandsAlone => {
                let mut commands = commands.into_iter();
                responses.retain(|_| commands.next().unwrap());
            }
            _ => {}
        }
        Ok(responses)
    }

    fn durable_applied(&self) -> LogIndex {
        match self.flaw {
            // It tells the truth of what it loses, but for one.
            Flaw::SkipsAfterACrash => self.before,
            _ => self.state.durable_applied(),
        }
    }

    async fn checkpoint(&mut self) -> Result<CheckpointTask, StorageError> {
        let durable = match self.flaw {
            Flaw::CheckpointsTooLow => LogIndex::new(1),
            _ => self.state.durable_applied(),
        };
        Ok(Box::pin(async move { Ok(durable) }))
    }

    async fn snapshot(&mut self) -> Result<Snapshot, StorageError> {
        let mut snapshot = self.state.snapshot().await?;
        match self.flaw {
            Flaw::SnapshotsLater => {
                let state = self.state.clone();
                snapshot.reader = Box::new(Later { state, inner: None });
            }
            Flaw::NamesTheWrongMoment => {
                let LogId { term, index } = snapshot.meta.last_included;
                let index = index.next();
                snapshot.meta.last_included = LogId { term, index };
            }
            _ => {}
        }
        Ok(snapshot)
    }

    async fn restore(
        &mut self,
        meta: SnapshotMeta,
        mut reader: Box<dyn SnapshotReader>,
    ) -> Result<(), StorageError> {
        match self.flaw {
            Flaw::EmptiesItselfFirst => {
                let nothing = Box::new(Whole(BytesMut::new()));
                self.state.restore(SnapshotMeta::default(), nothing).await?;
                self.state.restore(meta, reader).await
            }
            Flaw::TakesChunksForRecords => {
                let mut bytes = BytesMut::new();
                while let Some(chunk) = reader.next_chunk().await? {
                    if chunk.len() > 8 {
                        bytes.extend_from_slice(&chunk);
                    }
                }
                self.state.restore(meta, Box::new(Whole(bytes))).await
            }
            _ => self.state.restore(meta, reader).await,
        }
    }
}

/// Asks for the state when it is read.
struct Later {
    state: MemoryStateMachine,
    inner: Option<Box<dyn SnapshotReader>>,
}

#[async_trait]
impl SnapshotReader for Later {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        if self.inner.is_none() {
            self.inner = Some(self.state.snapshot().await?.reader);
        }
        self.inner.as_mut().unwrap().next_chunk().await
    }
}

/// All bytes at once.
struct Whole(BytesMut);

#[async_trait]
impl SnapshotReader for Whole {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        let bytes = std::mem::take(&mut self.0);
        Ok((!bytes.is_empty()).then(|| bytes.freeze()))
    }
}

#[tokio::test]
#[should_panic(expected = "duty 1, deterministic")]
async fn answers_by_chance_are_caught() {
    let mut broken = with(Flaw::AnswersByChance);
    state_machine::equal_entries_give_equal_states_and_responses(&mut broken).await;
}

#[tokio::test]
#[should_panic(expected = "duty 2, in order and once")]
async fn a_command_taken_for_a_repetition_is_caught() {
    let mut broken = with(Flaw::SkipsAfterACrash);
    state_machine::what_a_crash_leaves_goes_on_where_it_stands(&mut broken).await;
}

#[tokio::test]
#[should_panic(expected = "duty 3, atomic with its position")]
async fn a_position_without_its_effect_is_caught() {
    let mut broken = with(Flaw::LosesTheEffectOnly);
    state_machine::what_a_crash_leaves_goes_on_where_it_stands(&mut broken).await;
}

#[tokio::test]
#[should_panic(expected = "duty 4, one response per entry")]
async fn a_missing_response_is_caught() {
    let mut broken = with(Flaw::AnswersCommandsAlone);
    state_machine::each_entry_gets_one_response(&mut broken).await;
}

#[tokio::test]
#[should_panic(expected = "duty 5, honest durability")]
async fn pretended_durability_is_caught() {
    let mut broken = with(Flaw::PretendsToBeDurable);
    state_machine::what_a_crash_leaves_goes_on_where_it_stands(&mut broken).await;
}

#[tokio::test]
#[should_panic(expected = "duty 6, snapshots are a moment")]
async fn a_snapshot_of_a_later_moment_is_caught() {
    let mut broken = with(Flaw::SnapshotsLater);
    state_machine::a_snapshot_is_of_its_moment(&mut broken).await;
}

#[tokio::test]
#[should_panic(expected = "duty 6, snapshots are a moment")]
async fn a_snapshot_that_names_another_moment_is_caught() {
    let mut broken = with(Flaw::NamesTheWrongMoment);
    state_machine::a_snapshot_is_of_its_moment(&mut broken).await;
}

#[tokio::test]
#[should_panic(expected = "duty 7, checkpoints are honest")]
async fn a_checkpoint_of_an_earlier_moment_is_caught() {
    let mut broken = with(Flaw::CheckpointsTooLow);
    state_machine::a_checkpoint_names_what_is_durable(&mut broken).await;
}

#[tokio::test]
#[should_panic(expected = "duty 8, restore is all or nothing")]
async fn a_state_that_a_broken_stream_empties_is_caught() {
    let mut broken = with(Flaw::EmptiesItselfFirst);
    state_machine::a_broken_stream_leaves_the_old_state(&mut broken).await;
}

#[tokio::test]
#[should_panic(expected = "duty 8, restore is all or nothing")]
async fn a_state_that_a_crash_leaves_empty_is_caught() {
    let mut broken = with(Flaw::EmptiesItselfFirst);
    state_machine::a_restore_interrupted_by_a_crash_is_all_or_nothing(&mut broken).await;
}

#[tokio::test]
#[should_panic(expected = "duty 8, a snapshot is its bytes")]
async fn chunks_taken_for_records_are_caught() {
    let mut broken = with(Flaw::TakesChunksForRecords);
    state_machine::where_chunks_end_means_nothing(&mut broken).await;
}
