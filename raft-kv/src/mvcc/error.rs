//! Why a read failed.

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

/// An error that says what is damaged and how that shows.
pub(super) fn corrupt(what: impl Into<String>, reason: impl ToString) -> StorageError {
    StorageError::Corrupt {
        what: what.into(),
        reason: reason.to_string(),
    }
}
