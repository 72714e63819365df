//! A moment of the state as a stream of chunks.
//!
//! ```text
//! "raft-kv state" version
//! 1 key-length value-length key value     for each record, with the tag of its
//! 2 ...                                   column family: 1 meta, 2 keys, 3 revisions
//! 0 record-count checksum                 over all before the checksum
//! ```
//!
//! Lengths are 32-bit, the count 64-bit, both big-endian; chunk boundaries mean
//! nothing. The records are those of the database, with their own checksums.

use std::sync::Arc;

use bytes::Bytes;
use raft_core::{Snapshot, SnapshotMeta, SnapshotReader, StorageError, async_trait};
use rocksdb::ReadOptions;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::error::{corrupt, from_rocks};
use super::state::{Family, Position, State};
use super::view::Base;

pub(super) const HEADER: &[u8] = b"raft-kv state\x01";
pub(super) const END_TAG: u8 = 0;
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks read ahead of whoever sends them.
const CHUNKS_AHEAD: usize = 4;
const DOING: &str = "reading a snapshot";

/// The byte that marks the records of a family.
pub(super) const fn tag(family: Family) -> u8 {
    match family {
        Family::Meta => 1,
        Family::Keys => 2,
        Family::Revisions => 3,
    }
}

/// Fixes this moment; the bytes are read by a thread of their own as they are asked for.
pub(super) async fn take(state: Arc<State>) -> Result<Snapshot, StorageError> {
    let (moment, taken) = oneshot::channel();
    let (chunks, receiver) = mpsc::channel(CHUNKS_AHEAD);
    spawn_blocking(move || {
        let base = state.base();
        // Without a receiver nobody wants the snapshot any more.
        if moment.send(base.position()).is_ok() {
            let mut writer = StreamWriter::new(chunks);
            let end = writer.write_all(&base).map(|()| None);
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

fn meta(position: Position) -> SnapshotMeta {
    SnapshotMeta {
        last_included: position.applied.last_applied,
        membership: position.applied.membership.unwrap_or_default(),
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

    fn write_all(&mut self, base: &Base<'_>) -> Result<(), StorageError> {
        self.push(HEADER);
        let mut count = 0_u64;
        for family in Family::ALL {
            let mut records = base.scan(family, ReadOptions::default());
            records.seek_to_first();
            while let Some((key, value)) = records.item() {
                self.push_record(family, key, value)?;
                count += 1;
                if self.abandoned {
                    return Ok(());
                }
                records.next();
            }
            records.status().map_err(from_rocks(DOING))?;
        }
        self.push(&[END_TAG]);
        self.push(&count.to_be_bytes());
        let checksum = self.checksum.clone().finalize();
        self.push(&checksum.to_be_bytes());
        self.send_buffer();
        Ok(())
    }

    fn push_record(
        &mut self,
        family: Family,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), StorageError> {
        self.push(&[tag(family)]);
        for part in [key, value] {
            let too_long = |_| corrupt("a record", format!("it has {} bytes", part.len()));
            let len = u32::try_from(part.len()).map_err(too_long)?;
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
