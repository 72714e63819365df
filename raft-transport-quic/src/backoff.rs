//! How long a node waits before it dials a peer again.

use std::time::Duration;

use crate::config::QuicConfig;
use crate::shared::random;

/// A connection that lived so long was a good one: the next dial starts afresh.
const GOOD_LIFE: Duration = Duration::from_secs(1);

/// Pauses between dials: doubling, bounded, and never the same on two nodes.
pub(crate) struct Backoff {
    attempt: u32,
    min: Duration,
    max: Duration,
}

impl Backoff {
    pub(crate) const fn new(config: &QuicConfig) -> Self {
        Self {
            attempt: 0,
            min: config.backoff_min,
            max: config.backoff_max,
        }
    }

    /// How many pauses there were since the last good connection.
    pub(crate) const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Starts afresh after a connection that lived this long, if that was long.
    pub(crate) fn reset_after(&mut self, life: Duration) {
        if life > GOOD_LIFE {
            self.attempt = 0;
        }
    }

    /// The next pause: between half and all of the current step.
    pub(crate) fn pause(&mut self) -> Duration {
        const STEPS: u64 = 1024;
        let doubled = self.min.saturating_mul(1 << self.attempt.min(16));
        self.attempt = self.attempt.saturating_add(1);
        let step = doubled.min(self.max);
        let jitter = u32::try_from(random() % STEPS).expect("below 1024");
        step / 2 + step / 2 * jitter / u32::try_from(STEPS).expect("is 1024")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_within_their_jitter_up_to_the_longest() {
        let mut backoff = Backoff {
            attempt: 0,
            min: Duration::from_millis(20),
            max: Duration::from_secs(1),
        };

        for step in [20, 40, 80, 160, 320, 640, 1000, 1000] {
            let (pause, step) = (backoff.pause(), Duration::from_millis(step));
            assert!(pause >= step / 2 && pause <= step, "{pause:?} of {step:?}");
        }
        backoff.attempt = u32::MAX;
        assert!(backoff.pause() <= backoff.max);
    }

    #[test]
    fn a_long_life_ends_the_growth_of_pauses_and_a_short_one_does_not() {
        let mut backoff = Backoff {
            attempt: 5,
            min: Duration::from_millis(20),
            max: Duration::from_secs(1),
        };

        backoff.reset_after(Duration::from_millis(10));
        assert_eq!(backoff.attempt, 5);
        backoff.reset_after(GOOD_LIFE * 2);

        assert_eq!(backoff.attempt, 0);
    }
}
