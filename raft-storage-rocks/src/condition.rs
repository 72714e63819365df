//! How the store is, as the writer knows it and readers of `health` see it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use raft_core::StorageHealth;

/// A sync that takes longer than this is reported as a stall.
const STALL: Duration = Duration::from_secs(1);

/// Shared by the writer and the handles to it.
#[derive(Default)]
pub(crate) struct Condition {
    is_closed: AtomicBool,
    /// Appends wait for space.
    waits: AtomicBool,
    /// Little space is left.
    is_short: AtomicBool,
    fails_next: AtomicBool,
    sync_since: Mutex<Option<Instant>>,
}

impl Condition {
    pub(crate) fn health(&self) -> StorageHealth {
        if self.is_closed() {
            return StorageHealth::Closed;
        }
        if self.waits.load(Ordering::Acquire) || self.is_short.load(Ordering::Acquire) {
            return StorageHealth::Full;
        }
        let waited = self.sync_since().map(|since| since.elapsed());
        match waited {
            Some(since) if since > STALL => StorageHealth::Stalled { since },
            _ => StorageHealth::Healthy,
        }
    }

    /// Whether a write failed, so that no more are made.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    /// Appends wait for space, or do not any more.
    pub(crate) fn set_waiting(&self, waits: bool, free: u64) {
        match (self.waits.swap(waits, Ordering::AcqRel), waits) {
            (false, true) => tracing::error!(free, "appends wait for space on the disk"),
            (true, false) => tracing::info!(free, "appends go on"),
            _ => {}
        }
    }

    /// Less than the reserve is free, or it is not any more.
    pub(crate) fn set_short(&self, is_short: bool, free: u64, reserve: u64) {
        match (self.is_short.swap(is_short, Ordering::AcqRel), is_short) {
            (false, true) => {
                tracing::error!(free, reserve, "the disk is full: free some space");
            }
            (true, false) => tracing::info!(free, reserve, "the disk has space again"),
            _ => {}
        }
    }

    /// The next write fails without reaching the disk.
    pub(crate) fn fail_next_write(&self) {
        self.fails_next.store(true, Ordering::Release);
    }

    /// Whether this write is the one that shall fail.
    pub(crate) fn takes_failure(&self) -> bool {
        self.fails_next.swap(false, Ordering::AcqRel)
    }

    /// A sync begins, or is tried again.
    pub(crate) fn sync_begins(&self) {
        self.sync_since().get_or_insert_with(Instant::now);
    }

    /// None is under way any more.
    pub(crate) fn sync_ends(&self) {
        *self.sync_since() = None;
    }

    fn sync_since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.sync_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
