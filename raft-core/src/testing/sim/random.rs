//! Seeded random streams, one for each concern.
//!
//! A stream for each concern keeps seeds comparable: a change in how clients
//! draw does not move the moments of the crashes.

use crate::protocol::random;

/// A stream of numbers that its seed determines.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    numbers: random::Random,
}

/// What a stream is drawn for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Concern {
    Plan = 1,
    Network,
    Disk,
    Machine,
    Clients,
    Faults,
    Starts,
    Operator,
    Batches,
    CutOffs,
    UserMachine,
}

impl Random {
    /// The stream of `concern` in the run of `seed`.
    pub(crate) fn stream(seed: u64, concern: Concern) -> Self {
        let mixed = random::Random::new(seed).next();
        let start = mixed ^ (concern as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
        let numbers = random::Random::new(start);
        Self { numbers }
    }

    /// The next number, any of `u64` with equal chance.
    pub(crate) fn next(&mut self) -> u64 {
        self.numbers.next()
    }

    /// A number in `low..=high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "nothing lies in {low}..={high}");
        low + self.next() % (high - low + 1)
    }

    /// A position in a sequence of `length`.
    pub(crate) fn position(&mut self, length: usize) -> usize {
        assert!(length > 0, "nothing to choose from");
        usize::try_from(self.next() % length as u64).expect("it is below a usize")
    }

    /// True `rate` times in ten thousand.
    pub(crate) fn chance(&mut self, rate: u64) -> bool {
        rate > 0 && self.next() % 10_000 < rate
    }

    /// A waiting time around `mean`, so that it is as often short as long.
    pub(crate) fn around(&mut self, mean: u64) -> u64 {
        self.between(mean / 8, mean + mean * 7 / 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_repeats_itself_and_no_other() {
        let draw = |seed, concern| {
            let mut random = Random::stream(seed, concern);
            [random.next(), random.next(), random.next()]
        };
        assert_eq!(draw(7, Concern::Disk), draw(7, Concern::Disk));
        assert_ne!(draw(7, Concern::Disk), draw(7, Concern::Network));
        assert_ne!(draw(7, Concern::Disk), draw(8, Concern::Disk));
    }

    #[test]
    fn no_chance_never_happens() {
        let mut random = Random::stream(1, Concern::Plan);
        assert!((0..1000).all(|_| !random.chance(0)));
        assert!((0..1000).all(|_| random.chance(10_000)));
    }
}
