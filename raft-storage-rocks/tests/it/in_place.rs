//! Writes that whoever hands them in makes, where that is allowed.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use raft_core::{
    AppendBatch, GroupId, LogId, LogIndex, LogSlice, LogStore, StableState, StableStore,
    StorageError, StoredEntry,
};
use raft_storage_rocks::{RocksLogStore, RocksOptions, RocksStore};

use crate::support::{GROUP, Place, append, entry, identity, vote_of};

fn open(place: &Place) -> RocksStore {
    let options = RocksOptions {
        writes_in_place: true,
        ..RocksOptions::default()
    };
    RocksStore::open(place.path(), &options, identity(1, 1)).unwrap()
}

/// Asks a future once, and wakes nobody for it.
fn ask_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn one_entry(index: u64) -> AppendBatch {
    AppendBatch {
        truncate_from: None,
        entries: LogSlice::new(vec![entry(1, index)]).unwrap(),
    }
}

#[test]
fn outside_of_a_runtime_a_write_is_made_before_anybody_waits_for_it() {
    let place = Place::new();
    let store = open(&place);
    let log = store.log_store(GROUP).unwrap();

    for index in 1..=20 {
        let written = ask_once(log.append(one_entry(index)));
        assert!(matches!(written, Poll::Ready(Ok(()))), "{written:?}");
    }
    let saved = ask_once(store.stable_store(GROUP).save(vote_of(0, 3)));
    assert!(matches!(saved, Poll::Ready(Ok(()))), "{saved:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_a_multi_threaded_runtime_writes_in_place() {
    let place = Place::new();
    let log = open(&place).log_store(GROUP).unwrap();

    let task = tokio::spawn(async move { ask_once(log.append(one_entry(1))).is_ready() });

    assert!(task.await.unwrap());
}

#[tokio::test]
async fn in_a_current_thread_runtime_no_other_task_waits_for_the_sync() {
    let place = Place::new();
    let log = open(&place).log_store(GROUP).unwrap();

    let mut appending = pin!(log.append(one_entry(1)));
    let asked = appending
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));

    assert!(asked.is_pending(), "{asked:?}");
    appending.await.unwrap();
}

#[test]
fn a_refused_change_is_told_and_stands_in_nobodys_way() {
    let place = Place::new();
    let log = open(&place).log_store(GROUP).unwrap();

    let refused = ask_once(log.append(one_entry(7)));

    let Poll::Ready(Err(StorageError::Misuse { reason })) = refused else {
        panic!("{refused:?}");
    };
    assert!(reason.contains("the log ends at"), "{reason}");
    assert!(ask_once(log.append(one_entry(1))).is_ready());
}

#[test]
fn after_a_write_that_failed_the_store_is_closed() {
    let place = Place::new();
    let store = open(&place);
    let log = store.log_store(GROUP).unwrap();
    store.fail_next_write();

    let failed = ask_once(log.append(one_entry(1)));
    assert!(
        matches!(failed, Poll::Ready(Err(StorageError::Io { .. }))),
        "{failed:?}"
    );
    let after = ask_once(log.append(one_entry(1)));
    assert!(
        matches!(after, Poll::Ready(Err(StorageError::Closed))),
        "{after:?}"
    );
}

/// One caller: appends in small runs, with a cut or a purge now and then. Answers the
/// last position.
async fn write_some(log: &RocksLogStore, runs: u64) -> u64 {
    let mut last = 0;
    for run in 1..=runs {
        let cut = (run % 5 == 0 && last > 2).then(|| last - 1);
        let first = cut.unwrap_or(last + 1);
        let entries = (first..first + 1 + run % 3).map(|index| entry(run, index));
        append(log, cut, entries.collect()).await;
        last = first + run % 3;
        if run % 20 == 0 {
            let end = log.bounds().await.unwrap().last;
            log.purge(LogId::new(run, end.index.get())).await.unwrap();
        }
    }
    last
}

/// Some are at the disk themselves, and some find somebody there and wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_that_write_at_once_lose_nothing() {
    const RUNS: u64 = 150;
    let place = Place::new();
    let store = open(&place);
    let writing: Vec<_> = (0..6)
        .map(|group| {
            let log = store.log_store(GroupId::new(group)).unwrap();
            let stable = store.stable_store(GroupId::new(group));
            tokio::spawn(async move {
                let last = write_some(&log, RUNS).await;
                stable.save(vote_of(0, last)).await.unwrap();
                last
            })
        })
        .collect();
    let mut ends = Vec::new();
    for task in writing {
        ends.push(task.await.unwrap());
    }
    drop(store);

    let store = open(&place);
    for (group, last) in (0..).zip(ends) {
        let group = GroupId::new(group);
        let vote = store.stable_store(group).load().await.unwrap();
        assert_eq!(vote, StableState::Saved(vote_of(0, last)));
        let log = store.log_store(group).unwrap();
        let bounds = log.bounds().await.unwrap();
        assert_eq!(bounds.last.index, LogIndex::new(last));
        let first = bounds.purged.index.next();
        for found in log
            .read(first, bounds.last.index, usize::MAX)
            .await
            .unwrap()
        {
            let StoredEntry::Entry(found) = found else {
                panic!("{found:?}");
            };
            let expected = entry(found.term().get(), found.index().get());
            assert_eq!(found, expected);
        }
    }
}
