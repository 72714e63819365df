//! What a snapshot stands for, and how its bytes are read.

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::StorageError;
use crate::membership::Membership;
use crate::types::LogId;

/// What a snapshot of the state machine replaces: the log up to `last_included`.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct SnapshotMeta {
    /// The last entry whose effect the snapshot holds.
    pub last_included: LogId,
    /// The membership in force at that entry.
    pub membership: Membership,
}

/// A snapshot as a stream of chunks, read once from front to back.
#[async_trait]
pub trait SnapshotReader: Send {
    /// The next chunk, or nothing after the last one. Chunks are at most 1 MiB,
    /// and where they end means nothing: they may be cut into smaller ones on
    /// their way. The future is not dropped before it is done, unless the
    /// snapshot is given up.
    ///
    /// # Errors
    ///
    /// When the source cannot be read; the snapshot is then worthless.
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError>;

    /// A transport says that the receiver holds more of this snapshot than
    /// before, although no chunk was asked for. For whoever watches over the
    /// transfer; a source of bytes need not care.
    fn progressed(&mut self) {}
}

/// A snapshot ready to be read: its meaning and its bytes.
pub struct Snapshot {
    /// What it stands for.
    pub meta: SnapshotMeta,
    /// Its bytes.
    pub reader: Box<dyn SnapshotReader>,
}
