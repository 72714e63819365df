//! Snapshots for the tests: random bytes that are known in advance.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use raft_core::{
    LogId, Membership, NodeId, ReplicaId, Snapshot, SnapshotHeader, SnapshotMeta, SnapshotReader,
    StorageError, Term, async_trait,
};

use crate::support::{GROUP, Node, Random};

pub(crate) const CHUNK: usize = 300_000;

/// Chunks of random bytes, and how many were asked for.
pub(crate) struct Source {
    pub(crate) random: Random,
    pub(crate) left: usize,
    pub(crate) chunk: usize,
    pub(crate) asked: Arc<AtomicUsize>,
    /// How often it was told of progress.
    pub(crate) told: Arc<AtomicUsize>,
    pub(crate) fails_at_end: bool,
}

#[async_trait]
impl SnapshotReader for Source {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        if self.left == 0 {
            return match self.fails_at_end {
                true => Err(StorageError::io("reading a snapshot", "the disk is gone")),
                false => Ok(None),
            };
        }
        self.left -= 1;
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(Some(self.random.bytes(self.chunk).into()))
    }

    fn progressed(&mut self) {
        self.told.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) fn source(chunks: usize) -> Source {
    Source {
        random: Random(7),
        left: chunks,
        chunk: CHUNK,
        asked: Arc::default(),
        told: Arc::default(),
        fails_at_end: false,
    }
}

pub(crate) fn whole(chunks: usize) -> Vec<u8> {
    let mut random = Random(7);
    (0..chunks).flat_map(|_| random.bytes(CHUNK)).collect()
}

pub(crate) fn meta() -> SnapshotMeta {
    SnapshotMeta {
        last_included: LogId::new(3, 77),
        membership: Membership::of_ids([1, 2, 3]),
    }
}

pub(crate) fn snapshot(source: Source) -> Snapshot {
    Snapshot {
        meta: meta(),
        reader: Box::new(source),
    }
}

pub(crate) fn header(from: &Node, to: NodeId) -> SnapshotHeader {
    SnapshotHeader {
        group: GROUP,
        from: ReplicaId::first(from.id.get()),
        to: ReplicaId::first(to.get()),
        term: Term::new(3),
    }
}
