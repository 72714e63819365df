//! Every byte of every file of a small store, flipped one at a time: the store does
//! not open, or reads as damaged, or reads right. Never as something else, and
//! nothing that was acknowledged is missing without a word.
//!
//! Child processes do it, so that whatever ends one is seen with its place.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use raft_core::{LogBounds, LogId, LogIndex, LogStore, StableState, StableStore, StoredEntry};
use raft_storage_rocks::{RocksOptions, RocksStore};

use crate::support::{GROUP, Place, append, entry, identity, vote_of};

/// Set for a child: where the sound store is, and which share of the bytes is its.
const PLACE: &str = "RAFT_STORAGE_FLIPS_TEST";

/// How many children share the work.
const CHILDREN: usize = 2;

/// One of so many bytes is flipped of a file, because each takes an opening: all of
/// the write-ahead log and of the short files, which RocksDB checks the least; fewer
/// of tables and manifest; few of notes that an opening does not read.
/// `RAFT_STORAGE_FLIPS=all` flips each byte of each file but the notes.
fn stride(name: &str) -> usize {
    let all = std::env::var_os("RAFT_STORAGE_FLIPS").is_some();
    match name {
        _ if name.starts_with("OPTIONS") || name.starts_with("LOG") => 2003,
        _ if all => 1,
        _ if name.starts_with("MANIFEST") || name.ends_with(".sst") => 7,
        _ => 1,
    }
}

const PURGED: u64 = 3;
const LAST: u64 = 12;

/// A store with table files and a write-ahead log, a purge, a cut, and a vote.
async fn fill(place: &Place) {
    let store = place.open();
    let log = store.log_store(GROUP).unwrap();
    for first in [1, 4, 7] {
        let run = (first..first + 3).map(|index| entry(1, index)).collect();
        append(&log, None, run).await;
    }
    store.stable_store(GROUP).save(vote_of(0, 1)).await.unwrap();
    drop((log, store));
    // Opening writes what the write-ahead log holds into table files.
    let store = place.open();
    let log = store.log_store(GROUP).unwrap();
    append(
        &log,
        Some(9),
        (9..=10).map(|index| entry(2, index)).collect(),
    )
    .await;
    store.stable_store(GROUP).save(vote_of(0, 2)).await.unwrap();
    log.purge(LogId::new(1, PURGED)).await.unwrap();
    append(
        &log,
        None,
        (11..=LAST).map(|index| entry(2, index)).collect(),
    )
    .await;
}

fn expected(index: u64) -> StoredEntry {
    let term = if index < 9 { 1 } else { 2 };
    StoredEntry::Entry(entry(term, index))
}

/// Opens and reads; panics if it reads anything that was not written.
async fn look(path: &Path) -> &'static str {
    let options = RocksOptions {
        write_buffer_bytes: 1 << 20,
        ..RocksOptions::default()
    };
    let Ok(store) = RocksStore::open(path, &options, identity(1, 1)) else {
        return "refused";
    };
    let vote = store.stable_store(GROUP).load().await;
    match &vote {
        Ok(StableState::Saved(vote)) => assert_eq!(*vote, vote_of(0, 2)),
        Ok(StableState::Empty) => panic!("the vote is gone without a word"),
        Ok(StableState::Lost { .. }) | Err(_) => {}
    }
    let Ok(log) = store.log_store(GROUP) else {
        return "log refused";
    };
    let bounds = LogBounds {
        purged: LogId::new(1, PURGED),
        last: LogId::new(2, LAST),
    };
    assert_eq!(log.bounds().await.unwrap(), bounds);
    let (first, last) = (LogIndex::new(1), LogIndex::new(LAST + 5));
    let Ok(found) = log.read(first, last, usize::MAX).await else {
        return "read refused";
    };
    assert_eq!(found.len() as u64, LAST + 1);
    let mut damaged = !matches!(vote, Ok(StableState::Saved(_)));
    for (index, stored) in (1..).zip(found) {
        match stored {
            StoredEntry::Absent { .. } => assert!(index <= PURGED || index > LAST, "{index}"),
            StoredEntry::Corrupt { .. } => damaged = true,
            StoredEntry::Entry(_) => assert_eq!(stored, expected(index)),
        }
    }
    if damaged { "damage" } else { "right" }
}

/// Every file, and which of its bytes are flipped.
fn flips(sound: &Path) -> Vec<(String, usize)> {
    let mut flips = Vec::new();
    for file in fs::read_dir(sound).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
        flips.extend(
            (0..length)
                .step_by(stride(&name))
                .map(|at| (name.clone(), at)),
        );
    }
    flips.sort();
    flips
}

/// Ends this process when a look takes far longer than any should: RocksDB has read
/// damaged files for ever. Answers where to say that one is done.
fn watchdog() -> mpsc::Sender<()> {
    let (done, looks) = mpsc::channel();
    std::thread::spawn(move || {
        loop {
            match looks.recv_timeout(Duration::from_secs(120)) {
                Ok(()) => {}
                Err(mpsc::RecvTimeoutError::Timeout) => std::process::abort(),
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    });
    done
}

/// Does nothing but when started by the test below.
#[tokio::test]
async fn child_process_that_flips_bytes() {
    let Some(arguments) = std::env::var_os(PLACE) else {
        return;
    };
    let arguments = arguments.into_string().unwrap();
    let (share, path) = arguments.split_once(' ').unwrap();
    let (share, sound) = (share.parse().unwrap(), PathBuf::from(path));
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    let (place, done) = (Place::quick(), watchdog());
    for (name, at) in flips(&sound).into_iter().skip(share).step_by(CHILDREN) {
        print!("\nflips {name} {at}");
        std::io::stdout().flush().unwrap();
        let path = place.path();
        drop(fs::remove_dir_all(&path));
        fs::create_dir(&path).unwrap();
        for file in fs::read_dir(&sound).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), path.join(file.file_name())).unwrap();
        }
        let mut bytes = fs::read(path.join(&name)).unwrap();
        bytes[at] ^= 1 << (at % 8);
        fs::write(path.join(&name), bytes).unwrap();
        *outcomes.entry(look(&path).await).or_default() += 1;
        done.send(()).unwrap();
    }
    println!("\noutcomes {outcomes:?}");
}

#[tokio::test]
async fn no_flipped_byte_is_read_as_something_else() {
    let place = Place::quick();
    fill(&place).await;
    assert_eq!(look(&place.image().path()).await, "right");
    let children: Vec<_> = (0..CHILDREN)
        .map(|share| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "--nocapture"])
                .arg("flips::child_process_that_flips_bytes")
                .env(PLACE, format!("{share} {}", place.path().display()))
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        let done = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&done.stderr);
        let last = said.lines().rfind(|line| line.starts_with("flips"));
        assert!(
            done.status.success(),
            "{:?}: {last:?}\n{complaint}",
            done.status
        );
        let outcomes = said.lines().find(|line| line.starts_with("outcomes"));
        println!("{}", outcomes.expect("it says what it found"));
    }
}
