//! The world's time and chance. The only file that reads a clock or draws randomness.

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use tokio::time::Instant;

use crate::time::Timestamp;

/// How far ahead a moment that no clock can name is put.
const FAR: Duration = Duration::from_secs(24 * 3600);

/// The node's clock: counts from its start, and never backwards.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that stands at zero now.
    pub(super) fn started_now() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub(super) fn now(self) -> Timestamp {
        Timestamp::after_start(self.start.elapsed())
    }

    /// The moment `at`, as tokio's timers know it.
    pub(super) fn instant(self, at: Timestamp) -> Instant {
        self.start
            .checked_add(at.since_start())
            .unwrap_or_else(|| self.start + FAR)
    }
}

/// Measures how long something takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    pub(super) fn started() -> Self {
        Self(Instant::now())
    }

    pub(super) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// Answers whether `interval` has passed, and if so starts again.
    pub(super) fn starts_again_after(&mut self, interval: Duration) -> bool {
        let is_due = self.elapsed() >= interval;
        if is_due {
            *self = Self::started();
        }
        is_due
    }
}

/// What `future` answers, or nothing if it takes longer than `limit`.
pub(super) async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(limit, future).await.ok()
}

/// A number that differs from start to start, for [`Config::seed`](crate::Config::seed).
///
/// It comes from the keys of the standard library's hash maps, which the
/// operating system draws. Unpredictable enough to tell starts and timeouts
/// apart; not meant for secrets.
pub fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Spaces things out in time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pacer {
    next: Instant,
}

impl Pacer {
    pub(super) fn started() -> Self {
        Self {
            next: Instant::now(),
        }
    }

    /// Returns when the delays so far have passed.
    pub(super) async fn wait(&self) {
        tokio::time::sleep_until(self.next).await;
    }

    /// What comes next waits this much longer. Time not used up is not saved up.
    pub(super) fn delay_next(&mut self, delay: Duration) {
        self.next = self.next.max(Instant::now()) + delay;
    }
}
