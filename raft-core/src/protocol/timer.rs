//! Deadlines in one place: election, heartbeat, quorum, requests.

use std::time::Duration;

use super::Raft;
use super::role::Role;
use crate::time::Timestamp;

/// How far ahead a replica without any deadline asks to be woken.
const IDLE: Duration = Duration::from_secs(3600);

/// The deadlines that are not derived from other state.
#[derive(Debug, Default)]
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
        let of_role = match &self.role {
            Role::Leader(_) => Some(self.timers.heartbeat),
            _ => Some(self.timers.election),
        };
        let of_proposals = self.proposals.first().map(|(_, pending)| pending.deadline);
        [
            of_role,
            of_proposals,
            self.read_deadline(),
            self.quorum_check_at(),
            self.transfer_deadline(),
            self.change_deadline(),
            self.repair_deadline(),
            self.held_deadline(),
            self.stall_deadline(),
            self.apply_retry_at,
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(self.now + IDLE)
    }
}
