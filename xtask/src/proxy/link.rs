//! What happens to each datagram of one direction: decided here, from a seed, without a
//! socket or a clock. The same seed, conditions, times and sizes give the same decisions.

use std::time::Duration;

/// What happens to datagrams on their way from one node to another.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Conditions {
    /// Of a thousand, so many are lost.
    pub(crate) lost: u16,
    /// Of a thousand, so many come twice.
    pub(crate) doubled: u16,
    /// Of a thousand, so many are not delayed at all, and overtake all others.
    pub(crate) hurried: u16,
    pub(crate) delay: Duration,
    /// Each is up to so much earlier or later than `delay`, by itself.
    pub(crate) jitter: Duration,
    /// Bytes a second; what would wait longer than [`LONGEST_QUEUE`] is lost.
    pub(crate) rate: Option<u32>,
    /// Nothing passes.
    pub(crate) is_cut: bool,
}

/// What a path with a rate holds at most, in time.
pub(super) const LONGEST_QUEUE: Duration = Duration::from_millis(200);

/// The state of one direction.
pub(super) struct Link {
    random: u64,
    /// When the last datagram of a slow path is through.
    busy_until: Duration,
}

impl Link {
    /// The direction between two nodes; each has its own fate under one seed.
    pub(super) const fn new(seed: u64, from: u64, to: u64) -> Self {
        let way = from.wrapping_mul(1_000_003).wrapping_add(to);
        let mut link = Self {
            random: seed ^ way.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            busy_until: Duration::ZERO,
        };
        link.draw();
        link
    }

    /// How much later each copy of a datagram arrives; none if it is lost.
    pub(super) fn decide(
        &mut self,
        conditions: &Conditions,
        now: Duration,
        bytes: usize,
    ) -> Vec<Duration> {
        // Drawn in any case, so that one condition does not change the others' luck.
        let is_lost = self.happens(conditions.lost);
        let is_doubled = self.happens(conditions.doubled);
        let is_hurried = self.happens(conditions.hurried);
        let delays = [self.delay(conditions), self.delay(conditions)];
        if conditions.is_cut {
            return Vec::new();
        }
        // Before it can be lost on the way, it takes its place on the way.
        let Some(wait) = self.squeeze(conditions.rate, now, bytes) else {
            return Vec::new();
        };
        if is_lost {
            return Vec::new();
        }
        let copies = delays.into_iter().take(1 + usize::from(is_doubled));
        let delay = |delay| if is_hurried { Duration::ZERO } else { delay };
        copies.map(|copy| wait + delay(copy)).collect()
    }

    fn happens(&mut self, of_a_thousand: u16) -> bool {
        self.draw() % 1000 < u64::from(of_a_thousand)
    }

    fn delay(&mut self, conditions: &Conditions) -> Duration {
        let jitter = u64::try_from(conditions.jitter.as_nanos()).unwrap_or(u64::MAX / 4);
        let drawn = self.draw() % (jitter * 2 + 1);
        (conditions.delay + Duration::from_nanos(drawn)).saturating_sub(conditions.jitter)
    }

    /// How long a datagram waits until a slow path has let it through; nothing if too
    /// much waits before it.
    fn squeeze(&mut self, rate: Option<u32>, now: Duration, bytes: usize) -> Option<Duration> {
        let Some(rate) = rate else {
            return Some(Duration::ZERO);
        };
        let begins = self.busy_until.max(now);
        if begins - now > LONGEST_QUEUE {
            return None;
        }
        self.busy_until = begins + Duration::from_secs_f64(bytes as f64 / f64::from(rate.max(1)));
        Some(self.busy_until - now)
    }

    /// Repeatable randomness (splitmix64).
    const fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = 20_000;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// What becomes of many datagrams of 1000 bytes, one each millisecond.
    fn fates(seed: u64, conditions: &Conditions) -> Vec<Vec<Duration>> {
        let mut link = Link::new(seed, 1, 2);
        let at = |number| millis(number as u64);
        (0..MANY)
            .map(|number| link.decide(conditions, at(number), 1000))
            .collect()
    }

    fn share(fates: &[Vec<Duration>], of: impl Fn(&Vec<Duration>) -> bool) -> usize {
        fates.iter().filter(|fate| of(fate)).count() * 1000 / fates.len()
    }

    #[test]
    fn under_no_conditions_all_pass_at_once() {
        assert!(fates(1, &Conditions::default()) == vec![vec![Duration::ZERO]; MANY]);
    }

    #[test]
    fn so_many_are_lost_and_doubled_as_was_said() {
        let conditions = Conditions {
            lost: 100,
            doubled: 50,
            ..Conditions::default()
        };

        let fates = fates(1, &conditions);

        assert!((90..=110).contains(&share(&fates, Vec::is_empty)));
        assert!((38..=52).contains(&share(&fates, |fate| fate.len() == 2)));
    }

    #[test]
    fn delays_spread_over_the_jitter_and_hurried_ones_have_none() {
        let conditions = Conditions {
            delay: millis(20),
            jitter: millis(10),
            hurried: 30,
            ..Conditions::default()
        };

        let fates = fates(1, &conditions);

        let hurried = share(&fates, |fate| fate[0].is_zero());
        assert!((25..=35).contains(&hurried), "{hurried}");
        let rest = || fates.iter().map(|fate| fate[0]).filter(|d| !d.is_zero());
        assert!(rest().all(|delay| (millis(10)..=millis(30)).contains(&delay)));
        assert!(rest().any(|delay| delay < millis(11)));
        assert!(rest().any(|delay| delay > millis(29)));
    }

    #[test]
    fn a_cut_lets_nothing_pass_and_changes_nobodys_luck_after_it() {
        let rough = Conditions {
            lost: 300,
            delay: millis(5),
            jitter: millis(5),
            ..Conditions::default()
        };
        let cut = Conditions {
            is_cut: true,
            ..rough
        };
        let (mut cut_for_a_while, mut never_cut) = (Link::new(7, 1, 2), Link::new(7, 1, 2));

        for _ in 0..100 {
            assert!(cut_for_a_while.decide(&cut, millis(1), 9).is_empty());
            never_cut.decide(&rough, millis(1), 9);
        }

        let after = |link: &mut Link| link.decide(&rough, millis(2), 9);
        assert!((0..100).all(|_| after(&mut cut_for_a_while) == after(&mut never_cut)));
    }

    #[test]
    fn a_slow_path_lets_its_rate_pass_and_keeps_no_more_than_its_queue() {
        // Half of what is sent.
        let conditions = Conditions {
            rate: Some(500_000),
            ..Conditions::default()
        };

        let fates = fates(1, &conditions);

        let passed = share(&fates, |fate| !fate.is_empty());
        assert!((495..=515).contains(&passed), "{passed}");
        let longest = fates.iter().flatten().max().unwrap();
        assert!(*longest <= LONGEST_QUEUE + millis(2), "{longest:?}");
        assert!(*longest >= LONGEST_QUEUE, "{longest:?}");
    }

    #[test]
    fn the_same_seed_decides_the_same_and_another_one_does_not() {
        let conditions = Conditions {
            lost: 100,
            doubled: 100,
            hurried: 100,
            delay: millis(20),
            jitter: millis(10),
            ..Conditions::default()
        };

        assert!(fates(3, &conditions) == fates(3, &conditions));
        assert!(fates(3, &conditions) != fates(4, &conditions));
        let (mut there, mut back) = (Link::new(3, 1, 2), Link::new(3, 2, 1));
        let decide = |link: &mut Link| link.decide(&conditions, millis(1), 9);
        assert!((0..100).any(|_| decide(&mut there) != decide(&mut back)));
    }
}
