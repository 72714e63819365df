//! Writes a snapshot's stream into a new state beside the one in use.
//!
//! Nothing of it counts until the end of the stream is verified and all of it is on
//! disk.

use std::sync::Arc;

use raft_core::{AppliedState, LogId, SnapshotMeta, StorageError};
use rocksdb::WriteBatch;

use super::active::Active;
use super::snapshot::{header, tags};
use super::state::State;
use super::stream::{Record, StreamReader, damaged};

/// A restore in progress. Dropped before the end, it leaves nothing behind; that takes
/// the disk, as all that it does.
pub(super) struct Loader {
    successor: Arc<State>,
    stream: StreamReader,
}

impl Loader {
    pub(super) fn begin(active: &Active) -> Result<Self, StorageError> {
        let successor = Arc::new(active.begin_successor()?);
        let stream = StreamReader::new(header(&successor.layout));
        Ok(Self { successor, stream })
    }

    /// Takes the next chunk and writes the records that it completes.
    pub(super) fn feed(mut self, chunk: &[u8]) -> Result<Self, StorageError> {
        let mut batch = WriteBatch::default();
        let state = &self.successor;
        self.stream.feed(chunk, |Record { tag, key, value }| {
            let found = tags(&state.layout).find(|&(known, _)| known == tag);
            let unknown = || damaged(format!("unknown tag {tag}"));
            let (_, family) = found.ok_or_else(unknown)?;
            batch.put_cf(state.family(family), key, value);
            Ok(())
        })?;
        self.successor.write_records(batch)?;
        Ok(self)
    }

    /// Verifies the end, makes everything durable and hands over the new state.
    pub(super) fn finish(self, meta: &SnapshotMeta) -> Result<Arc<State>, StorageError> {
        self.stream.finish()?;
        let state = self.successor;
        let mut position = state.reload_position()?;
        check_stands_at(&position, meta.last_included)?;
        // The protocol's word on the membership counts; one without voters is none.
        if !meta.membership.voters().is_empty() {
            position.membership = Some(meta.membership.clone());
        }
        state.write(WriteBatch::default(), position)?;
        state.flush()?;
        Ok(state)
    }
}

fn check_stands_at(position: &AppliedState, expected: LogId) -> Result<(), StorageError> {
    let found = position.last_applied;
    if found != expected {
        return Err(damaged(format!(
            "it stands at {found}, not at {expected} as announced"
        )));
    }
    Ok(())
}
