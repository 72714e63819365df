//! A thread for what need not hold up a write: syncing the watermark, removing table
//! files that hold nothing but what was purged, and looking at the disk's free space.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use raft_core::LogIndex;
use rocksdb::DB;

use crate::keys::{META, PAYLOAD, REPAIRED, family, log_key};
use crate::merging::Merging;
use crate::room::{ASK_EVERY, Room};
use crate::space::Deleted;
use crate::watermark::WatermarkSync;

/// The watermark on the disk is at most about this old.
const SYNC_EVERY: Duration = Duration::from_secs(1);

enum Note {
    Raised,
    Deleted(Vec<Deleted>),
}

/// A handle to the thread, which ends when it is dropped.
pub(crate) struct Keeper {
    notes: Option<mpsc::Sender<Note>>,
    is_raised: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts the thread.
    pub(crate) fn spawn(
        db: Arc<DB>,
        watermark: Option<WatermarkSync>,
        room: Room,
        merging: Arc<Merging>,
    ) -> std::io::Result<Self> {
        let (notes, queue) = mpsc::channel();
        let is_raised = Arc::new(AtomicBool::new(false));
        let mut chores = Chores {
            db,
            watermark,
            room,
            merging,
            is_raised: Arc::clone(&is_raised),
        };
        let thread = std::thread::Builder::new()
            .name("raft-log-keeper".into())
            .spawn(move || chores.run(&queue))?;
        Ok(Self {
            notes: Some(notes),
            is_raised,
            thread: Some(thread),
        })
    }

    /// The watermark was raised.
    pub(crate) fn raised(&self) {
        if !self.is_raised.swap(true, Ordering::AcqRel) {
            self.note(Note::Raised);
        }
    }

    /// Runs were deleted.
    pub(crate) fn deleted(&self, runs: Vec<Deleted>) {
        if !runs.is_empty() {
            self.note(Note::Deleted(runs));
        }
    }

    fn note(&self, note: Note) {
        if let Some(notes) = &self.notes {
            // Without the thread less is noticed after a power cut, and files stay
            // until compactions find them: no reason to stop writing.
            drop(notes.send(note));
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.notes = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

struct Chores {
    db: Arc<DB>,
    watermark: Option<WatermarkSync>,
    /// Of its own: the writer looks only when it writes.
    room: Room,
    merging: Arc<Merging>,
    is_raised: Arc<AtomicBool>,
}

impl Chores {
    fn run(&mut self, notes: &mpsc::Receiver<Note>) {
        let mut due: Option<Instant> = None;
        let mut asks_at = Instant::now();
        loop {
            let now = Instant::now();
            if asks_at <= now {
                self.room.ask();
                self.merging.pause(self.room.is_short());
                asks_at = now + ASK_EVERY;
            }
            let next = due.map_or(asks_at, |due| due.min(asks_at));
            let note = notes.recv_timeout(next.saturating_duration_since(now));
            match note {
                Ok(Note::Raised) => due = Some(due.unwrap_or_else(|| Instant::now() + SYNC_EVERY)),
                Ok(Note::Deleted(runs)) => {
                    runs.into_iter().for_each(|runs| self.remove_files(runs))
                }
                Err(RecvTimeoutError::Timeout) if due.is_none_or(|due| Instant::now() < due) => {}
                Err(RecvTimeoutError::Timeout) => {
                    due = None;
                    self.sync_watermark();
                }
                // A clean close.
                Err(RecvTimeoutError::Disconnected) => return self.sync_watermark(),
            }
        }
    }

    fn sync_watermark(&self) {
        // Before the sync: what is raised meanwhile asks for another one.
        if !self.is_raised.swap(false, Ordering::AcqRel) {
            return;
        }
        if let Some(watermark) = &self.watermark
            && let Err(error) = watermark.sync()
        {
            tracing::warn!(%error, "cannot sync the watermark");
        }
    }

    /// Removes the files whose keys all lie below. What they hid in other files may
    /// come up again: only below, where the purge record hides it.
    fn remove_files(&self, runs: Deleted) {
        let Some(last) = runs.below.previous() else {
            return;
        };
        let from = log_key(runs.group, LogIndex::ZERO);
        let to = log_key(runs.group, last);
        for name in [META, PAYLOAD, REPAIRED] {
            let removed = self
                .db
                .delete_file_in_range_cf(family(&self.db, name), from, to);
            if let Err(error) = removed {
                tracing::warn!(%error, "cannot remove purged files");
            }
        }
    }
}
