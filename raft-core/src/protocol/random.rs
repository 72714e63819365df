//! Seeded randomness: the only source of chance in the protocol (SplitMix64).

use std::time::Duration;

/// A stream of numbers that its seed determines.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number, any of `u64` with equal chance.
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A duration in `min..max`, to the microsecond.
    pub(crate) fn duration_between(&mut self, min: Duration, max: Duration) -> Duration {
        let spread = max.saturating_sub(min);
        let micros = spread.as_secs().saturating_mul(1_000_000);
        let micros = micros.saturating_add(u64::from(spread.subsec_micros()));
        min + Duration::from_micros(self.next() % micros.max(1))
    }
}
