//! A log that is purged takes bounded space, however long it runs.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use raft_core::{AppendBatch, Entry, LogId, LogIndex, LogSlice, LogStore, RequestId, StoredEntry};
use raft_storage_rocks::{RocksOptions, RocksStore};

use crate::support::{GROUP, Place, identity};

const SECONDS_A_DAY: u64 = 86_400;

/// A snapshot every ten minutes, and the log of as long before it is kept.
const PURGE_EVERY: u64 = 600;

/// Of what does not compress.
const ENTRY_BYTES: usize = 3000;

const WRITE_BUFFER: usize = 4 << 20;

fn size_of(directory: &Path) -> u64 {
    let files = fs::read_dir(directory).unwrap();
    // RocksDB removes files meanwhile.
    let lengths = files.filter_map(|file| file.ok()?.metadata().ok());
    lengths.map(|metadata| metadata.len()).sum()
}

fn options() -> RocksOptions {
    RocksOptions {
        write_buffer_bytes: WRITE_BUFFER,
        sync: false,
        ..RocksOptions::default()
    }
}

/// Bytes that look random.
fn noise(seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let bytes = (0..ENTRY_BYTES / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    bytes.collect()
}

#[tokio::test]
async fn a_day_of_appends_and_purges_takes_no_more_space_than_its_first_hour() {
    let place = Place::new();
    let store = RocksStore::open(place.path(), &options(), identity(1, 1)).unwrap();
    let log = store.log_store(GROUP).unwrap();
    let mut largest = 0;
    for second in 1..=SECONDS_A_DAY {
        let id = LogId::new(1, second);
        let entry = Entry::command(id, RequestId::default(), noise(second));
        let batch = AppendBatch {
            truncate_from: None,
            entries: LogSlice::new(vec![entry]).unwrap(),
        };
        log.append(batch).await.unwrap();
        if second % PURGE_EVERY == 0 && second > PURGE_EVERY {
            log.purge(LogId::new(1, second - PURGE_EVERY))
                .await
                .unwrap();
            largest = largest.max(size_of(&place.path()));
        }
    }

    let kept = 2 * PURGE_EVERY * ENTRY_BYTES as u64;
    let bound = 2 * kept + 5 * (WRITE_BUFFER + WRITE_BUFFER / 4) as u64 + (16 << 20);
    let appended = SECONDS_A_DAY * ENTRY_BYTES as u64;
    println!("{appended} bytes appended, at most {largest} on the disk, bound {bound}");
    assert!(largest <= bound, "{largest} bytes on the disk, of {bound}");
    let (first, last) = (SECONDS_A_DAY - PURGE_EVERY + 1, SECONDS_A_DAY);
    let found = log.read(LogIndex::new(first), LogIndex::new(last), usize::MAX);
    let found = found.await.unwrap();
    assert_eq!(found.len() as u64, PURGE_EVERY);
    assert!(found.iter().all(|one| matches!(one, StoredEntry::Entry(_))));
}
