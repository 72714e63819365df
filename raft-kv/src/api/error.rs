//! Why a request was not served, and the code and text that say so to clients.
//!
//! The texts are etcd's, because its clients compare them: some decide by the
//! text whether to try again.

use raft_core::{ProposeError, ReadError, StorageError};
use tonic::{Code, Status};

use super::members::MemberError;
use crate::model::KvError;
use crate::mvcc::QueryError;

/// The trailer that says what etcd's text does not: clients compare that text, so
/// nothing may be added to it.
const REASON: &str = "raft-kv-reason";

/// Why a request was not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The store refused it.
    #[error(transparent)]
    Kv(#[from] KvError),
    /// Members or the leader cannot be changed so.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// The group refused the change of its members.
    #[error("{error}")]
    MembersUnchanged {
        /// In etcd's words.
        error: MemberError,
        /// In Raft's, with the numbers that etcd's texts lack.
        reason: String,
    },
    /// A sort order or target that does not exist.
    #[error("invalid sort option")]
    SortOption,
    /// A compare with a relation or target that does not exist.
    #[error("invalid compare")]
    Compare,
    /// The lease does not exist.
    #[error("requested lease not found")]
    LeaseNotFound,
    /// A lease was given together with `ignore_lease`.
    #[error("lease is provided")]
    LeaseProvided,
    /// More bytes than allowed.
    #[error("request is too large")]
    TooLarge,
    /// Too much waits already.
    #[error("too many requests")]
    TooManyRequests,
    /// Refused, nothing changed: the leader's disk is full, and nobody else can lead.
    #[error("database space exceeded")]
    NoSpace,
    /// Refused, nothing changed: there was no leader for as long as the request could wait.
    #[error("no leader")]
    NoLeader,
    /// Outcome unknown: no answer in time.
    #[error("request timed out")]
    Timeout,
    /// Outcome unknown: the leader changed on the way.
    #[error("request timed out, possibly due to previous leader failure")]
    LeaderFailed,
    /// The server stops.
    #[error("server stopped")]
    Stopped,
    /// Stored data cannot be read.
    #[error("the store of this member cannot be read: {0}")]
    Storage(String),
    /// The answer of the state machine is none.
    #[error("this member does not understand the answer of its own store: {0}")]
    Answer(String),
    /// What raft-kv does not do yet.
    #[error("raft-kv does not support {0} yet")]
    Unsupported(&'static str),
}

impl ApiError {
    fn code(&self) -> Code {
        match self {
            Self::Kv(KvError::FutureRevision | KvError::Compacted) => Code::OutOfRange,
            Self::Kv(KvError::MalformedCommand(_)) | Self::Answer(_) => Code::Internal,
            Self::Kv(_)
            | Self::SortOption
            | Self::Compare
            | Self::LeaseProvided
            | Self::TooLarge => Code::InvalidArgument,
            Self::Member(error) | Self::MembersUnchanged { error, .. } => error.code(),
            Self::LeaseNotFound => Code::NotFound,
            Self::TooManyRequests | Self::NoSpace => Code::ResourceExhausted,
            Self::NoLeader | Self::Timeout | Self::LeaderFailed | Self::Stopped => {
                Code::Unavailable
            }
            Self::Storage(_) => Code::DataLoss,
            Self::Unsupported(_) => Code::Unimplemented,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Kv(KvError::FutureRevision | KvError::Compacted) | Self::NoSpace => {
                format!("etcdserver: mvcc: {self}")
            }
            _ => format!("etcdserver: {self}"),
        }
    }
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let mut status = Self::new(error.code(), error.text());
        if let ApiError::MembersUnchanged { reason, .. } = &error
            && let Ok(reason) = reason.parse()
        {
            status.metadata_mut().insert(REASON, reason);
        }
        status
    }
}

impl From<ProposeError> for ApiError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::Overloaded { .. } => Self::TooManyRequests,
            ProposeError::DiskFull => Self::NoSpace,
            ProposeError::Unknown { .. } => Self::LeaderFailed,
            ProposeError::TooLarge { .. } => Self::TooLarge,
            ProposeError::Stopped => Self::Stopped,
            // What remains is refused for want of a leader.
            _ => Self::NoLeader,
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Overloaded { .. } => Self::TooManyRequests,
            ReadError::Stopped => Self::Stopped,
            ReadError::Unconfirmed => Self::Timeout,
            _ => Self::NoLeader,
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Refused(error) => Self::Kv(error),
            QueryError::Storage(error) => error.into(),
        }
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        Self::Storage(crate::server::with_causes(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_change_of_members_says_why_beside_the_text_of_etcd() {
        let error = ApiError::MembersUnchanged {
            error: MemberError::LearnerNotReady,
            reason: "4 is 5000 entries behind, more than 1000".to_owned(),
        };

        let status = Status::from(error);

        assert_eq!(
            status.message(),
            "etcdserver: can only promote a learner member which is in sync with leader"
        );
        let reason = status.metadata().get("raft-kv-reason").unwrap();
        assert_eq!(reason, "4 is 5000 entries behind, more than 1000");
    }

    /// etcd's clients compare code and text.
    #[test]
    fn errors_carry_the_codes_and_texts_of_etcd() {
        let table: [(ApiError, Code, &str); 15] = [
            (
                KvError::EmptyKey.into(),
                Code::InvalidArgument,
                "etcdserver: key is not provided",
            ),
            (
                KvError::KeyNotFound.into(),
                Code::InvalidArgument,
                "etcdserver: key not found",
            ),
            (
                KvError::ValueProvided.into(),
                Code::InvalidArgument,
                "etcdserver: value is provided",
            ),
            (
                KvError::DuplicateKey.into(),
                Code::InvalidArgument,
                "etcdserver: duplicate key given in txn request",
            ),
            (
                KvError::TooManyOps.into(),
                Code::InvalidArgument,
                "etcdserver: too many operations in txn request",
            ),
            (
                KvError::FutureRevision.into(),
                Code::OutOfRange,
                "etcdserver: mvcc: required revision is a future revision",
            ),
            (
                KvError::Compacted.into(),
                Code::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted",
            ),
            (
                ApiError::SortOption,
                Code::InvalidArgument,
                "etcdserver: invalid sort option",
            ),
            (
                ApiError::LeaseNotFound,
                Code::NotFound,
                "etcdserver: requested lease not found",
            ),
            (
                ApiError::TooLarge,
                Code::InvalidArgument,
                "etcdserver: request is too large",
            ),
            (
                ProposeError::Overloaded { pending: 9 }.into(),
                Code::ResourceExhausted,
                "etcdserver: too many requests",
            ),
            (
                ProposeError::DiskFull.into(),
                Code::ResourceExhausted,
                "etcdserver: mvcc: database space exceeded",
            ),
            (
                ProposeError::NoLeader.into(),
                Code::Unavailable,
                "etcdserver: no leader",
            ),
            (
                ApiError::Timeout,
                Code::Unavailable,
                "etcdserver: request timed out",
            ),
            (
                ProposeError::Unknown { reason: "test" }.into(),
                Code::Unavailable,
                "etcdserver: request timed out, possibly due to previous leader failure",
            ),
        ];
        for (error, code, text) in table {
            let status = Status::from(error);
            assert_eq!((status.code(), status.message()), (code, text));
        }
    }
}
