//! Takes the stream of a snapshot apart and verifies it.
//!
//! The format is drawn in [`super::snapshot`].

use raft_core::StorageError;

use super::corrupt;
use super::moment::check_length;
use super::snapshot::END_TAG;

const CHECKSUM_LEN: usize = 4;

/// What was read so far of a stream.
pub(crate) struct StreamReader {
    /// What the stream has to begin with.
    header: Vec<u8>,
    /// Bytes not yet understood: at most one record and one chunk.
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

/// One piece of the stream.
enum Piece<'b> {
    Header,
    Record(Record<'b>),
    End { records: u64, checksum: u32 },
}

/// A record, with the tag of its column family.
pub(crate) struct Record<'b> {
    pub(crate) tag: u8,
    pub(crate) key: &'b [u8],
    pub(crate) value: &'b [u8],
}

/// A piece and its length; nothing if more bytes are needed.
type Parsed<'b> = Result<Option<(Piece<'b>, usize)>, StorageError>;

impl StreamReader {
    pub(crate) fn new(header: Vec<u8>) -> Self {
        Self {
            header,
            buffer: Vec::new(),
            checksum: crc32fast::Hasher::new(),
            stage: Stage::Header,
            records: 0,
        }
    }

    /// Takes the next chunk and hands on the records that it completes.
    pub(crate) fn feed(
        &mut self,
        chunk: &[u8],
        mut take: impl FnMut(Record<'_>) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        self.buffer.extend_from_slice(chunk);
        let buffer = std::mem::take(&mut self.buffer);
        let mut rest = buffer.as_slice();
        while let Some((piece, len)) = self.parse(rest)? {
            let (bytes, behind) = rest.split_at(len);
            self.accept(piece, bytes, &mut take)?;
            rest = behind;
        }
        self.buffer = rest.to_vec();
        Ok(())
    }

    /// Refuses a stream that has not come to its end.
    pub(crate) fn finish(&self) -> Result<(), StorageError> {
        match self.stage {
            Stage::Ended => Ok(()),
            _ => Err(damaged(format!("it ends after {} records", self.records))),
        }
    }

    fn accept(
        &mut self,
        piece: Piece<'_>,
        bytes: &[u8],
        take: &mut impl FnMut(Record<'_>) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        match piece {
            Piece::Header => self.stage = Stage::Records,
            Piece::Record(record) => {
                take(record)?;
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

    fn parse<'b>(&self, bytes: &'b [u8]) -> Parsed<'b> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        match self.stage {
            Stage::Header => parse_header(&self.header, bytes),
            Stage::Records if first == END_TAG => Ok(parse_end(bytes)),
            Stage::Records => parse_record(bytes),
            Stage::Ended => Err(damaged(format!("{} bytes behind its end", bytes.len()))),
        }
    }
}

fn parse_header<'b>(expected: &[u8], bytes: &'b [u8]) -> Parsed<'b> {
    let seen = &bytes[..bytes.len().min(expected.len())];
    if !expected.starts_with(seen) {
        let (seen, expected) = (seen.escape_ascii(), expected.escape_ascii());
        let reason = format!("it begins with \"{seen}\", not with \"{expected}\"");
        return Err(damaged(reason));
    }
    Ok((seen.len() == expected.len()).then_some((Piece::Header, expected.len())))
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

fn parse_record(bytes: &[u8]) -> Parsed<'_> {
    let Some((key_len, rest)) = take_len(&bytes[1..])? else {
        return Ok(None);
    };
    let Some((value_len, rest)) = take_len(rest)? else {
        return Ok(None);
    };
    check(key_len, value_len)?;
    let parts = rest
        .split_at_checked(key_len)
        .and_then(|(key, rest)| Some((key, rest.split_at_checked(value_len)?)));
    let tag = bytes[0];
    Ok(parts.map(|(key, (value, rest))| {
        let record = Record { tag, key, value };
        (Piece::Record(record), bytes.len() - rest.len())
    }))
}

fn take_len(bytes: &[u8]) -> Result<Option<(usize, &[u8])>, StorageError> {
    let Some((len, rest)) = bytes.split_first_chunk() else {
        return Ok(None);
    };
    match usize::try_from(u32::from_be_bytes(*len)) {
        Ok(len) => check(len, 0).map(|()| Some((len, rest))),
        Err(_) => Err(damaged("a record longer than memory".to_owned())),
    }
}

/// A longer record cannot be ours, and is refused before memory is set aside for it.
fn check(key: usize, value: usize) -> Result<(), StorageError> {
    check_length(key, value).map_err(|refused| damaged(refused.to_string()))
}

/// The stream is not what was sent.
pub(super) fn damaged(reason: String) -> StorageError {
    corrupt("the snapshot stream", reason)
}
