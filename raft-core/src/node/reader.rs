//! Reads entries back from the log store for the protocol.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::NodeError;
use super::driver::Completed;
use crate::entry::LogSlice;
use crate::log_store::{LogStore, StoredEntry};
use crate::protocol::ReadLog;

/// Carries one read out in the background. There is at most one per follower
/// and one for the state machine at a time.
pub(super) fn spawn(
    log: Arc<dyn LogStore>,
    request: ReadLog,
    completed: mpsc::UnboundedSender<Completed>,
) {
    tokio::spawn(async move {
        let report = match read(log.as_ref(), request).await {
            Ok(entries) => Completed::LogRead {
                token: request.token,
                entries,
            },
            Err(error) => Completed::Failed(error),
        };
        // Nobody listens any more: the node has stopped.
        let _ = completed.send(report);
    });
}

async fn read(log: &dyn LogStore, request: ReadLog) -> Result<LogSlice, NodeError> {
    let stored = log
        .read(request.first, request.last, request.max_bytes)
        .await
        .map_err(|source| ("reading the log", source))?;
    let mut entries = Vec::with_capacity(stored.len());
    for item in stored {
        match item {
            StoredEntry::Entry(entry) => entries.push(entry),
            // Truncated or purged since it was asked for: what came before it is good.
            StoredEntry::Absent { .. } => break,
            StoredEntry::Corrupt { index, reason, .. } => {
                return Err(NodeError::CorruptEntry { index, reason });
            }
        }
    }
    LogSlice::new(entries).map_err(|broken| NodeError::CorruptEntry {
        index: request.first,
        reason: broken.to_string(),
    })
}
