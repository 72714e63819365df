//! A disk that fills up: appends wait, nothing is refused or lost, and all goes on when
//! there is space again.
//! The disk is a small one of its own, which only root may mount.

use std::sync::Arc;
use std::time::Duration;

use raft_core::{
    AppendBatch, Entry, GroupId, LogId, LogIndex, LogSlice, LogStore, RequestId, StableState,
    StableStore, StorageHealth, StoredEntry,
};
use raft_storage_rocks::{RocksLogStore, RocksOptions, RocksStore, StoreError};
use tokio::task::JoinHandle;

use crate::small_disk::{SmallDisk, noise};
use crate::support::{GROUP, append, entry, identity, vote_of};

const OTHER: GroupId = GroupId::new(7);

/// Longer than RocksDB waits before it looks for space again, which is 5 seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nine write buffers; see `RocksOptions::reserve_bytes`.
const RESERVE: u64 = 18 << 20;

/// An append that takes longer than this waits for space.
const WAITS: Duration = Duration::from_secs(3);

const ENTRY_BYTES: usize = 64 << 10;

fn open(disk: &SmallDisk, reserve_bytes: u64) -> Result<RocksStore, StoreError> {
    open_with(disk, reserve_bytes, false)
}

fn open_with(
    disk: &SmallDisk,
    reserve_bytes: u64,
    writes_in_place: bool,
) -> Result<RocksStore, StoreError> {
    let options = RocksOptions {
        write_buffer_bytes: 2 << 20,
        recent_bytes: 1 << 20,
        reserve_bytes,
        writes_in_place,
        ..RocksOptions::default()
    };
    RocksStore::open(disk.path(), &options, identity(1, 1))
}

fn large(index: u64) -> Entry {
    let id = LogId::new(1, index);
    Entry::command(id, RequestId::default(), noise(index, ENTRY_BYTES).into())
}

async fn append_large(log: &RocksLogStore, index: u64) {
    let batch = AppendBatch {
        truncate_from: None,
        entries: LogSlice::new(vec![large(index)]).unwrap(),
    };
    log.append(batch).await.unwrap();
}

/// Appends until one waits for space. Answers its index, and who waits for it.
async fn append_until_full(log: &Arc<RocksLogStore>) -> (u64, JoinHandle<()>) {
    let next = log.bounds().await.unwrap().last.index.next().get();
    for index in next..10_000 {
        let handle = Arc::clone(log);
        let mut appending = tokio::spawn(async move { append_large(&handle, index).await });
        match tokio::time::timeout(WAITS, &mut appending).await {
            Ok(appended) => appended.unwrap(),
            Err(_) => {
                assert_eq!(log.health(), StorageHealth::Full);
                return (index, appending);
            }
        }
    }
    panic!("the disk is small, and was not filled")
}

/// The disk is looked at once a second.
async fn wait_until_healthy(log: &RocksLogStore) {
    let healthy = async {
        while log.health() != StorageHealth::Healthy {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, healthy).await.unwrap();
}

async fn assert_whole(store: &RocksStore, last: u64) {
    let log = store.log_store(GROUP).unwrap();
    assert_eq!(log.bounds().await.unwrap().last, LogId::new(1, last));
    let (first, last) = (LogIndex::new(1), LogIndex::new(last));
    let found = log.read(first, last, usize::MAX).await.unwrap();
    let expected = (1..=last.get()).map(|index| StoredEntry::Entry(large(index)));
    assert!(found.into_iter().eq(expected), "what was acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_reserve_appends_wait_while_votes_purges_and_reads_go_on() {
    let Some(disk) = SmallDisk::new() else { return };
    let store = open(&disk, RESERVE).unwrap();
    let log = Arc::new(store.log_store(GROUP).unwrap());
    let other = store.log_store(OTHER).unwrap();
    append(&other, None, vec![entry(1, 1), entry(1, 2)]).await;
    disk.leave_free(32 << 20);

    let (index, appending) = loop {
        let (index, mut appending) = append_until_full(&log).await;
        // What RocksDB is done with may make a little room again: others take that, too.
        disk.leave_free(RESERVE / 2 - ENTRY_BYTES as u64);
        match tokio::time::timeout(WAITS, &mut appending).await {
            Ok(appended) => appended.unwrap(),
            Err(_) => break (index, appending),
        }
    };
    let (vote, purged) = (vote_of(0, 9), LogId::new(1, 1));
    let stable = store.stable_store(GROUP);
    let urgent = async { (stable.save(vote).await, other.purge(purged).await) };
    // A merge of files that is under way may take the rest, until it is done.
    let (saved, purged) = tokio::time::timeout(PATIENCE, urgent).await.unwrap();
    saved.and(purged).unwrap();
    let read = log.read(LogIndex::new(1), LogIndex::new(1), usize::MAX);
    assert_eq!(read.await.unwrap(), [StoredEntry::Entry(large(1))]);
    assert_eq!(log.bounds().await.unwrap().last, LogId::new(1, index - 1));
    assert!(!appending.is_finished());

    disk.free_space();
    tokio::time::timeout(PATIENCE, appending)
        .await
        .unwrap()
        .unwrap();
    wait_until_healthy(&log).await;
    drop((log, other, stable, store));

    let store = open(&disk, RESERVE).unwrap();
    assert_whole(&store, index).await;
    let vote = store.stable_store(GROUP).load().await.unwrap();
    assert_eq!(vote, StableState::Saved(vote_of(0, 9)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_any_space_left_loses_nothing_and_is_written_again_later() {
    fill_and_free(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_full_disk_refuses_to_whoever_writes_in_place_is_written_later() {
    fill_and_free(true).await;
}

async fn fill_and_free(writes_in_place: bool) {
    let Some(disk) = SmallDisk::new() else { return };
    let store = open_with(&disk, 0, writes_in_place).unwrap();
    let log = Arc::new(store.log_store(GROUP).unwrap());
    disk.leave_free(16 << 20);

    let (index, appending) = append_until_full(&log).await;
    let read = log.read(LogIndex::new(1), LogIndex::new(1), usize::MAX);
    assert_eq!(read.await.unwrap(), [StoredEntry::Entry(large(1))]);
    assert!(!appending.is_finished());

    disk.free_space();
    tokio::time::timeout(PATIENCE, appending)
        .await
        .unwrap()
        .unwrap();
    for index in index + 1..=index + 20 {
        append_large(&log, index).await;
    }
    wait_until_healthy(&log).await;
    drop((log, store));
    assert_whole(&open(&disk, 0).unwrap(), index + 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_waits_for_space_can_be_closed_and_opened_again() {
    let Some(disk) = SmallDisk::new() else { return };
    let store = open(&disk, 0).unwrap();
    let log = Arc::new(store.log_store(GROUP).unwrap());
    disk.leave_free(16 << 20);
    let (index, appending) = append_until_full(&log).await;
    appending.abort();
    assert!(appending.await.unwrap_err().is_cancelled());
    drop((log, store));

    disk.free_space();
    let store = open(&disk, 0).unwrap();
    let last = store.log_store(GROUP).unwrap().bounds().await.unwrap().last;
    // What was under way is there whole, or not at all.
    assert!((index - 1..=index).contains(&last.index.get()), "{last}");
    assert_whole(&store, last.index.get()).await;
}
