//! A state machine in memory that writes itself to a disk now and then, and flaws
//! that it may have.

use std::collections::HashSet;
use std::hash::RandomState;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use raft_core::testing::conformance::state_machine::StateMachineHarness;
use raft_core::{
    AppliedState, CheckpointTask, LogIndex, LogSlice, Membership, Payload, Snapshot, SnapshotMeta,
    SnapshotReader, StateMachine, StorageError, async_trait,
};

/// How a ledger breaks its contract.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Flaw {
    AnswersByChance,
    HoldsInRandomOrder,
    AnswersByBatch,
    SkipsAfterACrash,
    WritesThePositionFirst,
    WritesThePositionLast,
    AnswersCommandsAlone,
    PretendsToBeDurable,
    SnapshotsLater,
    SnapshotsTooLittle,
    CheckpointsTooMuch,
    CheckpointsTooLittle,
    EmptiesItselfFirst,
    RestoresInMemory,
    RestoresPieceByPiece,
    NeverEnds,
    Panics,
}

static CHANCE: AtomicU64 = AtomicU64::new(0);

/// It writes itself to its disk at multiples of this.
const FLUSH_EVERY: u64 = 8;

/// All lines, and the entry that brought the last of them.
#[derive(Clone, Debug, Default)]
struct State {
    at: AppliedState,
    lines: Vec<Bytes>,
}

/// What a crash leaves.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<State>>);

impl Disk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

pub(crate) struct Harness {
    flaw: Option<Flaw>,
    disk: Disk,
    crashes: u64,
}

impl Harness {
    pub(crate) fn with(flaw: Option<Flaw>) -> Self {
        Self {
            flaw,
            disk: Disk::default(),
            crashes: 0,
        }
    }
}

#[async_trait]
impl StateMachineHarness for Harness {
    type Machine = Ledger;

    async fn open(&mut self) -> Ledger {
        let state = self.disk.lock().clone();
        Ledger {
            flaw: self.flaw,
            disk: self.disk.clone(),
            state: Arc::new(Mutex::new(state)),
            skips: self.crashes > 0,
            hasher: RandomState::new(),
        }
    }

    async fn crash(&mut self, _ledger: Ledger) {
        self.crashes += 1;
    }

    fn another(&self) -> Self {
        Self::with(self.flaw)
    }

    fn command(&self, number: u64) -> Bytes {
        format!("line {number};").into()
    }

    async fn contents(&mut self, ledger: &mut Ledger) -> Vec<u8> {
        if ledger.has(Flaw::HoldsInRandomOrder) {
            let mut lines = HashSet::with_hasher(ledger.hasher.clone());
            lines.extend(ledger.lock().lines.iter().cloned());
            return lines.iter().flatten().copied().collect();
        }
        ledger.lock().lines.concat()
    }
}

pub(crate) struct Ledger {
    flaw: Option<Flaw>,
    disk: Disk,
    state: Arc<Mutex<State>>,
    skips: bool,
    hasher: RandomState,
}

impl Ledger {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn flush(&self) {
        let state = self.lock().clone();
        if self.has(Flaw::WritesThePositionLast) {
            self.disk.lock().lines = state.lines.clone();
            step_aside().await;
        }
        *self.disk.lock() = state;
    }

    fn take_line(&mut self, data: &Bytes, batch: usize) -> Bytes {
        if std::mem::take(&mut self.skips) && self.has(Flaw::SkipsAfterACrash) {
            return Bytes::new();
        }
        let mut state = self.lock();
        state.lines.push(data.clone());
        let count = state.lines.len();
        match self.flaw {
            Some(Flaw::AnswersByBatch) => format!("{count} by {batch}"),
            Some(Flaw::AnswersByChance) => CHANCE.fetch_add(1, Ordering::Relaxed).to_string(),
            _ => count.to_string(),
        }
        .into()
    }
}

#[async_trait]
impl StateMachine for Ledger {
    async fn applied(&mut self) -> Result<AppliedState, StorageError> {
        Ok(self.lock().at.clone())
    }

    async fn apply(&mut self, entries: LogSlice) -> Result<Vec<Bytes>, StorageError> {
        let mut answers = Vec::new();
        let batch = entries.len();
        for entry in entries.entries() {
            let answer = match &entry.payload {
                Payload::Command { data, .. } => Some(self.take_line(data, batch)),
                Payload::Membership(membership) => {
                    self.lock().at.membership = Some(membership.as_ref().clone());
                    None
                }
                Payload::Blank => None,
            };
            if answer.is_some() || !self.has(Flaw::AnswersCommandsAlone) {
                answers.push(answer.unwrap_or_default());
            }
            self.lock().at.last_applied = entry.log_id;
            if self.has(Flaw::WritesThePositionFirst) {
                self.disk.lock().at = self.lock().at.clone();
            }
            let index = entry.index().get();
            if index.is_multiple_of(FLUSH_EVERY) {
                self.flush().await;
            }
            if index == 20 && self.has(Flaw::NeverEnds) {
                std::future::pending::<()>().await;
            }
            assert!(index < 20 || !self.has(Flaw::Panics), "out of paper");
            step_aside().await;
        }
        Ok(answers)
    }

    fn durable_applied(&self) -> LogIndex {
        match self.has(Flaw::PretendsToBeDurable) {
            true => self.lock().at.last_applied.index,
            false => self.disk.lock().at.last_applied.index,
        }
    }

    async fn checkpoint(&mut self) -> Result<CheckpointTask, StorageError> {
        let (disk, live, flaw) = (self.disk.clone(), Arc::clone(&self.state), self.flaw);
        let state = self.lock().clone();
        Ok(Box::pin(async move {
            step_aside().await;
            let at = state.at.last_applied.index;
            if at > disk.lock().at.last_applied.index {
                *disk.lock() = state;
            }
            Ok(match flaw {
                Some(Flaw::CheckpointsTooMuch) => live.lock().unwrap().at.last_applied.index,
                Some(Flaw::CheckpointsTooLittle) => at.previous().unwrap_or_default(),
                _ => at,
            })
        }))
    }

    async fn snapshot(&mut self) -> Result<Snapshot, StorageError> {
        let state = self.lock().clone();
        let mut lines = state.lines;
        if self.has(Flaw::SnapshotsTooLittle) {
            lines.pop();
        }
        Ok(Snapshot {
            meta: SnapshotMeta {
                last_included: state.at.last_applied,
                membership: state.at.membership.unwrap_or_default(),
            },
            reader: Box::new(Lines {
                live: self
                    .has(Flaw::SnapshotsLater)
                    .then(|| Arc::clone(&self.state)),
                lines,
                next: 0,
            }),
        })
    }

    async fn restore(
        &mut self,
        meta: SnapshotMeta,
        mut reader: Box<dyn SnapshotReader>,
    ) -> Result<(), StorageError> {
        if self.has(Flaw::EmptiesItselfFirst) {
            self.lock().lines.clear();
        }
        let membership: Option<Membership> = Some(meta.membership);
        let at = AppliedState {
            last_applied: meta.last_included,
            membership,
        };
        let mut bytes = BytesMut::new();
        while let Some(chunk) = reader.next_chunk().await? {
            bytes.extend_from_slice(&chunk);
            if self.has(Flaw::RestoresPieceByPiece) {
                let lines = vec![bytes.clone().freeze()];
                let at = at.clone();
                *self.disk.lock() = State { at, lines };
            }
        }
        let state = State {
            at,
            lines: decode(bytes.freeze()),
        };
        if !self.has(Flaw::RestoresInMemory) {
            *self.disk.lock() = state.clone();
        }
        *self.lock() = state;
        Ok(())
    }
}

/// Lines, each behind its length.
struct Lines {
    lines: Vec<Bytes>,
    next: usize,
    /// What is read in their place.
    live: Option<Arc<Mutex<State>>>,
}

#[async_trait]
impl SnapshotReader for Lines {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        if let Some(live) = &self.live {
            self.lines = live.lock().unwrap().lines.clone();
        }
        let line = self.lines.get(self.next);
        self.next += 1;
        Ok(line.map(|line| {
            let mut chunk = BytesMut::new();
            chunk.put_u32(u32::try_from(line.len()).unwrap());
            chunk.put(line.clone());
            chunk.freeze()
        }))
    }
}

fn decode(mut bytes: Bytes) -> Vec<Bytes> {
    let mut lines = Vec::new();
    while bytes.has_remaining() {
        let length = bytes.get_u32();
        lines.push(bytes.split_to(usize::try_from(length).unwrap()));
    }
    lines
}

/// Lets others run, as a real disk would.
async fn step_aside() {
    let mut is_first = true;
    std::future::poll_fn(|context| {
        if std::mem::take(&mut is_first) {
            context.waker().wake_by_ref();
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(())
    })
    .await;
}
