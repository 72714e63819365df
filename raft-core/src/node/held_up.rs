//! Tells a timeout that came from one that the whole process slept through.
//!
//! A process that was held up (a busy machine, a suspended one) wakes with its
//! timeouts long past, and with what its peers said meanwhile still in sockets
//! that nobody had time to read. Acting on the timeout at once would start an
//! election against a leader that is well. So a timeout that is noticed late
//! waits a moment more, once, for what is on its way into the inbox. Waiting is
//! always safe: Raft's timeouts have no upper bound.

use std::time::Duration;

use crate::time::Timestamp;

/// Holds back timeouts that are noticed late.
#[derive(Debug)]
pub(super) struct HeldUp {
    /// Lateness beyond this is a hold-up; also how long to listen then.
    slack: Duration,
    listening_until: Option<Timestamp>,
}

impl HeldUp {
    pub(super) fn new(heartbeat_interval: Duration) -> Self {
        Self {
            slack: heartbeat_interval / 2,
            listening_until: None,
        }
    }

    /// When to wake for a timeout that is due at `due`.
    pub(super) fn wake_at(&self, due: Timestamp) -> Timestamp {
        self.listening_until.unwrap_or(due)
    }

    /// Whether a timeout that is due at `due` fires at `now`.
    pub(super) fn lets_fire(&mut self, due: Timestamp, now: Timestamp) -> bool {
        if now < due {
            self.listening_until = None;
            return false;
        }
        match self.listening_until {
            Some(until) if now < until => false,
            None if now.since(due) > self.slack => {
                self.listening_until = Some(now + self.slack);
                false
            }
            _ => {
                self.listening_until = None;
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Timestamp {
        Timestamp::after_start(Duration::from_millis(millis))
    }

    fn with_heartbeats_of_50_ms() -> HeldUp {
        HeldUp::new(Duration::from_millis(50))
    }

    #[test]
    fn a_timeout_noticed_in_time_fires_at_once() {
        let mut held_up = with_heartbeats_of_50_ms();

        assert!(!held_up.lets_fire(at(300), at(299)));
        assert!(held_up.lets_fire(at(300), at(301)));
    }

    #[test]
    fn a_timeout_noticed_late_fires_after_listening_once() {
        let mut held_up = with_heartbeats_of_50_ms();

        assert!(!held_up.lets_fire(at(300), at(900)));
        assert_eq!(held_up.wake_at(at(300)), at(925));
        assert!(!held_up.lets_fire(at(300), at(924)));
        assert!(held_up.lets_fire(at(300), at(2000)));
    }

    #[test]
    fn a_timeout_moved_on_by_what_was_heard_does_not_fire() {
        let mut held_up = with_heartbeats_of_50_ms();
        assert!(!held_up.lets_fire(at(300), at(900)));

        assert!(!held_up.lets_fire(at(1200), at(901)));

        assert_eq!(held_up.wake_at(at(1200)), at(1200));
    }
}
