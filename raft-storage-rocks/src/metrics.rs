//! What the store counts. The book lists it in `docs/book/operations/metrics.md`.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// What the writer counts, looked up once: at each batch is too often.
#[derive(Clone)]
pub(crate) struct WriterMetrics {
    pub(crate) writes: Counter,
    pub(crate) appends: Counter,
    pub(crate) appended_entries: Counter,
    pub(crate) appended_bytes: Counter,
    pub(crate) failures: Counter,
    pub(crate) batch_writes: Histogram,
    pub(crate) batch_entries: Histogram,
    pub(crate) batch_bytes: Histogram,
    pub(crate) sync_seconds: Histogram,
    pub(crate) purge_lag: Gauge,
}

impl WriterMetrics {
    pub(crate) fn new() -> Self {
        Self {
            writes: counter!("raft_storage_writes_total"),
            appends: counter!("raft_storage_appends_total"),
            appended_entries: counter!("raft_storage_appended_entries_total"),
            appended_bytes: counter!("raft_storage_appended_bytes_total"),
            failures: counter!("raft_storage_failures_total"),
            batch_writes: histogram!("raft_storage_batch_writes"),
            batch_entries: histogram!("raft_storage_batch_entries"),
            batch_bytes: histogram!("raft_storage_batch_bytes"),
            sync_seconds: histogram!("raft_storage_sync_seconds"),
            purge_lag: gauge!("raft_storage_purge_lag"),
        }
    }
}

/// What the readers count.
#[derive(Clone)]
pub(crate) struct ReadMetrics {
    pub(crate) hits: Counter,
    pub(crate) misses: Counter,
}

impl ReadMetrics {
    pub(crate) fn new() -> Self {
        Self {
            hits: counter!("raft_storage_recent_hits_total"),
            misses: counter!("raft_storage_recent_misses_total"),
        }
    }
}

/// A record was found damaged, or to be missing.
pub(crate) fn count_corruption() {
    counter!("raft_storage_corruptions_total").increment(1);
}
