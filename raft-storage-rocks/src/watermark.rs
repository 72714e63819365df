//! How far the store has acknowledged, kept in a file beside the database.
//!
//! RocksDB ends its recovery at the first record of the write-ahead log that does
//! not check out. A crash tears the last record, which was never acknowledged:
//! that is no loss. A record damaged before the end looks the same to RocksDB, and
//! everything after it would be gone without a word: acknowledged entries, and
//! votes that this node could cast a second time. The watermark tells the two apart.
//!
//! It is written after each sync, and synced itself about once a second while there
//! are writes, and at a clean close. After a power cut it may therefore be behind by
//! about a second, which only means that less is noticed; it is never ahead.
//!
//! ```text
//! sequence u64 le  RocksDB's number of the last change acknowledged
//! checksum u32 le  CRC-32 of the sequence
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

const FILE_NAME: &str = "WATERMARK";
const LENGTH: usize = 12;

/// The file, open for writing.
#[derive(Debug)]
pub(crate) struct Watermark {
    file: File,
}

impl Watermark {
    /// Opens the file in the directory of a database. Answers how far the store
    /// had acknowledged, if that is known.
    pub(crate) fn open(directory: &Path) -> io::Result<(Self, Option<u64>)> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join(FILE_NAME))?;
        let mut bytes = Vec::with_capacity(LENGTH);
        Read::by_ref(&mut file)
            .take(LENGTH as u64)
            .read_to_end(&mut bytes)?;
        Ok((Self { file }, decode(&bytes)))
    }

    /// How far the store in a directory had acknowledged, if that is known.
    pub(crate) fn read(directory: &Path) -> io::Result<Option<u64>> {
        match std::fs::read(directory.join(FILE_NAME)) {
            Ok(bytes) => Ok(decode(&bytes[..bytes.len().min(LENGTH)])),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A handle that syncs the file from another thread.
    pub(crate) fn sync_handle(&self) -> io::Result<WatermarkSync> {
        let file = self.file.try_clone()?;
        Ok(WatermarkSync { file })
    }

    /// Notes that all changes up to `sequence` are durable.
    pub(crate) fn raise(&mut self, sequence: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&encode(sequence))
    }
}

/// Makes durable what the file says.
#[derive(Debug)]
pub(crate) struct WatermarkSync {
    file: File,
}

impl WatermarkSync {
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn encode(sequence: u64) -> [u8; LENGTH] {
    let number = sequence.to_le_bytes();
    let mut bytes = [0; LENGTH];
    bytes[..8].copy_from_slice(&number);
    bytes[8..].copy_from_slice(&crc32fast::hash(&number).to_le_bytes());
    bytes
}

/// A file that a power cut left empty or torn says nothing.
pub(crate) fn decode(bytes: &[u8]) -> Option<u64> {
    let number = bytes.first_chunk::<8>()?;
    let sequence = u64::from_le_bytes(*number);
    (bytes == encode(sequence)).then_some(sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_watermark_says_nothing() {
        let bytes = encode(70_000);
        assert_eq!(decode(&bytes), Some(70_000));
        for length in 0..LENGTH {
            assert_eq!(decode(&bytes[..length]), None, "{length} bytes");
        }
        let mut damaged = bytes;
        damaged[0] ^= 1;
        assert_eq!(decode(&damaged), None);
    }
}
