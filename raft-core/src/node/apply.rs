//! The apply task: the state machine, and the answers to this node's proposals.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Committed;
use super::clock::Stopwatch;
use super::error::NodeError;
use super::inbound::{Completion, Mailbox, ProposalReply};
use super::metrics::{Metrics, gauge_value};
use crate::entry::LogSlice;
use crate::state_machine::StateMachine;
use crate::types::{LogId, LogIndex};

/// Committed entries, and who waits for which of them.
#[derive(Debug)]
pub(super) struct ApplyJob {
    pub(super) entries: LogSlice,
    /// In index order.
    pub(super) waiting: Vec<(LogIndex, ProposalReply)>,
}

/// Applies what comes, in order, until nothing more comes.
pub(super) async fn run(
    mut machine: Box<dyn StateMachine>,
    mut jobs: mpsc::UnboundedReceiver<ApplyJob>,
    mailbox: Arc<Mailbox>,
    metrics: Arc<Metrics>,
) {
    while let Some(job) = jobs.recv().await {
        let watch = Stopwatch::started();
        metrics
            .apply_entries
            .record(gauge_value(job.entries.len() as u64));
        match apply(machine.as_mut(), job).await {
            Ok(index) => mailbox.complete(Completion::Applied {
                index,
                durable: machine.durable_applied(),
            }),
            // Whoever waits learns that the outcome is unknown: its reply is dropped.
            Err(error) => return mailbox.complete(Completion::Failed(error)),
        }
        metrics.apply_seconds.record(watch.elapsed());
    }
}

/// Applies one run, answers whoever waits for it, and says how far it went.
async fn apply(machine: &mut dyn StateMachine, job: ApplyJob) -> Result<LogIndex, NodeError> {
    let ApplyJob { entries, waiting } = job;
    let count = entries.len();
    let last = entries.last().unwrap_or_default();
    let waiting = locate(&entries, waiting);
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
    for (position, log_id, reply) in waiting {
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
