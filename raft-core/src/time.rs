//! Time as the protocol sees it: a duration since the node's start.
//!
//! There is no clock here. Whoever drives the protocol passes the time in.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

/// A moment, as the time passed since this node started: to the nanosecond, for
/// some five hundred years.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp {
    nanos: u64,
}

impl Timestamp {
    /// The node's start.
    pub const ZERO: Self = Self { nanos: 0 };

    /// The moment `elapsed` after the start.
    pub const fn after_start(elapsed: Duration) -> Self {
        Self {
            nanos: nanos(elapsed),
        }
    }

    /// How long after the start this moment is.
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.nanos)
    }

    /// The time from `earlier` to this moment; zero when `earlier` is not earlier.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(earlier.nanos))
    }
}

/// Longer durations than fit count as the longest that does.
const fn nanos(duration: Duration) -> u64 {
    const NANOS_PER_SECOND: u64 = 1_000_000_000;
    duration
        .as_secs()
        .saturating_mul(NANOS_PER_SECOND)
        .saturating_add(duration.subsec_nanos() as u64)
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self {
            nanos: self.nanos.saturating_add(nanos(duration)),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}ms", self.since_start().as_secs_f64() * 1000.0)
    }
}
