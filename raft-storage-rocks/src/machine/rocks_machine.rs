//! The state machine that the log drives.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raft_core::{
    AppliedState, CheckpointTask, Entry, LogId, LogIndex, LogSlice, Membership, Payload, Snapshot,
    SnapshotMeta, SnapshotReader, StateMachine, StorageError, async_trait,
};
use tokio::task::spawn_blocking;

use super::active::Active;
use super::aside::Aside;
use super::flusher::Flusher;
use super::moment::Changes;
use super::options::MachineOptions;
use super::position::RAFT;
use super::reader::StateReader;
use super::restore::Loader;
use super::state::{Layout, State};
use super::{Application, snapshot};
use crate::keys::DEFAULT;

/// How often a full disk is asked whether there is space again.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// Applies committed entries to an [`Application`]'s state.
///
/// Runs on tokio: disk work goes to its threads for blocking work. Dropping it, and
/// the last reader, flushes what was applied.
pub struct RocksMachine<A> {
    application: Arc<A>,
    active: Arc<Active>,
    flusher: Flusher,
}

impl<A: Application> RocksMachine<A> {
    /// Opens the state under `path`, or begins an empty one. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// When another process has it open, it is damaged, or cannot be read or written;
    /// when the application's names cannot be used.
    pub fn open(
        path: impl AsRef<Path>,
        application: A,
        options: &MachineOptions,
    ) -> Result<Self, StorageError> {
        check_names(&application)?;
        let application = Arc::new(application);
        let layout = Arc::new(Layout::of(Arc::clone(&application), options));
        let active = Arc::new(Active::open(path.as_ref(), &layout)?);
        let flusher = Flusher::start(Arc::clone(&active), options)?;
        Ok(Self {
            application,
            active,
            flusher,
        })
    }

    /// A handle for queries.
    pub fn reader(&self) -> StateReader {
        StateReader::new(Arc::clone(&self.active))
    }

    /// Makes everything applied so far durable, without waiting for the next
    /// flush in the background.
    ///
    /// # Errors
    ///
    /// When the disk fails; the state is then closed for writing.
    pub async fn flush(&self) -> Result<(), StorageError> {
        flush(self.active.state()).await
    }
}

#[async_trait]
impl<A: Application> StateMachine for RocksMachine<A> {
    async fn applied(&mut self) -> Result<AppliedState, StorageError> {
        Ok(self.active.state().position())
    }

    async fn apply(&mut self, entries: LogSlice) -> Result<Vec<Bytes>, StorageError> {
        let state = self.active.state();
        let responses = once_there_is_space(|| {
            let (state, entries) = (Arc::clone(&state), entries.clone());
            let application = Arc::clone(&self.application);
            blocking("applying entries", move || {
                apply(&*application, &state, &entries)
            })
        });
        let responses = responses.await?;
        self.flusher.unflushed(state.unflushed_bytes());
        Ok(responses)
    }

    fn durable_applied(&self) -> LogIndex {
        self.active.state().durable()
    }

    async fn checkpoint(&mut self) -> Result<CheckpointTask, StorageError> {
        let state = self.active.state();
        let reached = state.position().last_applied.index;
        Ok(Box::pin(async move {
            if state.durable() < reached {
                flush(Arc::clone(&state)).await?;
            }
            Ok(state.durable())
        }))
    }

    async fn snapshot(&mut self) -> Result<Snapshot, StorageError> {
        snapshot::take(self.active.state()).await
    }

    async fn restore(
        &mut self,
        meta: SnapshotMeta,
        mut reader: Box<dyn SnapshotReader>,
    ) -> Result<(), StorageError> {
        const DOING: &str = "restoring a snapshot";
        let active = Arc::clone(&self.active);
        let mut loader = Aside::new(blocking(DOING, move || Loader::begin(&active)).await?);
        loop {
            match reader.next_chunk().await {
                Ok(Some(chunk)) => {
                    let loading = loader.take();
                    loader = Aside::new(blocking(DOING, move || loading.feed(&chunk)).await?);
                }
                Ok(None) => break,
                Err(broken) => {
                    loader.end().await;
                    return Err(broken);
                }
            }
        }
        let (active, loaded) = (Arc::clone(&self.active), loader.take());
        blocking(DOING, move || active.replace(loaded.finish(&meta)?)).await
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
async fn blocking<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(stopped) => Err(StorageError::io(doing, stopped)),
    }
}

/// Applies a run of entries as one write that also holds the position it reaches.
fn apply(
    application: &impl Application,
    state: &State,
    entries: &LogSlice,
) -> Result<Vec<Bytes>, StorageError> {
    let _writing = state.lock_for_writing()?;
    let mut position = state.position();
    let Some(last) = check_follows(&position, entries)? else {
        return Ok(Vec::new());
    };
    check_versions(application, entries)?;
    let commands = entries.entries().iter().filter_map(command);
    let commands: Vec<Bytes> = commands.cloned().collect();
    let mut changes = Changes::new(state);
    let responses = match commands.as_slice() {
        [] => Vec::new(),
        commands => application.apply(&state.moment(), commands, &mut changes)?,
    };
    if responses.len() != commands.len() {
        let (given, answered) = (commands.len(), responses.len());
        let reason = format!("the application answered {given} commands with {answered} responses");
        return Err(StorageError::Misuse { reason });
    }
    position.last_applied = last;
    if let Some(membership) = entries.entries().iter().rev().find_map(membership) {
        position.membership = Some(membership.clone());
    }
    state.write(changes.into_batch(), position)?;
    let mut responses = responses.into_iter();
    let mut response = |entry| command(entry).and_then(|_| responses.next());
    let entries = entries.entries().iter();
    Ok(entries
        .map(|entry| response(entry).unwrap_or_default())
        .collect())
}

/// A command that a newer version wrote ends all applying, before anything of the batch.
fn check_versions(application: &impl Application, entries: &LogSlice) -> Result<(), StorageError> {
    for entry in entries.entries() {
        let known = command(entry).map_or(Ok(()), |command| application.check_version(command));
        known.map_err(|reason| StorageError::UnknownVersion {
            what: format!("the command of entry {}", entry.log_id),
            reason,
        })?;
    }
    Ok(())
}

const fn command(entry: &Entry) -> Option<&Bytes> {
    match &entry.payload {
        Payload::Command { data, .. } => Some(data),
        Payload::Blank | Payload::Membership(_) => None,
    }
}

const fn membership(entry: &Entry) -> Option<&Membership> {
    match &entry.payload {
        Payload::Membership(membership) => Some(membership),
        Payload::Blank | Payload::Command { .. } => None,
    }
}

/// Identity of the last entry, if there is any; a gap or a repetition is refused.
fn check_follows(
    position: &AppliedState,
    entries: &LogSlice,
) -> Result<Option<LogId>, StorageError> {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
        return Ok(None);
    };
    let before = position.last_applied;
    if first.index != before.index.next() || first.term < before.term {
        let reason = format!("entry {first} does not follow {before}, the last applied");
        return Err(StorageError::Misuse { reason });
    }
    Ok(Some(last))
}

/// What cannot work is said at once, and not in a snapshot years later.
fn check_names(application: &impl Application) -> Result<(), StorageError> {
    let misuse = |reason| Err(StorageError::Misuse { reason });
    let format = application.format();
    if format.len() > usize::from(u8::MAX) {
        return misuse(format!("the format {format:?} has more than 255 bytes"));
    }
    let families = application.families();
    let mut seen = vec![RAFT, DEFAULT];
    for &name in families {
        if seen.contains(&name) {
            return misuse(format!("a second column family {name:?}"));
        }
        seen.push(name);
    }
    if seen.len() > usize::from(u8::MAX) {
        return misuse(format!("{} column families, at most 253", families.len()));
    }
    Ok(())
}
