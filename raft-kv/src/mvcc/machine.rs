//! The state machine that the log drives.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raft_core::{
    AppliedState, CheckpointTask, Entry, LogIndex, LogSlice, Payload, Snapshot, SnapshotMeta,
    SnapshotReader, StateMachine, StorageError, async_trait,
};
use rocksdb::WriteBatch;
use tokio::task::spawn_blocking;

use super::apply::Executor;
use super::flush::Flusher;
use super::record::{self, APPLIED_KEY, Applied, MEMBERSHIP_KEY};
use super::restore::Loader;
use super::snapshot;
use super::state::{Family, Position, Shared, State};

/// How often a full disk is asked whether there is space again.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// Applies committed entries to the store that [`super::MvccStore`] reads.
///
/// Runs on tokio: disk work goes to its threads for blocking work. Dropping it
/// flushes what was applied.
pub struct MvccMachine {
    shared: Arc<Shared>,
    flusher: Flusher,
}

impl MvccMachine {
    pub(super) fn new(shared: Arc<Shared>, flush_interval: Duration) -> Result<Self, StorageError> {
        let flusher = Flusher::start(Arc::clone(&shared), flush_interval)?;
        Ok(Self { shared, flusher })
    }

    /// Makes everything applied so far durable, without waiting for the next
    /// flush in the background.
    ///
    /// # Errors
    ///
    /// When the disk fails; the store is then closed for writing.
    pub async fn flush(&self) -> Result<(), StorageError> {
        flush(self.shared.state()).await
    }
}

#[async_trait]
impl StateMachine for MvccMachine {
    async fn applied(&mut self) -> Result<AppliedState, StorageError> {
        Ok(self.shared.state().position().applied)
    }

    async fn apply(&mut self, entries: LogSlice) -> Result<Vec<Bytes>, StorageError> {
        let state = self.shared.state();
        let responses = once_there_is_space(|| {
            let (state, entries) = (Arc::clone(&state), entries.clone());
            blocking("applying entries", move || apply(&state, &entries))
        });
        let responses = responses.await?;
        self.flusher.unflushed(state.unflushed_bytes());
        Ok(responses)
    }

    fn durable_applied(&self) -> LogIndex {
        self.shared.state().durable()
    }

    async fn checkpoint(&mut self) -> Result<CheckpointTask, StorageError> {
        let state = self.shared.state();
        let reached = state.position().applied.last_applied.index;
        Ok(Box::pin(async move {
            if state.durable() < reached {
                flush(Arc::clone(&state)).await?;
            }
            Ok(state.durable())
        }))
    }

    async fn snapshot(&mut self) -> Result<Snapshot, StorageError> {
        snapshot::take(self.shared.state()).await
    }

    async fn restore(
        &mut self,
        meta: SnapshotMeta,
        mut reader: Box<dyn SnapshotReader>,
    ) -> Result<(), StorageError> {
        const DOING: &str = "restoring a snapshot";
        let shared = Arc::clone(&self.shared);
        let mut loader = blocking(DOING, move || Loader::begin(&shared)).await?;
        while let Some(chunk) = reader.next_chunk().await? {
            loader = blocking(DOING, move || loader.feed(&chunk)).await?;
        }
        let shared = Arc::clone(&self.shared);
        blocking(DOING, move || shared.replace(loader.finish(&meta)?)).await
    }
}

async fn flush(state: Arc<State>) -> Result<(), StorageError> {
    once_there_is_space(|| {
        let state = Arc::clone(&state);
        blocking("flushing applied entries", move || state.flush())
    })
    .await
}

/// Does `work` again and again while the disk is full: the log has the entries, and
/// whoever waits for them waits for space.
async fn once_there_is_space<T, W: Future<Output = Result<T, StorageError>>>(
    work: impl Fn() -> W,
) -> Result<T, StorageError> {
    let mut is_full = false;
    loop {
        match work().await {
            Err(StorageError::Full { doing, source }) => {
                if !is_full {
                    tracing::error!(doing, %source, "the disk is full: applying waits for space");
                }
                is_full = true;
                tokio::time::sleep(ASK_EVERY).await;
            }
            done => {
                if is_full {
                    tracing::info!("the disk has space again");
                }
                return done;
            }
        }
    }
}

/// Runs disk work where it cannot hold up the runtime.
pub(super) async fn blocking<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(stopped) => Err(StorageError::io(doing, stopped)),
    }
}

/// Applies a run of entries as one write that also holds the position it reaches.
fn apply(state: &State, entries: &LogSlice) -> Result<Vec<Bytes>, StorageError> {
    let _writing = state.lock_for_writing()?;
    let mut position = state.position();
    let Some(last) = check_follows(&position, entries)? else {
        return Ok(Vec::new());
    };
    let base = state.base();
    let mut executor = Executor::new(&base, position.revision);
    let mut responses = Vec::with_capacity(entries.len());
    let mut membership = None;
    for Entry { payload, .. } in entries.entries() {
        responses.push(match payload {
            Payload::Command { data, .. } => executor.apply_encoded(data)?.encode().into(),
            Payload::Blank => Bytes::new(),
            Payload::Membership(new) => {
                membership = Some(new.as_ref().clone());
                Bytes::new()
            }
        });
    }
    position.revision = executor.newest();
    position.applied.last_applied = last;
    let mut batch = WriteBatch::default();
    executor.into_pending().write_to(&mut batch, state);
    if membership.is_some() {
        position.applied.membership = membership;
    }
    write_position(&mut batch, state, &position);
    state.write(batch, position)?;
    Ok(responses)
}

/// Identity of the last entry, if there is any; a gap or a repetition is refused.
fn check_follows(
    position: &Position,
    entries: &LogSlice,
) -> Result<Option<raft_core::LogId>, StorageError> {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
        return Ok(None);
    };
    let before = position.applied.last_applied;
    if first.index != before.index.next() || first.term < before.term {
        let reason = format!("entry {first} does not follow {before}, the last applied");
        return Err(StorageError::Misuse { reason });
    }
    Ok(Some(last))
}

/// Adds the position to a batch, so that it lands together with the data.
pub(super) fn write_position(batch: &mut WriteBatch, state: &State, position: &Position) {
    let meta = state.family(Family::Meta);
    let applied = Applied {
        log_id: position.applied.last_applied,
        revision: position.revision,
    };
    batch.put_cf(meta, APPLIED_KEY, applied.encode());
    if let Some(membership) = &position.applied.membership {
        batch.put_cf(meta, MEMBERSHIP_KEY, record::seal_membership(membership));
    }
}
