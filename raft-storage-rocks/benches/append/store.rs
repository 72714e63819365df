//! The store under load, from a task of a runtime.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use raft_core::{
    AppendBatch, Entry, GroupId, Incarnation, LogId, LogSlice, LogStore, NodeId, RequestId,
};
use raft_storage_rocks::{Identity, RocksLogStore, RocksOptions, RocksStore};
use tokio::runtime::Runtime;

use crate::process::cpu;
use crate::{COMMAND, Turn};

/// A node purges after a snapshot; here after so many bytes of commands.
const PURGE_AFTER: usize = 32 << 20;

/// Entries made ready at once, so that making them is not measured.
const READY: usize = 16_384;

/// A log and where it ends.
pub(crate) struct Appender<'a> {
    runtime: &'a Runtime,
    log: Arc<RocksLogStore>,
    data: Bytes,
    last: u64,
    since_purge: usize,
    pub(crate) is_purged: bool,
}

fn open(path: PathBuf, sync: bool, writes_in_place: bool) -> RocksLogStore {
    std::fs::create_dir_all(&path).expect("a directory can be made");
    let options = RocksOptions {
        sync,
        writes_in_place,
        ..RocksOptions::default()
    };
    let identity = Identity {
        cluster: 1,
        node: NodeId::new(1),
        incarnation: Incarnation::new(0),
    };
    let store = RocksStore::open(path, &options, identity).expect("the store opens");
    store.log_store(GroupId::new(0)).expect("it has a log")
}

/// Opens a store that is there; answers how many entries it holds.
pub(crate) fn open_and_look(runtime: &Runtime, path: PathBuf) -> u64 {
    let log = open(path, true, false);
    let bounds = runtime.block_on(log.bounds()).expect("it has bounds");
    bounds.last.index.get() - bounds.purged.index.get()
}

impl<'a> Appender<'a> {
    pub(crate) fn new(runtime: &'a Runtime, path: PathBuf, sync: bool) -> Self {
        Self::with(runtime, open(path, sync, false))
    }

    /// One whose appends are written by the task that makes them.
    pub(crate) fn in_place(runtime: &'a Runtime, path: PathBuf) -> Self {
        Self::with(runtime, open(path, true, true))
    }

    fn with(runtime: &'a Runtime, log: RocksLogStore) -> Self {
        let data: Vec<u8> = (0..COMMAND + READY)
            .map(|at| (at * 131 / 7) as u8)
            .collect();
        Self {
            runtime,
            log: Arc::new(log),
            data: data.into(),
            last: 0,
            since_purge: 0,
            is_purged: true,
        }
    }

    /// Appends until the files of the write-ahead log are used again: the state in
    /// which a node that has run for a while is.
    pub(crate) fn warm_up(&mut self) {
        for _ in 0..4 * RocksOptions::default().write_buffer_bytes / (256 * 64 * COMMAND) {
            self.append_some(256, 64);
        }
    }

    /// Appends of `count` entries each, over and over.
    pub(crate) fn turn(&mut self, count: usize, time: Duration) -> Turn {
        let mut latencies = Vec::new();
        let mut used = Duration::ZERO;
        let mut spent = Duration::ZERO;
        while spent < time {
            let before = cpu();
            let some = self.append_some(count, (READY / count).clamp(1, 1024));
            used += cpu() - before;
            spent += some.iter().sum::<Duration>();
            latencies.extend(some);
        }
        Turn::of(latencies, used)
    }

    /// So many appends of `count` entries; answers how long each took.
    pub(crate) fn append_some(&mut self, count: usize, appends: usize) -> Vec<Duration> {
        let batches: Vec<AppendBatch> = (0..appends).map(|_| self.batch(count)).collect();
        let log = Arc::clone(&self.log);
        let appending = self.runtime.spawn(async move {
            let mut latencies = Vec::with_capacity(batches.len());
            for batch in batches {
                let start = Instant::now();
                log.append(batch).await.expect("the append succeeds");
                latencies.push(start.elapsed());
            }
            latencies
        });
        let latencies = self.runtime.block_on(appending).expect("it does not panic");
        self.since_purge += count * appends * COMMAND;
        if self.is_purged && self.since_purge > PURGE_AFTER {
            self.since_purge = 0;
            let purged = self.log.purge(LogId::new(1, self.last - 100));
            self.runtime.block_on(purged).expect("the purge succeeds");
        }
        latencies
    }

    fn batch(&mut self, count: usize) -> AppendBatch {
        let entries = (0..count).map(|place| {
            self.last += 1;
            let request = RequestId {
                boot: 1,
                sequence: self.last,
            };
            let data = self.data.slice(place..place + COMMAND);
            Entry::command(LogId::new(1, self.last), request, data)
        });
        AppendBatch {
            truncate_from: None,
            entries: LogSlice::new(entries.collect()).expect("a run"),
        }
    }
}
