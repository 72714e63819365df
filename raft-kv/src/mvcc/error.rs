//! Why a read failed, and RocksDB's errors in the words of the storage contract.

use raft_core::StorageError;

use crate::model::KvError;

/// Why a read gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The request makes no sense to this store; the caller's affair.
    #[error("refused")]
    Refused(#[source] KvError),
    /// The disk or the data on it failed.
    #[error("the store could not be read")]
    Storage(#[source] StorageError),
}

impl From<KvError> for QueryError {
    fn from(error: KvError) -> Self {
        Self::Refused(error)
    }
}

impl From<StorageError> for QueryError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// Sorts an error of RocksDB into the kinds of the storage contract.
pub(super) fn from_rocks(doing: &'static str) -> impl Fn(rocksdb::Error) -> StorageError {
    move |error| match error.kind() {
        rocksdb::ErrorKind::Corruption => corrupt(format!("the database, while {doing}"), error),
        // RocksDB has no kind for it; the operating system's text is in the message.
        _ if error.as_ref().contains("No space left") => StorageError::Full {
            doing,
            source: Box::new(error),
        },
        _ => StorageError::io(doing, error),
    }
}

/// An error that says what is damaged and how that shows.
pub(super) fn corrupt(what: impl Into<String>, reason: impl ToString) -> StorageError {
    StorageError::Corrupt {
        what: what.into(),
        reason: reason.to_string(),
    }
}
