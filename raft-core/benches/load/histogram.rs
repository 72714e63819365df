//! Latencies, counted in buckets that are a thirty-second of their value wide.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets for each power of two.
const FINE: u64 = 32;
const FINE_BITS: u32 = FINE.trailing_zeros();

/// Counts of latencies; many may record at once.
pub(crate) struct Histogram {
    buckets: Vec<AtomicU64>,
    nanos: AtomicU64,
}

impl Histogram {
    /// Without any latency.
    pub(crate) fn new() -> Self {
        let length = bucket_of(u64::MAX) + 1;
        Self {
            buckets: (0..length).map(|_| AtomicU64::new(0)).collect(),
            nanos: AtomicU64::new(0),
        }
    }

    /// Counts one.
    pub(crate) fn record(&self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket_of(nanos)].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// How many were counted.
    pub(crate) fn count(&self) -> u64 {
        let counts = self.buckets.iter();
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Their mean.
    pub(crate) fn mean(&self) -> Duration {
        let nanos = self.nanos.load(Ordering::Relaxed);
        Duration::from_nanos(nanos / self.count().max(1))
    }

    /// What this share of them does not exceed, up to a bucket's width.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.count() as f64 * share).ceil() as u64;
        let mut counted = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            counted += count.load(Ordering::Relaxed);
            if counted >= wanted {
                return Duration::from_nanos(middle_of(bucket));
            }
        }
        Duration::MAX
    }
}

/// Values below `2 * FINE` have a bucket each; above, the topmost bits count.
fn bucket_of(nanos: u64) -> usize {
    let bits = u64::BITS - nanos.leading_zeros();
    let shift = bits.saturating_sub(FINE_BITS + 1);
    let bucket = u64::from(shift) * FINE + (nanos >> shift);
    usize::try_from(bucket).expect("some two thousand buckets")
}

fn middle_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / FINE).saturating_sub(1);
    let lowest = (bucket - shift * FINE) << shift;
    lowest + ((1 << shift) >> 1)
}
