//! Reads, groups and handles beside each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use raft_core::{GroupId, LogId, LogIndex, LogStore, StoredEntry};
use raft_storage_rocks::RocksLogStore;

use crate::support::{GROUP, Place, append, entry};

/// Reads the whole log over and over; answers how often.
async fn read_until(log: Arc<RocksLogStore>, stop: Arc<AtomicBool>) -> usize {
    let mut reads = 0;
    while !stop.load(Ordering::Acquire) {
        let bounds = log.bounds().await.unwrap();
        let first = bounds.purged.index.next();
        let found = log.read(first, bounds.last.index, usize::MAX).await;
        for stored in found.unwrap() {
            match stored {
                StoredEntry::Entry(found) => {
                    let expected = entry(found.term().get(), found.index().get());
                    assert_eq!(found, expected, "term and payload of different entries");
                }
                // Cut or purged since the bounds were asked for.
                StoredEntry::Absent { .. } => {}
                StoredEntry::Corrupt { .. } => panic!("{stored:?}"),
            }
        }
        log.metadata(first, bounds.last.index).await.unwrap();
        reads += 1;
    }
    reads
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_read_beside_cuts_and_purges_never_takes_them_for_damage() {
    let place = Place::new();
    let log = Arc::new(place.open().log_store(GROUP).unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| tokio::spawn(read_until(Arc::clone(&log), Arc::clone(&stop))))
        .collect();

    let mut next = 1;
    for term in 1..=200 {
        let run = (next..next + 8).map(|index| entry(term, index)).collect();
        let cut = (next > 1).then_some(next);
        append(&*log, cut, run).await;
        next += 3;
        if term % 4 == 0 {
            log.purge(LogId::new(term, next - 1)).await.unwrap();
        }
    }
    stop.store(true, Ordering::Release);

    for reader in readers {
        assert!(reader.await.unwrap() > 0, "a reader never came to read");
    }
}

#[tokio::test]
async fn groups_share_a_store_and_nothing_else() {
    let place = Place::new();
    let store = place.open();
    let log_of = |group| store.log_store(GroupId::new(group)).unwrap();
    let (one, two) = (log_of(1), log_of(2));

    for index in 1..=50 {
        tokio::join!(
            append(&one, None, vec![entry(1, index)]),
            append(&two, None, vec![entry(2, index)]),
        );
    }
    append(&one, Some(1), vec![]).await;

    assert_eq!(one.bounds().await.unwrap().last.index, LogIndex::ZERO);
    assert_eq!(two.bounds().await.unwrap().last, LogId::new(2, 50));
}

#[tokio::test]
async fn two_handles_to_one_log_agree() {
    let place = Place::new();
    let store = place.open();
    let (one, other) = (
        store.log_store(GROUP).unwrap(),
        store.log_store(GROUP).unwrap(),
    );

    append(&one, None, vec![entry(1, 1)]).await;
    append(&other, None, vec![entry(1, 2)]).await;

    assert_eq!(one.bounds().await.unwrap().last, LogId::new(1, 2));
}

#[tokio::test]
async fn a_cut_in_flight_behind_an_append_knows_the_term_of_what_it_leaves() {
    let place = Place::new();
    let log = place.open().log_store(GROUP).unwrap();

    tokio::join!(
        append(&log, None, vec![entry(1, 1), entry(2, 2), entry(3, 3)]),
        append(&log, Some(3), vec![]),
    );

    assert_eq!(log.bounds().await.unwrap().last, LogId::new(2, 2));
}
