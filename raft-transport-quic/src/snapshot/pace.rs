//! How fast a node sends snapshots: all of them together keep to one rate.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Spreads what is sent, so that no more than `rate` bytes a second go out, and at most
/// one chunk at once.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Nothing where there is no limit.
    rate: Option<u64>,
    /// When all that was sent is paid for.
    paid: Mutex<Instant>,
}

impl Pace {
    pub(crate) fn new(rate: Option<u64>) -> Self {
        Self {
            rate,
            paid: Mutex::new(Instant::now()),
        }
    }

    /// Whether something may be sent now.
    pub(super) fn is_ready(&self) -> bool {
        self.rate.is_none() || *self.paid() <= Instant::now()
    }

    /// Notes what was sent.
    pub(super) fn sent(&self, bytes: usize) {
        if let Some(rate) = self.rate {
            let mut paid = self.paid();
            let costs = Duration::from_secs_f64(bytes as f64 / rate as f64);
            *paid = (*paid).max(Instant::now()) + costs;
        }
    }

    /// Waits until something may be sent. Another transfer may be quicker then.
    pub(super) async fn ready(&self) {
        let paid = *self.paid();
        if self.rate.is_some() {
            sleep_until(paid).await;
        }
    }

    fn paid(&self) -> MutexGuard<'_, Instant> {
        // A moment is whole, whatever panicked.
        self.paid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn send(pace: &Pace, chunks: usize, bytes: usize) -> Duration {
        let began = Instant::now();
        for _ in 0..chunks {
            while !pace.is_ready() {
                pace.ready().await;
            }
            pace.sent(bytes);
        }
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_carries_as_much_as_the_rate_says_whoever_sends_it() {
        let pace = Pace::new(Some(1_000_000));

        let (one, other) = tokio::join!(send(&pace, 50, 100_000), send(&pace, 50, 100_000));

        // The last chunk goes out at once.
        let took = one.max(other);
        let expected = Duration::from_millis(9900);
        assert!(
            took >= expected && took < expected + Duration::from_millis(200),
            "{took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn silence_saves_nothing_up() {
        let pace = Pace::new(Some(1_000_000));
        tokio::time::sleep(Duration::from_secs(60)).await;

        assert!(send(&pace, 3, 1_000_000).await >= Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_nothing_waits() {
        assert_eq!(send(&Pace::new(None), 1000, 1 << 20).await, Duration::ZERO);
    }
}
