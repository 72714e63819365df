//! Writes a snapshot's stream into a new state beside the one in use.
//!
//! The format is drawn in [`super::snapshot`]. Nothing of it counts until the end
//! of the stream is verified and all of it is on disk.

use std::sync::Arc;

use raft_core::{LogId, SnapshotMeta, StorageError};
use rocksdb::WriteBatch;

use super::error::corrupt;
use super::machine::write_position;
use super::snapshot::{END_TAG, HEADER, tag};
use super::state::{Family, Position, Shared, State};

/// A longer record cannot be ours, and is refused before memory is set aside for it.
const MAX_RECORD_BYTES: usize = 256 << 20;

/// A restore in progress. Dropped before the end, it leaves nothing behind.
pub(super) struct Loader {
    successor: Arc<State>,
    /// Bytes of the stream not yet understood: at most one record and one chunk.
    buffer: Vec<u8>,
    checksum: crc32fast::Hasher,
    stage: Stage,
    records: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Header,
    Records,
    Ended,
}

/// One piece of the stream and its length there.
enum Piece<'b> {
    Header,
    Record {
        family: Family,
        key: &'b [u8],
        value: &'b [u8],
    },
    End {
        records: u64,
        checksum: u32,
    },
}

impl Loader {
    pub(super) fn begin(shared: &Shared) -> Result<Self, StorageError> {
        let successor = shared.state().begin_successor(shared.root())?;
        Ok(Self {
            successor: Arc::new(successor),
            buffer: Vec::new(),
            checksum: crc32fast::Hasher::new(),
            stage: Stage::Header,
            records: 0,
        })
    }

    /// Takes the next chunk and writes the records that it completes.
    pub(super) fn feed(mut self, chunk: &[u8]) -> Result<Self, StorageError> {
        self.buffer.extend_from_slice(chunk);
        let buffer = std::mem::take(&mut self.buffer);
        let mut batch = WriteBatch::default();
        let mut rest = buffer.as_slice();
        while let Some((piece, len)) = parse(self.stage, rest)? {
            let (bytes, behind) = rest.split_at(len);
            self.accept(piece, bytes, &mut batch)?;
            rest = behind;
        }
        self.successor.write(batch, self.successor.position())?;
        self.buffer = rest.to_vec();
        Ok(self)
    }

    /// Verifies the end, makes everything durable and hands over the new state.
    pub(super) fn finish(self, meta: &SnapshotMeta) -> Result<Arc<State>, StorageError> {
        if self.stage != Stage::Ended {
            return Err(damaged(format!("it ends after {} records", self.records)));
        }
        let state = self.successor;
        let mut position = state.reload_position()?;
        check_stands_at(&position, meta.last_included)?;
        // The protocol's word on the membership counts; one without voters is none.
        if !meta.membership.voters().is_empty() {
            position.applied.membership = Some(meta.membership.clone());
        }
        let mut batch = WriteBatch::default();
        write_position(&mut batch, &state, &position);
        state.write(batch, position)?;
        state.flush()?;
        Ok(state)
    }

    fn accept(
        &mut self,
        piece: Piece<'_>,
        bytes: &[u8],
        batch: &mut WriteBatch,
    ) -> Result<(), StorageError> {
        match piece {
            Piece::Header => self.stage = Stage::Records,
            Piece::Record { family, key, value } => {
                batch.put_cf(self.successor.family(family), key, value);
                self.records += 1;
            }
            Piece::End { records, checksum } => {
                self.checksum.update(&bytes[..bytes.len() - CHECKSUM_LEN]);
                self.check_end(records, checksum)?;
                self.stage = Stage::Ended;
                return Ok(());
            }
        }
        self.checksum.update(bytes);
        Ok(())
    }

    fn check_end(&self, records: u64, checksum: u32) -> Result<(), StorageError> {
        let computed = self.checksum.clone().finalize();
        if (records, checksum) != (self.records, computed) {
            let counted = self.records;
            return Err(damaged(format!(
                "{records} records with checksum {checksum:08x} announced, \
                 {counted} with {computed:08x} received"
            )));
        }
        Ok(())
    }
}

const CHECKSUM_LEN: usize = 4;

/// The first piece of `bytes` and its length; nothing if more bytes are needed.
fn parse(stage: Stage, bytes: &[u8]) -> Result<Option<(Piece<'_>, usize)>, StorageError> {
    let Some(&first) = bytes.first() else {
        return Ok(None);
    };
    match stage {
        Stage::Header => parse_header(bytes),
        Stage::Records if first == END_TAG => Ok(parse_end(bytes)),
        Stage::Records => parse_record(bytes),
        Stage::Ended => Err(damaged(format!("{} bytes behind its end", bytes.len()))),
    }
}

fn parse_header(bytes: &[u8]) -> Result<Option<(Piece<'_>, usize)>, StorageError> {
    let seen = &bytes[..bytes.len().min(HEADER.len())];
    if !HEADER.starts_with(seen) {
        let reason = format!(
            "it begins with \"{}\", not with a known version",
            seen.escape_ascii()
        );
        return Err(damaged(reason));
    }
    Ok((seen.len() == HEADER.len()).then_some((Piece::Header, HEADER.len())))
}

fn parse_end(bytes: &[u8]) -> Option<(Piece<'_>, usize)> {
    let (records, rest) = bytes[1..].split_first_chunk()?;
    let (checksum, rest) = rest.split_first_chunk::<CHECKSUM_LEN>()?;
    let end = Piece::End {
        records: u64::from_be_bytes(*records),
        checksum: u32::from_be_bytes(*checksum),
    };
    Some((end, bytes.len() - rest.len()))
}

fn parse_record(bytes: &[u8]) -> Result<Option<(Piece<'_>, usize)>, StorageError> {
    let unknown = || damaged(format!("unknown tag {}", bytes[0]));
    let family = Family::ALL
        .into_iter()
        .find(|&family| tag(family) == bytes[0]);
    let family = family.ok_or_else(unknown)?;
    let Some((key_len, rest)) = take_len(&bytes[1..])? else {
        return Ok(None);
    };
    let Some((value_len, rest)) = take_len(rest)? else {
        return Ok(None);
    };
    let parts = rest
        .split_at_checked(key_len)
        .and_then(|(key, rest)| Some((key, rest.split_at_checked(value_len)?)));
    Ok(parts.map(|(key, (value, rest))| {
        (
            Piece::Record { family, key, value },
            bytes.len() - rest.len(),
        )
    }))
}

fn take_len(bytes: &[u8]) -> Result<Option<(usize, &[u8])>, StorageError> {
    let Some((len, rest)) = bytes.split_first_chunk() else {
        return Ok(None);
    };
    match usize::try_from(u32::from_be_bytes(*len)) {
        Ok(len) if len <= MAX_RECORD_BYTES => Ok(Some((len, rest))),
        _ => Err(damaged(format!(
            "a record longer than {MAX_RECORD_BYTES} bytes"
        ))),
    }
}

fn check_stands_at(position: &Position, expected: LogId) -> Result<(), StorageError> {
    let found = position.applied.last_applied;
    if found != expected {
        return Err(damaged(format!(
            "it stands at {found}, not at {expected} as announced"
        )));
    }
    Ok(())
}

fn damaged(reason: String) -> StorageError {
    corrupt("the snapshot stream", reason)
}
