//! Makes applied entries durable in the background.
//!
//! Without flushes a restart would replay a long log and the log could not be
//! purged. A thread of its own, because a flush waits for the disk.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use raft_core::StorageError;

use super::state::Shared;

/// An idle store is durable after this long.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);
/// A busy one is flushed each time this much was written.
const UNFLUSHED_BYTES: u64 = 16 << 20;

/// The thread that flushes; it ends when this is dropped.
pub(super) struct Flusher {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    pub(super) fn start(shared: Arc<Shared>, interval: Duration) -> Result<Self, StorageError> {
        // One place: a wake-up that is already waiting covers later ones.
        let (wake, woken) = sync_channel(1);
        let thread = Builder::new()
            .name("kv-flush".to_owned())
            .spawn(move || run(&shared, &woken, interval))
            .map_err(|error| StorageError::io("starting the flush thread", error))?;
        Ok(Self {
            wake: Some(wake),
            thread: Some(thread),
        })
    }

    /// Tells the thread how much waits to be flushed.
    pub(super) fn unflushed(&self, bytes: u64) {
        if bytes >= UNFLUSHED_BYTES
            && let Some(wake) = &self.wake
        {
            // Full: it is being woken already. Closed: the thread panicked, which `drop` reports.
            let _ = wake.try_send(());
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the flush thread of the key-value store panicked");
        }
    }
}

fn run(shared: &Shared, woken: &Receiver<()>, interval: Duration) {
    while woken.recv_timeout(interval) != Err(RecvTimeoutError::Disconnected) {
        let state = shared.state();
        // A closed state has said why, once; a restore may put a sound one in its place.
        if state.unflushed_bytes() == 0 || state.is_closed() {
            continue;
        }
        if let Err(error) = state.flush() {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            match error {
                // Tried again at the next interval; the log keeps what is not durable here.
                StorageError::Full { .. } => {
                    tracing::warn!(%error, cause, "applied entries stay in memory for now");
                }
                _ => tracing::error!(%error, cause, "the key-value store is closed for writing"),
            }
        }
    }
}
