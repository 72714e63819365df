//! Reads back entries that are only in the log store.

use std::sync::Arc;

use super::error::NodeError;
use super::inbound::{Completion, Mailbox};
use crate::entry::LogSlice;
use crate::log_store::{LogStore, StoredEntry};
use crate::protocol::ReadLog;
use crate::types::LogIndex;

/// Carries out one read.
pub(super) async fn run(log: Arc<dyn LogStore>, request: ReadLog, mailbox: Arc<Mailbox>) {
    mailbox.complete(match read(log.as_ref(), request).await {
        Ok((entries, corrupt)) => Completion::LogRead {
            token: request.token,
            entries,
            corrupt,
        },
        Err(error) => Completion::Failed(error),
    });
}

/// The run from the first index on, as far as the log holds it. It is shorter
/// when the log was truncated meanwhile, or where an entry is damaged, which is
/// named then.
async fn read(
    log: &dyn LogStore,
    request: ReadLog,
) -> Result<(LogSlice, Option<LogIndex>), NodeError> {
    let stored = log
        .read(request.first, request.last, request.max_bytes)
        .await
        .map_err(|source| NodeError::storage("reading the log", source))?;
    let mut entries = Vec::with_capacity(stored.len());
    let mut corrupt = None;
    for answer in stored {
        match answer {
            StoredEntry::Entry(entry) => entries.push(entry),
            StoredEntry::Absent { .. } => break,
            StoredEntry::Corrupt { index, reason, .. } => {
                tracing::error!(%index, reason, "a log entry is corrupt");
                corrupt = Some(index);
                break;
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
    let entries = LogSlice::new(entries).map_err(|error| NodeError::LogStoreContract {
        what: error.to_string(),
    })?;
    Ok((entries, corrupt))
}
