//! A disk that refuses a write closes the store for writing; what was
//! acknowledged before is there, and stays readable.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raft_core::{
    AppendBatch, Entry, LogId, LogIndex, LogSlice, LogStore, RequestId, StableStore, StorageError,
    StorageHealth, StoredEntry,
};
use raft_storage_rocks::RocksOptions;

use crate::support::{GROUP, Place, append, entry, identity, vote_of};

/// Set for the process whose files may not grow: where its store is.
const PLACE: &str = "RAFT_STORAGE_FAILURE_TEST";

/// Set for the process whose syncs take long.
const SLOW_PLACE: &str = "RAFT_STORAGE_SLOW_TEST";

fn large(index: u64) -> AppendBatch {
    let data = Bytes::from(vec![b'x'; 16 << 10]);
    let entry = Entry::command(LogId::new(1, index), RequestId::default(), data);
    AppendBatch {
        truncate_from: None,
        entries: LogSlice::new(vec![entry]).unwrap(),
    }
}

/// Appends until the system refuses, then looks at what the store says.
/// Does nothing but when started by the test below.
#[tokio::test]
async fn child_process_whose_files_may_not_grow() {
    let Some(path) = std::env::var_os(PLACE).map(PathBuf::from) else {
        return;
    };
    let store =
        raft_storage_rocks::RocksStore::open(path, &RocksOptions::default(), identity(1, 1));
    let store = store.unwrap();
    let (log, stable) = (store.log_store(GROUP).unwrap(), store.stable_store(GROUP));

    let mut next = 1;
    let failure = loop {
        match log.append(large(next)).await {
            Ok(()) => next += 1,
            Err(failure) => break failure,
        }
        assert!(next < 10_000, "the system refused nothing");
    };
    let last = log.bounds().await.unwrap().last.index.get();

    assert!(matches!(failure, StorageError::Io { .. }), "{failure:?}");
    assert_eq!(last, next - 1, "the bounds count what was acknowledged");
    assert_eq!(log.health(), StorageHealth::Closed);
    let refusals = [
        log.append(large(next)).await,
        log.purge(LogId::new(1, 1)).await,
        log.reset(LogId::new(1, 1)).await,
        stable.save(vote_of(0, 1)).await,
    ];
    for refusal in refusals {
        assert!(matches!(refusal, Err(StorageError::Closed)), "{refusal:?}");
    }
    let (first, last) = (LogIndex::new(1), LogIndex::new(last));
    let found = log.read(first, last, usize::MAX).await.unwrap();
    assert!(found.iter().all(|one| matches!(one, StoredEntry::Entry(_))));
    println!("acknowledged {last}");
}

#[tokio::test]
async fn a_refused_write_closes_the_store_and_a_new_start_finds_what_was_acknowledged() {
    let place = Place::new();
    // A limit of the shell stands for the full disk; without the trap the system
    // would end the process instead of refusing the write.
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("failure::child_process_whose_files_may_not_grow")
        .env(PLACE, place.path())
        .output()
        .unwrap();
    assert_closed_and_whole(&place, &child).await;
}

/// The child saw the store close, and what it heard acknowledged is there.
async fn assert_closed_and_whole(place: &Place, child: &Output) {
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{said}{complaint}");
    let acknowledged = said
        .lines()
        .find_map(|line| line.strip_prefix("acknowledged i"));
    let acknowledged: u64 = acknowledged.expect("it says so").parse().unwrap();

    let log = place.open().log_store(GROUP).unwrap();
    let last = log.bounds().await.unwrap().last.index.get();

    assert!(acknowledged > 0, "nothing was acknowledged");
    assert!(last >= acknowledged, "{last} of {acknowledged}");
    append(&log, None, vec![entry(2, last + 1)]).await;
}

/// A sync may fail although the write did not, and what it was to make durable may be
/// gone from the system's memory by then: it is not tried again.
#[tokio::test]
async fn a_sync_that_fails_closes_the_store_and_a_new_start_finds_what_was_acknowledged() {
    let place = Place::new();
    let Some(mut strace) = injecting("error=EIO:when=60+") else {
        return;
    };
    let child = strace
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("failure::child_process_whose_files_may_not_grow")
        .env(PLACE, place.path())
        .output()
        .unwrap();
    assert_closed_and_whole(&place, &child).await;
}

/// Appends through syncs that take long and says what health shows meanwhile. Does
/// nothing but when started by the test below.
#[tokio::test(flavor = "multi_thread")]
async fn child_process_whose_syncs_take_long() {
    let Some(path) = std::env::var_os(SLOW_PLACE).map(PathBuf::from) else {
        return;
    };
    let store =
        raft_storage_rocks::RocksStore::open(path, &RocksOptions::default(), identity(1, 1));
    let log = Arc::new(store.unwrap().log_store(GROUP).unwrap());
    let (mut next, mut stalls) = (1, Vec::new());
    while stalls.len() < 2 {
        let appending = tokio::spawn({
            let log = Arc::clone(&log);
            async move { log.append(large(next)).await }
        });
        let mut stalled = None;
        while !appending.is_finished() {
            if let StorageHealth::Stalled { since } = log.health() {
                stalled = Some(since);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        appending.await.unwrap().unwrap();
        assert_eq!(log.health(), StorageHealth::Healthy, "when it is done");
        stalls.extend(stalled);
        next += 1;
        assert!(next < 1000, "no sync took long");
    }
    println!("acknowledged {} stalls {stalls:?}", next - 1);
    assert!(stalls.iter().all(|since| *since > Duration::from_secs(1)));
}

#[tokio::test]
async fn a_slow_sync_shows_in_health_as_the_age_of_the_sync() {
    let place = Place::new();
    let Some(mut strace) = injecting("delay_enter=1500000:when=40+40") else {
        return;
    };
    let child = strace
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("failure::child_process_whose_syncs_take_long")
        .env(SLOW_PLACE, place.path())
        .output()
        .unwrap();
    let (said, complaint) = (
        String::from_utf8_lossy(&child.stdout),
        String::from_utf8_lossy(&child.stderr),
    );
    assert!(child.status.success(), "{said}{complaint}");
    assert!(said.contains("stalls ["), "{said}");
}

/// The command that does so to each `fdatasync` of the program that follows; nothing
/// where programs cannot be traced.
fn injecting(fault: &str) -> Option<Command> {
    let tried = Command::new("strace")
        .args(["-f", "--seccomp-bpf", "-o", "/dev/null", "true"])
        .output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        println!("skipped: there is no strace, or it may not trace");
        return None;
    }
    let mut strace = Command::new("strace");
    // What is not looked for runs at its own speed.
    strace.args(["-f", "--seccomp-bpf", "-qq", "-o", "/dev/null"]);
    strace.args(["-e", "trace=fdatasync"]);
    strace.arg("-e").arg(format!("inject=fdatasync:{fault}"));
    Some(strace)
}

#[tokio::test]
async fn a_failure_in_one_group_closes_the_whole_store() {
    let place = Place::new();
    let store = place.open();
    let (log, stable) = (store.log_store(GROUP).unwrap(), store.stable_store(GROUP));
    store.fail_next_write();

    let failed = stable.save(vote_of(0, 1)).await;

    assert!(matches!(failed, Err(StorageError::Io { .. })), "{failed:?}");
    let refused = log.append(large(1)).await;
    assert!(matches!(refused, Err(StorageError::Closed)), "{refused:?}");
    assert_eq!(log.health(), StorageHealth::Closed);
}
