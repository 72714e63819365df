//! Reads the whole log now and then, slowly, and has the node mend what is damaged in it.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use raft_core::LogId;
use raft_core::node::Node;
use raft_storage_rocks::{DamagedPart, Finding, Pace, RocksStore};
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::{error, info, warn};

/// Bytes a second: a small part of what a disk reads.
const RATE: NonZeroU64 = NonZeroU64::new(16 << 20).expect("it is not zero");

/// From the end of one look to the beginning of the next.
const PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

/// Looks, until it is dropped.
pub(crate) struct Scrub {
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Scrub {
    /// Looks at once, and then once a day.
    pub(crate) fn start(store: RocksStore, node: Node) -> Self {
        let pace = Pace::at(RATE);
        let stop = Arc::clone(&pace.stop);
        let task = tokio::spawn(async move {
            loop {
                let (store, node, pace) = (store.clone(), node.clone(), pace.clone());
                // It ends by itself when it is told to stop, and has no other outcome.
                let _ = spawn_blocking(move || look(&store, &node, &pace)).await;
                tokio::time::sleep(PERIOD).await;
            }
        });
        Self { stop, task }
    }
}

impl Drop for Scrub {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.task.abort();
    }
}

fn look(store: &RocksStore, node: &Node, pace: &Pace) {
    let surveyed = store.scrub(pace, |finding| {
        warn!(%finding, "the log is damaged");
        if let Some(entry) = entry_of(&finding) {
            node.report_damage(entry);
        }
    });
    match surveyed {
        Ok(seen) => info!(
            entries = seen.entries,
            bytes = seen.bytes,
            damaged = seen.damaged,
            "has looked through the log"
        ),
        Err(error) => error!(%error, "cannot look through the log"),
    }
}

/// The entry that can be fetched from the others: one whose identity is known.
const fn entry_of(finding: &Finding) -> Option<LogId> {
    match finding.what {
        DamagedPart::Entry {
            index,
            term: Some(term),
            ..
        } => Some(LogId { term, index }),
        _ => None,
    }
}
