//! Deadlines in one place: election, heartbeat, quorum, requests.

use std::time::Duration;

use super::Raft;
use super::role::Role;
use crate::time::Timestamp;

/// The deadlines that are not derived from other state.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    pub(super) election: Timestamp,
    pub(super) heartbeat: Timestamp,
}

impl Raft {
    /// Draws a new election timeout from now (Raft §5.2, randomized).
    pub(super) fn reset_election_timer(&mut self) {
        let (min, max) = (
            self.config.election_timeout_min,
            self.config.election_timeout_max,
        );
        let drawn = self.random.duration_between(min, max);
        self.timers.election = self.now + drawn + self.courtesy();
    }

    /// How long a node of low priority lets others go first: up to four election
    /// timeouts, halved with each that passed without a leader.
    fn courtesy(&self) -> Duration {
        let rank = u32::from(u8::MAX - self.config.election_priority);
        if rank == 0 {
            return Duration::ZERO;
        }
        let longest = self.config.election_timeout_max * 4;
        longest * rank / u32::from(u8::MAX) / 2_u32.saturating_pow(self.idle_elections.min(16))
    }

    /// Does what time alone demands.
    pub(super) fn on_time(&mut self) {
        self.apply_retry_at.take_if(|at| *at <= self.now);
        self.check_quorum();
        self.check_health();
        self.check_transfer();
        if matches!(self.role, Role::Leader(_)) {
            if self.now >= self.timers.heartbeat {
                self.on_heartbeat_timer();
            }
        } else if self.now >= self.timers.election {
            self.on_election_timeout();
        }
        self.check_reads();
        self.check_repairs();
        self.expire_proposals();
        self.expire_held();
        self.expire_changes();
    }

    /// When `handle` is to be called with `Input::Tick` at the latest.
    pub fn poll_timeout(&self) -> Timestamp {
        let mut wake_at = match &self.role {
            Role::Leader(leader) => self.timers.heartbeat.min(leader.quorum_check_at),
            _ => self.timers.election,
        };
        let mut by = |deadline: Option<Timestamp>| {
            wake_at = deadline.map_or(wake_at, |at| at.min(wake_at));
        };
        by(self.proposals.first().map(|(_, pending)| pending.deadline));
        by(self.read_deadline());
        by(self.transfer_deadline());
        by(self.change_deadline());
        by(self.repair_deadline());
        by(self.held_deadline());
        by(self.stall_deadline());
        by(self.apply_retry_at);
        wake_at
    }
}
