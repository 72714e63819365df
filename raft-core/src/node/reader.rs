//! The reader task: entries that are only in the log store.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::error::NodeError;
use super::inbound::{Completion, Mailbox};
use crate::entry::LogSlice;
use crate::log_store::{LogStore, StoredEntry};
use crate::protocol::ReadLog;

/// Reads what is asked for, one request after the other, until nobody asks any more.
pub(super) async fn run(
    log: Arc<dyn LogStore>,
    mut requests: mpsc::UnboundedReceiver<ReadLog>,
    mailbox: Arc<Mailbox>,
) {
    while let Some(request) = requests.recv().await {
        match read(log.as_ref(), request).await {
            Ok(entries) => mailbox.complete(Completion::LogRead {
                token: request.token,
                entries,
            }),
            Err(error) => return mailbox.complete(Completion::Failed(error)),
        }
    }
}

/// The run from the first index on, as far as the log holds it. It is shorter
/// when the log was truncated meanwhile.
async fn read(log: &dyn LogStore, request: ReadLog) -> Result<LogSlice, NodeError> {
    let stored = log
        .read(request.first, request.last, request.max_bytes)
        .await
        .map_err(|source| NodeError::storage("reading the log", source))?;
    let mut entries = Vec::with_capacity(stored.len());
    for answer in stored {
        match answer {
            StoredEntry::Entry(entry) => entries.push(entry),
            StoredEntry::Absent { .. } => break,
            StoredEntry::Corrupt { index, reason, .. } => {
                return Err(NodeError::CorruptEntry { index, reason });
            }
        }
    }
    if entries.first().is_some_and(|e| e.index() != request.first) {
        return Err(NodeError::LogStoreContract {
            what: format!(
                "asked from {}, it answered {}",
                request.first, entries[0].log_id
            ),
        });
    }
    LogSlice::new(entries).map_err(|error| NodeError::LogStoreContract {
        what: error.to_string(),
    })
}
