//! A disk that refuses a write closes the store for writing; what was
//! acknowledged before is there, and stays readable.

use std::path::PathBuf;
use std::process::Command;

use bytes::Bytes;
use raft_core::{
    AppendBatch, Entry, LogId, LogIndex, LogSlice, LogStore, RequestId, StableStore, StorageError,
    StorageHealth, StoredEntry,
};
use raft_storage_rocks::RocksOptions;

use crate::support::{GROUP, Place, append, entry, identity, vote_of};

/// Set for the process whose files may not grow: where its store is.
const PLACE: &str = "RAFT_STORAGE_FAILURE_TEST";

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
