//! Whether the disk has room for more.
//!
//! A reserve is kept: appends stop before the disk is full, so that votes, purges and
//! the database's own flushes, which free the write-ahead log, still find space.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use metrics::{Gauge, gauge};

/// The disk is asked again after this long, because others write to it, too.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Of what is free beyond the reserve, one part of so many may be written before the
/// disk is asked again.
const PARTS: u64 = 8;

/// With less than this beyond the reserve a write may find the disk full all the same:
/// others may have been faster.
const TIGHT: u64 = 1 << 30;

/// Watches the free space of one disk.
pub(crate) struct Room {
    directory: PathBuf,
    reserve: u64,
    free: u64,
    /// So many bytes may be written before the disk is asked again.
    budget: u64,
    asked_at: Option<Instant>,
    was_full: bool,
    gauge: Gauge,
}

impl Room {
    /// For a store in `directory`. Of a small disk at most an eighth is kept in reserve.
    pub(crate) fn new(directory: &Path, reserve: u64) -> Self {
        let total = fs4::total_space(directory).unwrap_or(u64::MAX);
        Self {
            directory: directory.into(),
            reserve: reserve.min(total / PARTS),
            free: 0,
            budget: 0,
            asked_at: None,
            was_full: false,
            gauge: gauge!("raft_storage_free_bytes"),
        }
    }

    /// Whether so many bytes may be written now. They count as written.
    pub(crate) fn takes(&mut self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        let is_known = self.asked_at.is_some_and(|at| at.elapsed() < ASK_EVERY);
        if !is_known || self.budget < bytes {
            self.ask();
        }
        let takes = self.free >= self.needed(bytes);
        if takes {
            self.budget = self.budget.saturating_sub(bytes);
        }
        self.was_full = !takes;
        takes
    }

    /// Whether a write may yet find no space.
    pub(crate) const fn is_tight(&self) -> bool {
        self.free < self.reserve.saturating_add(TIGHT)
    }

    /// Free bytes, and how many of them are kept in reserve.
    pub(crate) const fn figures(&self) -> (u64, u64) {
        (self.free, self.reserve)
    }

    /// What must be free. A little more once it was not, so that it does not go to and fro.
    const fn needed(&self, bytes: u64) -> u64 {
        let reserve = match self.was_full {
            true => self.reserve.saturating_add(self.reserve / 4),
            false => self.reserve,
        };
        reserve.saturating_add(bytes)
    }

    fn ask(&mut self) {
        // A disk that cannot be asked says by its writes what it thinks of them.
        self.free = fs4::available_space(&self.directory).unwrap_or(u64::MAX);
        self.budget = self.free.saturating_sub(self.reserve) / PARTS;
        self.asked_at = Some(Instant::now());
        self.gauge.set(self.free as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(free: u64, reserve: u64) -> Room {
        Room {
            reserve,
            free,
            budget: free,
            asked_at: Some(Instant::now()),
            ..Room::new(Path::new("/nowhere"), reserve)
        }
    }

    #[test]
    fn what_would_go_into_the_reserve_has_no_room() {
        assert!(room(200, 100).takes(100));
        assert!(!room(200, 100).takes(101));
    }

    #[test]
    fn a_disk_that_was_full_has_room_again_a_little_above_its_reserve() {
        let mut room = room(99, 100);
        assert!(!room.takes(0));
        for (free, takes) in [(110, false), (125, true), (110, true)] {
            room.free = free;
            assert_eq!(room.takes(0), takes, "{free}");
        }
    }

    #[test]
    fn a_disk_that_cannot_be_asked_is_not_called_full() {
        let mut room = Room::new(Path::new("/nowhere/at/all"), 1 << 40);
        assert!(room.takes(1 << 30));
        assert!(!room.is_tight());
    }

    #[test]
    fn a_small_disk_keeps_an_eighth_in_reserve() {
        let directory = tempfile::tempdir().unwrap();
        let total = fs4::total_space(directory.path()).unwrap();
        let room = Room::new(directory.path(), u64::MAX);
        assert_eq!(room.figures().1, total / PARTS);
    }
}
