//! The only file that reads a clock or asks the system for randomness.

use std::hash::{BuildHasher, Hasher, RandomState};

use tokio::time::Instant;

use crate::time::Timestamp;

/// Counts from the node's start. Follows tokio's clock, so tests can pause it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::after_start(self.start.elapsed())
    }

    /// The instant to sleep until.
    pub(super) fn instant(&self, at: Timestamp) -> Instant {
        self.start + at.since_start()
    }
}

/// A seed for [`Config::new`](crate::Config::new) that differs from start to
/// start, from the randomness that the standard library draws for its hash maps.
pub fn random_seed() -> u64 {
    let nanos = std::time::UNIX_EPOCH
        .elapsed()
        .map_or(0, |elapsed| elapsed.subsec_nanos());
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(nanos);
    hasher.write_u32(std::process::id());
    hasher.finish()
}
