//! The apply task: drives the state machine and answers the proposals of this node.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::driver::Completed;
use super::{Committed, NodeError, ProposeAnswer};
use crate::entry::LogSlice;
use crate::state_machine::StateMachine;
use crate::types::{LogId, LogIndex};

/// Entries to apply, and who waits for which of them.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) entries: LogSlice,
    pub(super) answers: Vec<(LogIndex, ProposeAnswer)>,
}

/// Starts the task; it ends when the sender is dropped or the state machine failed.
pub(super) fn spawn(
    mut state_machine: Box<dyn StateMachine>,
    completed: mpsc::UnboundedSender<Completed>,
) -> mpsc::UnboundedSender<Work> {
    // Unbounded: the protocol has one batch under way at a time.
    let (sender, mut queue) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(work) = queue.recv().await {
            let report = match apply(state_machine.as_mut(), work).await {
                Ok(index) => Completed::Applied(index),
                Err(error) => Completed::Failed(error),
            };
            let is_failure = matches!(report, Completed::Failed(_));
            if completed.send(report).is_err() || is_failure {
                return;
            }
        }
    });
    sender
}

async fn apply(state_machine: &mut dyn StateMachine, work: Work) -> Result<LogIndex, NodeError> {
    let Work { entries, answers } = work;
    let ids: Vec<LogId> = entries.entries().iter().map(|entry| entry.log_id).collect();
    let last = ids.last().map_or(LogIndex::ZERO, |id| id.index);
    let responses = state_machine
        .apply(entries)
        .await
        .map_err(|source| ("applying to the state machine", source))?;
    if responses.len() != ids.len() {
        return Err(NodeError::ResponseCount {
            answers: responses.len(),
            entries: ids.len(),
        });
    }
    answer(&ids, responses, answers);
    Ok(last)
}

fn answer(ids: &[LogId], responses: Vec<Bytes>, answers: Vec<(LogIndex, ProposeAnswer)>) {
    let mut waiting = answers.into_iter().peekable();
    for (&log_id, response) in ids.iter().zip(responses) {
        if let Some((_, answer)) = waiting.next_if(|(index, _)| *index == log_id.index) {
            // Whoever proposed may have gone; the proposal is committed all the same.
            let _ = answer.send(Ok(Committed { log_id, response }));
        }
    }
}
