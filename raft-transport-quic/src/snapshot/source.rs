//! The reader of a snapshot, asked for chunks across streams that break.

use std::pin::Pin;

use bytes::Bytes;
use raft_core::{SnapshotReader, StorageError};

/// What an answer brings: the reader back, and the chunk.
type Answer = (Box<dyn SnapshotReader>, Result<Option<Bytes>, StorageError>);

/// A reader whose answer under way is kept when nobody waits for it any more:
/// a chunk that was read is not lost with the stream it was meant for.
pub(super) enum Source {
    Idle(Box<dyn SnapshotReader>),
    Reading(Pin<Box<dyn Future<Output = Answer> + Send>>),
    /// Only while one state becomes the other.
    Changing,
}

impl Source {
    /// The next chunk. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        *self = match std::mem::replace(self, Self::Changing) {
            Self::Idle(mut reader) => Self::Reading(Box::pin(async move {
                let chunk = reader.next_chunk().await;
                (reader, chunk)
            })),
            reading => reading,
        };
        let Self::Reading(answer) = self else {
            unreachable!("it was idle or reading");
        };
        let (reader, chunk) = answer.await;
        *self = Self::Idle(reader);
        chunk
    }

    /// The receiver holds more than before. A reader that is reading is not
    /// told: it tells more itself with the chunk it brings.
    pub(super) fn progressed(&mut self) {
        if let Self::Idle(reader) = self {
            reader.progressed();
        }
    }
}
