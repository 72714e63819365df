//! Makes applied entries durable in the background.
//!
//! Without flushes a restart would replay a long log and the log could not be
//! purged. A thread of its own, because a flush waits for the disk.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use raft_core::StorageError;

use super::active::Active;
use super::options::MachineOptions;

/// The thread that flushes; it ends when this is dropped.
pub(super) struct Flusher {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    flush_bytes: u64,
}

impl Flusher {
    pub(super) fn start(
        active: Arc<Active>,
        options: &MachineOptions,
    ) -> Result<Self, StorageError> {
        // One place: a wake-up that is already waiting covers later ones.
        let (wake, woken) = sync_channel(1);
        let interval = options.flush_interval;
        let thread = Builder::new()
            .name("raft-state-flush".to_owned())
            .spawn(move || run(&active, &woken, interval))
            .map_err(|error| StorageError::io("starting the flush thread", error))?;
        Ok(Self {
            wake: Some(wake),
            thread: Some(thread),
            flush_bytes: options.flush_bytes,
        })
    }

    /// Tells the thread how much waits to be flushed.
    pub(super) fn unflushed(&self, bytes: u64) {
        if bytes >= self.flush_bytes
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
            tracing::error!("the flush thread of the state machine panicked");
        }
    }
}

fn run(active: &Active, woken: &Receiver<()>, interval: Duration) {
    while woken.recv_timeout(interval) != Err(RecvTimeoutError::Disconnected) {
        let state = active.state();
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
                _ => tracing::error!(%error, cause, "the state is closed for writing"),
            }
        }
    }
}
