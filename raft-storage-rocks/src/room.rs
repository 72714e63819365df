//! Whether the disk has room for more.
//!
//! A reserve is kept. When less than that is free the disk counts as full: a leader hands
//! over, or takes no more proposals. What is under way by then is written into the upper
//! half of the reserve, so that nothing that waits for it is held up, votes least of all.
//! Below half of the reserve appends wait. What is left is for votes, purges and the
//! database's own flushes, which free the write-ahead log.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{Gauge, gauge};

use crate::condition::Condition;

/// The disk is asked again after this long, because others write to it, too.
pub(crate) const ASK_EVERY: Duration = Duration::from_secs(1);

/// Of what is free beyond the reserve, one part of so many may be written before the
/// disk is asked again. Of a small disk, one part is the reserve.
const PARTS: u64 = 8;

/// Watches the free space of one disk.
pub(crate) struct Room {
    directory: PathBuf,
    reserve: u64,
    free: u64,
    /// So many bytes may be written before the disk is asked again.
    budget: u64,
    asked_at: Option<Instant>,
    is_short: bool,
    condition: Arc<Condition>,
    gauge: Gauge,
}

impl Room {
    /// For a store in `directory`. Of a small disk at most an eighth is kept in reserve.
    pub(crate) fn new(directory: &Path, reserve: u64, condition: Arc<Condition>) -> Self {
        let total = fs4::total_space(directory).unwrap_or(u64::MAX);
        Self {
            directory: directory.into(),
            reserve: reserve.min(total / PARTS),
            free: u64::MAX,
            budget: 0,
            asked_at: None,
            is_short: false,
            condition,
            gauge: gauge!("raft_storage_free_bytes"),
        }
    }

    /// Before a disk without any.
    #[cfg(test)]
    pub(crate) fn without_space(condition: Arc<Condition>) -> Self {
        let mut room = Self::new(Path::new("/"), 0, condition);
        room.reserve = u64::MAX;
        room
    }

    /// Whether so many bytes may be written now. They count as written.
    pub(crate) fn takes(&mut self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        if !self.is_known() || self.budget < bytes {
            self.ask();
        }
        self.budget = self.budget.saturating_sub(bytes);
        self.free >= (self.reserve / 2).saturating_add(bytes)
    }

    fn is_known(&self) -> bool {
        self.asked_at.is_some_and(|at| at.elapsed() < ASK_EVERY)
    }

    /// Whether the disk counted as full when it was asked last.
    pub(crate) const fn is_short(&self) -> bool {
        self.is_short
    }

    /// Free bytes, as they were asked for last.
    pub(crate) const fn free(&self) -> u64 {
        self.free
    }

    /// Looks at the disk, and says so if it is full or is not any more.
    pub(crate) fn ask(&mut self) {
        // A disk that cannot be asked says by its writes what it thinks of them.
        let free = fs4::available_space(&self.directory).unwrap_or(u64::MAX);
        self.asked_at = Some(Instant::now());
        self.gauge.set(free as f64);
        self.learn(free);
    }

    fn learn(&mut self, free: u64) {
        self.free = free;
        self.budget = free.saturating_sub(self.reserve) / PARTS;
        // A little more than the reserve once it was less, so as not to go to and fro.
        let is_short = match self.is_short {
            true => free < self.reserve.saturating_add(self.reserve / 4),
            false => free < self.reserve,
        };
        if std::mem::replace(&mut self.is_short, is_short) != is_short {
            self.condition.set_short(is_short, free, self.reserve);
        }
    }
}

#[cfg(test)]
mod tests {
    use raft_core::StorageHealth;

    use super::*;

    fn room(reserve: u64) -> Room {
        let mut room = Room::new(Path::new("/nowhere"), reserve, Arc::default());
        room.asked_at = Some(Instant::now());
        room
    }

    #[test]
    fn what_would_go_below_half_of_the_reserve_has_no_room() {
        let mut room = room(100);
        room.learn(200);
        room.budget = 200;
        assert!(room.takes(150));
        room.budget = 200;
        assert!(!room.takes(151));
    }

    #[test]
    fn a_disk_is_full_below_its_reserve_and_has_room_again_a_little_above() {
        let mut room = room(100);
        for (free, health) in [
            (100, StorageHealth::Healthy),
            (99, StorageHealth::Full),
            (124, StorageHealth::Full),
            (125, StorageHealth::Healthy),
            (110, StorageHealth::Healthy),
        ] {
            room.learn(free);
            assert_eq!(room.condition.health(), health, "{free}");
        }
    }

    #[test]
    fn a_disk_that_cannot_be_asked_is_not_called_full() {
        let mut room = Room::new(Path::new("/nowhere/at/all"), 1 << 40, Arc::default());
        assert!(room.takes(1 << 30));
    }

    #[test]
    fn a_small_disk_keeps_an_eighth_in_reserve() {
        let directory = tempfile::tempdir().unwrap();
        let total = fs4::total_space(directory.path()).unwrap();
        let room = Room::new(directory.path(), u64::MAX, Arc::default());
        assert_eq!(room.reserve, total / PARTS);
    }
}
