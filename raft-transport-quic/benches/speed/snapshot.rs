//! The snapshots that are sent, and their counting receiver.

use bytes::Bytes;
use raft_core::{SnapshotReader, StorageError, async_trait};

/// What a state machine hands out at once.
const CHUNK: usize = 64 * 1024;
/// More than caches hold, so that reading counts.
const DISTINCT: usize = 16 << 20;

/// A snapshot of so many bytes.
pub(crate) struct Source {
    data: Bytes,
    left: usize,
}

impl Source {
    pub(crate) fn new(bytes: usize) -> Self {
        static DATA: std::sync::OnceLock<Bytes> = std::sync::OnceLock::new();
        let data = DATA.get_or_init(|| (0..DISTINCT).map(|at| (at * 131 / 7) as u8).collect());
        Self {
            data: data.clone(),
            left: bytes,
        }
    }

    pub(crate) fn next(&mut self) -> Option<Bytes> {
        let at = self.left % DISTINCT;
        let at = if at == 0 { 0 } else { DISTINCT - at };
        let chunk = self.data.slice(at..at + CHUNK.min(self.left));
        self.left -= chunk.len();
        (!chunk.is_empty()).then_some(chunk)
    }
}

#[async_trait]
impl SnapshotReader for Source {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        Ok(self.next())
    }
}
