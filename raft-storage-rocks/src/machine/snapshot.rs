//! A moment of the state as a stream of chunks.
//!
//! ```text
//! "raft state" 1                          version of the stream
//! length name                             the application's format; length in one byte
//! 1 key-length value-length key value     for each record, with the tag of its column
//! 2 ...                                   family: 1 is `raft`, 2 the application's first
//! 0 record-count checksum                 over all before the checksum
//! ```
//!
//! Lengths are 32-bit, the count 64-bit, both big-endian; chunk boundaries mean
//! nothing. The records are those of the database.

use std::sync::Arc;

use bytes::Bytes;
use raft_core::{AppliedState, Snapshot, SnapshotMeta, SnapshotReader, StorageError, async_trait};
use rocksdb::ReadOptions;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::moment::{Moment, check_length};
use super::state::{Layout, State};
use super::{corrupt, storage_error};

pub(super) const END_TAG: u8 = 0;
const MAGIC: &[u8] = b"raft state\x01";
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks read ahead of whoever sends them.
const CHUNKS_AHEAD: usize = 4;
const DOING: &str = "reading a snapshot";

/// What a stream of this application begins with.
pub(super) fn header(layout: &Layout) -> Vec<u8> {
    let name = layout.format.as_bytes();
    let length = u8::try_from(name.len()).expect("checked when the machine was opened");
    [MAGIC, &[length], name].concat()
}

/// The column families with the byte that marks their records.
pub(super) fn tags(layout: &Layout) -> impl Iterator<Item = (u8, &'static str)> {
    (END_TAG + 1..).zip(layout.all())
}

/// Fixes this moment; the bytes are read by a thread of their own as they are asked for.
pub(super) async fn take(state: Arc<State>) -> Result<Snapshot, StorageError> {
    let (moment, taken) = oneshot::channel();
    let (chunks, receiver) = mpsc::channel(CHUNKS_AHEAD);
    spawn_blocking(move || {
        let base = state.moment();
        // Without a receiver nobody wants the snapshot any more.
        if moment.send(base.applied()).is_ok() {
            let mut writer = StreamWriter::new(chunks);
            let end = writer.write_all(&state.layout, &base).map(|()| None);
            writer.send(end);
        }
    });
    let position = taken
        .await
        .map_err(|stopped| StorageError::io(DOING, stopped))??;
    Ok(Snapshot {
        meta: meta(position),
        reader: Box::new(ChunkReader { receiver }),
    })
}

fn meta(position: AppliedState) -> SnapshotMeta {
    SnapshotMeta {
        last_included: position.last_applied,
        membership: position.membership.unwrap_or_default(),
    }
}

/// A chunk, or nothing behind the last one.
type Chunk = Result<Option<Bytes>, StorageError>;

struct ChunkReader {
    receiver: mpsc::Receiver<Chunk>,
}

#[async_trait]
impl SnapshotReader for ChunkReader {
    async fn next_chunk(&mut self) -> Chunk {
        let ended_early = || StorageError::io(DOING, "the reading thread ended early");
        self.receiver
            .recv()
            .await
            .unwrap_or_else(|| Err(ended_early()))
    }
}

/// Cuts the stream into chunks and sums it up.
struct StreamWriter {
    chunks: mpsc::Sender<Chunk>,
    buffer: Vec<u8>,
    checksum: crc32fast::Hasher,
    abandoned: bool,
}

impl StreamWriter {
    fn new(chunks: mpsc::Sender<Chunk>) -> Self {
        Self {
            chunks,
            buffer: Vec::with_capacity(CHUNK_BYTES),
            checksum: crc32fast::Hasher::new(),
            abandoned: false,
        }
    }

    fn write_all(&mut self, layout: &Layout, moment: &Moment<'_>) -> Result<(), StorageError> {
        self.push(&header(layout));
        let mut count = 0_u64;
        for (tag, family) in tags(layout) {
            let mut records = moment.scan(family, ReadOptions::default());
            records.seek_to_first();
            while let Some((key, value)) = records.item() {
                self.push_record(tag, key, value)?;
                count += 1;
                if self.abandoned {
                    return Ok(());
                }
                records.next();
            }
            records.status().map_err(storage_error(DOING))?;
        }
        self.push(&[END_TAG]);
        self.push(&count.to_be_bytes());
        let checksum = self.checksum.clone().finalize();
        self.push(&checksum.to_be_bytes());
        self.send_buffer();
        Ok(())
    }

    fn push_record(&mut self, tag: u8, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        // One that an earlier version wrote, which did not look.
        let too_long = |refused| corrupt("a record of the state", refused);
        check_length(key.len(), value.len()).map_err(too_long)?;
        self.push(&[tag]);
        for part in [key, value] {
            let len = u32::try_from(part.len()).expect("the whole record is shorter");
            self.push(&len.to_be_bytes());
        }
        self.push(key);
        self.push(value);
        Ok(())
    }

    fn push(&mut self, mut bytes: &[u8]) {
        self.checksum.update(bytes);
        while !bytes.is_empty() {
            let room = CHUNK_BYTES - self.buffer.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == CHUNK_BYTES {
                self.send_buffer();
            }
        }
    }

    fn send_buffer(&mut self) {
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK_BYTES));
        if !full.is_empty() {
            self.send(Ok(Some(full.into())));
        }
    }

    /// Waits until the chunk finds room.
    fn send(&mut self, chunk: Chunk) {
        self.abandoned |= self.chunks.blocking_send(chunk).is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::MAX_RECORD_BYTES;

    #[test]
    fn a_record_that_nobody_could_restore_ends_the_stream() {
        let (chunks, _sent) = mpsc::channel(1);
        let mut writer = StreamWriter::new(chunks);
        let value = vec![0; MAX_RECORD_BYTES];

        let refused = writer.push_record(1, b"k", &value);

        assert!(
            matches!(refused, Err(StorageError::Corrupt { .. })),
            "{refused:?}"
        );
        assert_eq!(writer.buffer, []);
        writer.push_record(1, b"k", b"v").unwrap();
    }
}
