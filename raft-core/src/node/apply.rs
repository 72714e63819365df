//! The task that owns the state machine: applies, snapshots, checkpoints, and
//! the answers to this node's proposals. Jobs are done in their order.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};

use super::Committed;
use super::answers::Waiting;
use super::clock::Stopwatch;
use super::error::NodeError;
use super::inbound::{Completion, Mailbox, ProposalReply};
use super::metrics::{Metrics, gauge_value};
use crate::entry::LogSlice;
use crate::error::StorageError;
use crate::protocol::SnapshotToken;
use crate::snapshot::{SnapshotMeta, SnapshotReader};
use crate::state_machine::StateMachine;
use crate::types::{LogId, LogIndex};

/// Committed entries, and who waits for which of them.
#[derive(Debug)]
pub(super) struct ApplyJob {
    pub(super) entries: LogSlice,
    pub(super) waiting: Waiting,
}

/// Something to do with the state machine.
pub(super) enum Job {
    Apply(ApplyJob),
    Checkpoint,
    Snapshot(SnapshotToken),
    Restore(SnapshotToken, SnapshotMeta, Box<dyn SnapshotReader>),
}

/// Checkpoints that are being written, each by a task of its own while applies go on.
type Checkpoints = JoinSet<Result<LogIndex, StorageError>>;

/// Does what comes, in order, until nothing more comes or the node's patience is over.
pub(super) async fn run(
    machine: Box<dyn StateMachine>,
    jobs: mpsc::UnboundedReceiver<Job>,
    mailbox: Arc<Mailbox>,
    metrics: Arc<Metrics>,
    is_over: oneshot::Receiver<()>,
) {
    let mut checkpoints = Checkpoints::new();
    tokio::select! {
        () = work(machine, jobs, &mailbox, &metrics, &mut checkpoints) => {}
        _ = is_over => {}
    }
    // Waited for at the end: nothing is written after the node has stopped.
    checkpoints.shutdown().await;
}

async fn work(
    mut machine: Box<dyn StateMachine>,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    mailbox: &Mailbox,
    metrics: &Metrics,
    checkpoints: &mut Checkpoints,
) {
    loop {
        let job = tokio::select! {
            Some(written) = checkpoints.join_next() => {
                mailbox.complete(checkpointed(written));
                continue;
            }
            job = jobs.recv() => job,
        };
        let Some(job) = job else { break };
        let done = match job {
            Job::Apply(job) => timed_apply(machine.as_mut(), job, metrics).await,
            Job::Checkpoint => checkpoint(machine.as_mut(), checkpoints).await,
            Job::Snapshot(token) => snapshot(machine.as_mut(), token).await,
            Job::Restore(token, meta, reader) => {
                Ok(restore(machine.as_mut(), token, meta, reader).await)
            }
        };
        match done {
            Ok(Some(completion)) => mailbox.complete(completion),
            Ok(None) => {}
            // Whoever waits learns that the outcome is unknown: its reply is dropped.
            Err(error) => {
                mailbox.complete(Completion::Failed(error));
                break;
            }
        }
    }
    while let Some(written) = checkpoints.join_next().await {
        mailbox.complete(checkpointed(written));
    }
}

async fn timed_apply(
    machine: &mut dyn StateMachine,
    job: ApplyJob,
    metrics: &Metrics,
) -> Result<Option<Completion>, NodeError> {
    let watch = Stopwatch::started();
    let count = job.entries.len() as u64;
    metrics.apply_entries.record(gauge_value(count));
    let index = apply(machine, job).await?;
    metrics.apply_seconds.record(watch.elapsed());
    let durable = machine.durable_applied();
    Ok(Some(Completion::Applied { index, durable }))
}

/// Prepares a checkpoint; a task of its own carries it out while applies go on.
async fn checkpoint(
    machine: &mut dyn StateMachine,
    checkpoints: &mut Checkpoints,
) -> Result<Option<Completion>, NodeError> {
    let task = machine.checkpoint().await.map_err(checkpoint_failed)?;
    checkpoints.spawn(task);
    Ok(None)
}

fn checkpointed(written: Result<Result<LogIndex, StorageError>, JoinError>) -> Completion {
    match written {
        Ok(Ok(durable)) => Completion::Checkpointed(durable),
        Ok(Err(source)) => Completion::Failed(checkpoint_failed(source)),
        Err(error) => Completion::Failed(NodeError::panicked("checkpoint", error)),
    }
}

fn checkpoint_failed(source: StorageError) -> NodeError {
    NodeError::storage("taking a checkpoint of the state machine", source)
}

async fn snapshot(
    machine: &mut dyn StateMachine,
    token: SnapshotToken,
) -> Result<Option<Completion>, NodeError> {
    let snapshot = machine
        .snapshot()
        .await
        .map_err(|source| NodeError::storage("taking a snapshot of the state machine", source))?;
    Ok(Some(Completion::SnapshotReady { token, snapshot }))
}

/// A restore that fails leaves the old state, so the node goes on with that.
async fn restore(
    machine: &mut dyn StateMachine,
    token: SnapshotToken,
    meta: SnapshotMeta,
    reader: Box<dyn SnapshotReader>,
) -> Option<Completion> {
    let watch = Stopwatch::started();
    let at = meta.last_included;
    let restored = machine.restore(meta, reader).await;
    match &restored {
        Ok(()) => tracing::info!(%at, seconds = watch.elapsed().as_secs_f64(), "restored"),
        Err(error) => tracing::warn!(%at, %error, "the snapshot could not be restored"),
    }
    let ok = restored.is_ok();
    Some(Completion::SnapshotRestored { token, ok })
}

/// Applies one run, answers whoever waits for it, and says how far it went.
async fn apply(machine: &mut dyn StateMachine, job: ApplyJob) -> Result<LogIndex, NodeError> {
    let ApplyJob { entries, waiting } = job;
    let count = entries.len();
    let last = entries.last().unwrap_or_default();
    let applied = entries.clone();
    let mut responses = machine
        .apply(entries)
        .await
        .map_err(|source| NodeError::storage("the state machine", source))?;
    if responses.len() != count {
        return Err(NodeError::StateMachineContract {
            responses: responses.len(),
            entries: count,
            last,
        });
    }
    for (position, log_id, reply) in locate(&applied, waiting.take()) {
        let response = std::mem::take(&mut responses[position]);
        // Perhaps nobody listens any more: the caller gave up, which is its right.
        let _ = reply.send(Ok(Committed { log_id, response }));
    }
    Ok(last.index)
}

/// Who waits, with the position and identity of the entry within the run.
fn locate(
    entries: &LogSlice,
    waiting: Vec<(LogIndex, ProposalReply)>,
) -> Vec<(usize, LogId, ProposalReply)> {
    let first = entries.first().unwrap_or_default().index;
    waiting
        .into_iter()
        .filter_map(|(index, reply)| {
            let position = usize::try_from(index.distance_from(first)).ok()?;
            let entry = entries.entries().get(position)?;
            Some((position, entry.log_id, reply))
        })
        .collect()
}
