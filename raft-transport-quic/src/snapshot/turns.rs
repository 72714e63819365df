//! Turns: a snapshot leaves a part of what there is to everybody else.
//!
//! A path, the processors and disks of both ends carry a snapshot and all else that the
//! nodes do, and no end can tell how much they could carry. But a sender sees how long
//! its receiver takes for what it sent. So it sends a burst, waits until all of it was
//! taken in, and rests in proportion to that time: whatever was the scarcest part did
//! nothing for the snapshot meanwhile, and when others want more of it, bursts take
//! longer, and so do rests.
//!
//! A round trip of the path is no work, and not rested for. Where it is longer than the
//! work of a burst, bursts grow, so that a long path is not left idle.

use std::time::Duration;

use tokio::time::Instant;

use super::receive::ACKNOWLEDGED_BYTES;

/// Small, because whoever comes meanwhile waits for the rest of a burst.
const SMALLEST_BURST: usize = 256 << 10;
/// As much as may be on its way without an acknowledgement.
const LARGEST_BURST: usize = super::window::MAX_BYTES;
/// A receiver that stood still for long is not waited for as long again.
const LONGEST_REST: Duration = Duration::from_millis(250);

/// When one transfer may send.
#[derive(Debug)]
pub(super) struct Turns {
    /// How long to rest beside the time that a burst took.
    rest: f64,
    burst: usize,
    /// The burst under way: since when, and how much of it was sent.
    begun: Option<Instant>,
    sent: usize,
    /// Sent, and not known to be taken in.
    outstanding: usize,
    rests_until: Option<Instant>,
    /// The shortest round trip of the path so far.
    round_trip: Duration,
}

impl Turns {
    /// For a transfer that takes a `share` of the time, above 0 and up to 1.
    pub(super) fn new(share: f64) -> Self {
        Self {
            rest: 1.0 / share - 1.0,
            burst: SMALLEST_BURST,
            begun: None,
            sent: 0,
            outstanding: 0,
            rests_until: None,
            round_trip: Duration::MAX,
        }
    }

    /// Whether more may be sent.
    pub(super) fn may_send(&self, now: Instant) -> bool {
        // Of less than that a receiver says nothing before more arrives.
        let hears_of_it = self.outstanding >= ACKNOWLEDGED_BYTES;
        let rests = self.rests_until.is_some_and(|at| at > now);
        self.takes_all() || (!rests && (self.sent < self.burst || !hears_of_it))
    }

    /// When a rest ends that is under way.
    pub(super) fn rests_until(&self, now: Instant) -> Option<Instant> {
        self.rests_until.filter(|at| *at > now)
    }

    /// Notes what was sent.
    pub(super) fn sent(&mut self, bytes: usize, now: Instant) {
        self.rests_until = None;
        self.begun.get_or_insert(now);
        self.sent += bytes;
        self.outstanding += bytes;
    }

    /// Notes what the receiver took in, and how long the path takes at present.
    pub(super) fn taken_in(&mut self, bytes: usize, now: Instant, round_trip: Duration) {
        self.round_trip = self.round_trip.min(round_trip);
        self.outstanding = self.outstanding.saturating_sub(bytes);
        let Some(begun) = self.begun else { return };
        let is_taken_in = self.outstanding < ACKNOWLEDGED_BYTES;
        if self.sent < self.burst || !is_taken_in || self.takes_all() {
            return;
        }
        let work = now.duration_since(begun).saturating_sub(self.round_trip);
        let rest = work.mul_f64(self.rest).min(LONGEST_REST);
        self.rests_until = Some(now + rest);
        self.begun = None;
        self.sent = 0;
        if work < self.round_trip {
            self.burst = (self.burst * 2).min(LARGEST_BURST);
        } else if work > self.round_trip * 4 {
            self.burst = (self.burst / 2).max(SMALLEST_BURST);
        }
    }

    /// What was under way is sent again, on another stream.
    pub(super) const fn begin_anew(&mut self) {
        self.begun = None;
        self.sent = 0;
        self.outstanding = 0;
        self.rests_until = None;
    }

    fn takes_all(&self) -> bool {
        self.rest <= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: usize = 64 << 10;

    /// A path that takes half of `round_trip` each way to a receiver that takes in so
    /// many bytes a second. Answers the bytes a second that got across, and the largest
    /// part of them at once.
    fn across(turns: &mut Turns, round_trip: Duration, capacity: f64) -> (f64, usize) {
        let begun = Instant::now();
        let (mut now, mut busy_until) = (begun, begun);
        let (mut total, mut largest) = (0, 0);
        while now.duration_since(begun) < Duration::from_secs(20) {
            let mut burst = 0;
            while turns.may_send(now) {
                turns.sent(CHUNK, now);
                burst += CHUNK;
            }
            busy_until = busy_until.max(now + round_trip / 2)
                + Duration::from_secs_f64(burst as f64 / capacity);
            now = busy_until + round_trip / 2;
            turns.taken_in(burst, now, round_trip);
            now = turns.rests_until(now).unwrap_or(now);
            total += burst;
            largest = largest.max(burst);
        }
        (
            total as f64 / now.duration_since(begun).as_secs_f64(),
            largest,
        )
    }

    #[test]
    fn on_a_short_path_a_share_of_what_the_receiver_could_take_in_gets_across() {
        let capacity = 80e6;
        for share in [0.1, 0.25, 0.5] {
            let mut turns = Turns::new(share);
            let (rate, largest) = across(&mut turns, Duration::from_micros(200), capacity);
            let got = rate / capacity;
            assert!((share * 0.8..=share).contains(&got), "{got} of {share}");
            assert_eq!(largest, SMALLEST_BURST);
        }
    }

    #[test]
    fn a_long_path_is_filled_as_far_as_may_be_on_its_way() {
        let round_trip = Duration::from_millis(200);
        let (rate, largest) = across(&mut Turns::new(0.25), round_trip, 1e9);

        assert_eq!(largest, LARGEST_BURST);
        let most = LARGEST_BURST as f64 / round_trip.as_secs_f64();
        assert!(rate > most * 0.8, "{rate} of {most}");
    }

    #[test]
    fn bursts_that_grew_shrink_when_the_receiver_is_busy() {
        let mut turns = Turns::new(0.25);
        let round_trip = Duration::from_millis(20);
        across(&mut turns, round_trip, 1e9);
        let large = turns.burst;
        turns.begin_anew();
        across(&mut turns, round_trip, 5e6);

        assert!(turns.burst < large, "{} of {large}", turns.burst);
    }

    #[test]
    fn who_takes_all_never_rests() {
        let mut turns = Turns::new(1.0);
        let now = Instant::now();
        for _ in 0..100 {
            assert!(turns.may_send(now));
            turns.sent(CHUNK, now);
        }
        turns.taken_in(100 * CHUNK, now + Duration::from_secs(1), Duration::ZERO);
        assert_eq!(turns.rests_until(now), None);
    }

    #[test]
    fn a_receiver_that_stood_still_is_not_rested_for_as_long_again() {
        let mut turns = Turns::new(0.1);
        let now = Instant::now();
        turns.sent(SMALLEST_BURST, now);
        let later = now + Duration::from_secs(60);
        turns.taken_in(SMALLEST_BURST, later, Duration::ZERO);

        assert_eq!(turns.rests_until(later), Some(later + LONGEST_REST));
    }

    /// Else both would wait for each other: the receiver says that it took in 240 KiB of
    /// 300, and no more before it gets more.
    #[test]
    fn what_a_receiver_does_not_acknowledge_before_more_arrives_is_not_waited_for() {
        const ODD: usize = 60 << 10;
        let mut turns = Turns::new(0.5);
        let now = Instant::now();
        let (mut sent, mut acknowledged, mut rests) = (0, 0, 0);
        for _ in 0..100 {
            let later = turns.rests_until(now).unwrap_or(now);
            rests += usize::from(later > now);
            assert!(turns.may_send(later), "after {sent} bytes");
            turns.sent(ODD, later);
            sent += ODD;
            if sent - acknowledged >= ACKNOWLEDGED_BYTES {
                let later = later + Duration::from_millis(1);
                turns.taken_in(sent - acknowledged, later, Duration::ZERO);
                acknowledged = sent;
            }
        }
        assert!(rests >= 10, "{rests}");
    }

    #[test]
    fn another_stream_begins_with_a_burst_of_its_own() {
        let mut turns = Turns::new(0.5);
        let now = Instant::now();
        turns.sent(SMALLEST_BURST, now);
        assert!(!turns.may_send(now));

        turns.begin_anew();

        assert!(turns.may_send(now));
    }
}
