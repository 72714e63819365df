//! A look at RocksDB's manifest before RocksDB opens it.
//!
//! The manifest is a file of records in blocks of 32 KiB; before each record stand
//! a checksum (4 bytes), a length (2, little-endian) and a type (1). Types 5 to 8, 11
//! and 131 belong into recycled files, and no manifest is one. RocksDB 11.8 reads such
//! a type, behind the first record, over and over and never comes back: one flipped bit
//! makes 5 of 1, and a node would hang at its start without a word.

use std::fs;
use std::io;
use std::path::Path;

const BLOCK: usize = 32 << 10;
const HEADER: usize = 7;

/// Whether RocksDB would never come back from opening the database in `path`.
pub(crate) fn is_endless(path: &Path) -> io::Result<bool> {
    let current = fs::read(path.join("CURRENT"))?;
    let Ok(name) = std::str::from_utf8(&current) else {
        return Ok(false);
    };
    match fs::read(path.join(name.trim_end())) {
        Ok(manifest) => Ok(holds_recycled_record(&manifest)),
        // RocksDB says what it lacks, and why.
        Err(_) => Ok(false),
    }
}

pub(crate) fn holds_recycled_record(manifest: &[u8]) -> bool {
    let types = manifest.chunks(BLOCK).flat_map(types_in);
    types.skip(1).any(|kind| matches!(kind, 5..=8 | 11 | 131))
}

/// The types of the records of one block.
fn types_in(mut block: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let header: &[u8; HEADER] = block.first_chunk()?;
        let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
        block = block.get(HEADER + length..).unwrap_or_default();
        Some(header[6])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, length: u16) -> Vec<u8> {
        let [low, high] = length.to_le_bytes();
        let mut record = vec![1, 2, 3, 4, low, high, kind];
        record.resize(HEADER + usize::from(length), 5);
        record
    }

    #[test]
    fn a_type_of_recycled_files_is_seen_wherever_a_record_begins() {
        let sound = [record(1, 10), record(2, 300), record(4, 0)].concat();
        assert!(!holds_recycled_record(&sound));
        assert!(holds_recycled_record(&[sound, record(5, 8)].concat()));
    }

    #[test]
    fn what_is_no_header_is_no_type() {
        let sound = [record(1, 10), record(1, 5)].concat();
        for length in 0..sound.len() {
            assert!(!holds_recycled_record(&sound[..length]));
        }
    }
}
