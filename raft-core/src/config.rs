//! How one replica behaves: identity, timeouts, limits.

use std::time::Duration;

use crate::types::{GroupId, ReplicaId};

/// Longer than anybody waits, and short enough to be multiplied.
const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 3600);

/// Configuration of one replica of one group. [`Config::new`] gives sound defaults.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// The group.
    pub group: GroupId,
    /// This replica.
    pub replica: ReplicaId,
    /// Source of every random choice. Draw it anew at each start: it also names
    /// the start, so that answers to an earlier one are recognised.
    pub seed: u64,
    /// How often a leader is heard at least. Default 50 ms.
    pub heartbeat_interval: Duration,
    /// A follower that heard no leader for a random time from this one on
    /// campaigns; within it, it votes for nobody else. Default 300 ms.
    ///
    /// Members may differ. A member that starts with a shorter one than it stopped with
    /// may break a promise that a leader's lease still counts with: let the former
    /// time pass between stop and start, or use no lease reads meanwhile.
    pub election_timeout_min: Duration,
    /// The end of that random range; also how long a leader goes on without
    /// hearing a quorum. Default 500 ms.
    pub election_timeout_max: Duration,
    /// A proposal or read that got no outcome for this long gets
    /// `ProposeError::Unknown` or `ReadError::Unconfirmed`. Default 5 s.
    pub request_timeout: Duration,
    /// Most bytes of entries in one message. Default 1 MiB; a single larger entry still goes.
    pub max_append_bytes: usize,
    /// Largest command that is taken, in bytes; it must fit a message of the
    /// transport, or it would be appended and never replicated. Default 8 MiB.
    pub max_command_bytes: usize,
    /// Most entries in one message. Default 4096.
    pub max_append_entries: usize,
    /// Most bytes sent to one follower and not yet acknowledged. Default 16 MiB.
    pub max_inflight_bytes: usize,
    /// Most messages with entries sent to one follower and not yet acknowledged. Default 256.
    pub max_inflight_appends: usize,
    /// Most bytes of entries that a leader holds uncommitted; beyond, proposals
    /// are refused. Default 64 MiB. A single larger proposal is taken when nothing else waits.
    pub max_uncommitted_bytes: usize,
    /// Most proposals of this node that wait for their outcome. Default 65,536.
    pub max_pending_proposals: usize,
    /// Most reads of this node that wait for their index. Default 65,536.
    pub max_pending_reads: usize,
    /// Most bytes of entries handed to the state machine at once. Default 4 MiB.
    pub max_apply_bytes: usize,
    /// How many bytes of recent entries are kept in memory for applies and slow
    /// followers. Default 32 MiB. What is not yet durable is kept besides.
    pub cache_bytes: usize,
    /// How much faster or slower than true time a member's clock may run, in
    /// parts per million. Leases end earlier by twice as much. Default 100,000 (10 %),
    /// far beyond any working clock.
    pub max_clock_drift_ppm: u32,
    /// How long a leadership transfer may take before the leader goes on leading. Default 1 s.
    pub transfer_timeout: Duration,
    /// What becomes of proposals that arrive during a transfer. Default: they wait.
    pub during_transfer: DuringTransfer,
    /// How many entries a learner may lack and still be promoted. Default 1,000.
    pub max_promotion_lag: u64,
    /// A checkpoint of the state machine is taken after this many applied entries. Default 50,000.
    pub checkpoint_entries: u64,
    /// A checkpoint is taken after this many bytes of applied entries. Default 64 MiB.
    pub checkpoint_bytes: u64,
    /// How many applied entries stay in the log for followers that are only slow. Default 20,000.
    pub keep_entries: u64,
    /// How many entries a leader keeps at most for a follower that answers but
    /// lags; one that lags more gets a snapshot. Default 1,000,000.
    pub max_kept_entries: u64,
    /// How many snapshots a leader sends at a time; others wait. Default 2.
    pub max_snapshot_transfers: usize,
    /// A snapshot on its way to a follower that got no further for this long is
    /// given up and begun anew; one that gets further may take as long as it
    /// takes. Default 60 s.
    pub snapshot_timeout: Duration,
    /// How readily this node campaigns: below the default of 255 it lets others
    /// go first, by up to four election timeouts at 0, halved each time nobody won.
    pub election_priority: u8,
    /// A node whose state machine lags this many entries behind what it knows to
    /// be committed does not campaign. Default 100,000.
    pub max_campaign_backlog: u64,
    /// A leader whose disk has not finished a write for this long hands
    /// leadership over, and does not campaign until it has. Default 2 s.
    pub disk_stall_timeout: Duration,
}

/// What becomes of proposals that arrive while leadership is being transferred.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum DuringTransfer {
    /// They wait, and go to the next leader, or on with this one if the transfer fails.
    #[default]
    Wait,
    /// They are refused as [`ProposeError::NotLeader`](crate::ProposeError::NotLeader).
    Refuse,
}

impl Config {
    /// Defaults for `replica`, in group 0.
    pub const fn new(replica: ReplicaId, seed: u64) -> Self {
        const MIB: usize = 1 << 20;
        Self {
            group: GroupId::new(0),
            replica,
            seed,
            heartbeat_interval: Duration::from_millis(50),
            election_timeout_min: Duration::from_millis(300),
            election_timeout_max: Duration::from_millis(500),
            request_timeout: Duration::from_secs(5),
            max_command_bytes: 8 * MIB,
            max_append_bytes: MIB,
            max_append_entries: 4096,
            max_inflight_bytes: 16 * MIB,
            max_inflight_appends: 256,
            max_uncommitted_bytes: 64 * MIB,
            max_pending_proposals: 65_536,
            max_pending_reads: 65_536,
            max_apply_bytes: 4 * MIB,
            cache_bytes: 32 * MIB,
            max_clock_drift_ppm: 100_000,
            transfer_timeout: Duration::from_secs(1),
            during_transfer: DuringTransfer::Wait,
            max_promotion_lag: 1_000,
            checkpoint_entries: 50_000,
            checkpoint_bytes: 64 << 20,
            keep_entries: 20_000,
            max_kept_entries: 1_000_000,
            max_snapshot_transfers: 2,
            snapshot_timeout: Duration::from_secs(60),
            election_priority: u8::MAX,
            max_campaign_backlog: 100_000,
            disk_stall_timeout: Duration::from_secs(2),
        }
    }

    /// How long a leader's lease holds from the moment it sent the round that a
    /// quorum answered, if no voter of it promised less: the shortest election timeout,
    /// less the drift of the
    /// leader's clock and of the voters' clocks. Zero if drift eats all of it.
    pub fn lease_duration(&self) -> Duration {
        self.lease_by(self.election_timeout_min)
    }

    /// The same for the sake of one voter that promised to vote for nobody else for
    /// `promise`.
    pub(crate) fn lease_by(&self, promise: Duration) -> Duration {
        let kept = 1_000_000_u32.saturating_sub(self.max_clock_drift_ppm.saturating_mul(2));
        self.election_timeout_min.min(promise) * kept / 1_000_000
    }

    /// Checks that the values can work together.
    ///
    /// # Errors
    ///
    /// A timeout that would make elections constant, a limit of zero, or a
    /// duration of more than a year.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_durations()?;
        if self.election_timeout_min < self.heartbeat_interval * 2 {
            return Err(ConfigError::HurriedElections {
                heartbeat_interval: self.heartbeat_interval,
                election_timeout_min: self.election_timeout_min,
            });
        }
        if self.election_timeout_max <= self.election_timeout_min {
            return Err(ConfigError::NoSpread {
                min: self.election_timeout_min,
                max: self.election_timeout_max,
            });
        }
        let limits = [
            ("max_command_bytes", self.max_command_bytes),
            ("max_append_bytes", self.max_append_bytes),
            ("max_append_entries", self.max_append_entries),
            ("max_inflight_bytes", self.max_inflight_bytes),
            ("max_inflight_appends", self.max_inflight_appends),
            ("max_uncommitted_bytes", self.max_uncommitted_bytes),
            ("max_pending_proposals", self.max_pending_proposals),
            ("max_pending_reads", self.max_pending_reads),
            ("max_apply_bytes", self.max_apply_bytes),
            ("max_snapshot_transfers", self.max_snapshot_transfers),
        ];
        if self.checkpoint_entries == 0 || self.checkpoint_bytes == 0 {
            let what = "checkpoint_entries and checkpoint_bytes";
            return Err(ConfigError::Zero { what });
        }
        match limits.into_iter().find(|&(_, value)| value == 0) {
            Some((what, _)) => Err(ConfigError::Zero { what }),
            None => Ok(()),
        }
    }

    fn validate_durations(&self) -> Result<(), ConfigError> {
        let durations = [
            ("heartbeat_interval", self.heartbeat_interval),
            ("election_timeout_min", self.election_timeout_min),
            ("election_timeout_max", self.election_timeout_max),
            ("request_timeout", self.request_timeout),
            ("transfer_timeout", self.transfer_timeout),
            ("snapshot_timeout", self.snapshot_timeout),
            ("disk_stall_timeout", self.disk_stall_timeout),
        ];
        for (what, value) in durations {
            if value.is_zero() {
                return Err(ConfigError::Zero { what });
            }
            if value > MAX_DURATION {
                let most = MAX_DURATION;
                return Err(ConfigError::TooLong { what, most });
            }
        }
        Ok(())
    }
}

/// Why a configuration cannot work.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A limit or interval of zero.
    #[error("{what} must not be zero")]
    Zero {
        /// The setting.
        what: &'static str,
    },
    /// Longer than anybody waits.
    #[error("{what} must not be longer than {most:?}")]
    TooLong {
        /// The setting.
        what: &'static str,
        /// The most it may be.
        most: Duration,
    },
    /// Followers would campaign between two heartbeats.
    #[error(
        "election_timeout_min ({election_timeout_min:?}) must be at least twice heartbeat_interval ({heartbeat_interval:?})"
    )]
    HurriedElections {
        /// The heartbeat interval.
        heartbeat_interval: Duration,
        /// The shortest election timeout.
        election_timeout_min: Duration,
    },
    /// Candidates would all start at once.
    #[error("election_timeout_max ({max:?}) must be above election_timeout_min ({min:?})")]
    NoSpread {
        /// The shortest election timeout.
        min: Duration,
        /// The longest election timeout.
        max: Duration,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::new(ReplicaId::first(1), 7).validate(), Ok(()));
    }

    #[test]
    fn a_duration_that_no_arithmetic_can_bear_is_refused() {
        let adjustments: [fn(&mut Config) -> &mut Duration; 7] = [
            |config| &mut config.heartbeat_interval,
            |config| &mut config.election_timeout_min,
            |config| &mut config.election_timeout_max,
            |config| &mut config.request_timeout,
            |config| &mut config.transfer_timeout,
            |config| &mut config.snapshot_timeout,
            |config| &mut config.disk_stall_timeout,
        ];
        for duration_of in adjustments {
            let mut config = Config::new(ReplicaId::first(1), 7);
            *duration_of(&mut config) = Duration::MAX;

            assert!(matches!(
                config.validate(),
                Err(ConfigError::TooLong { .. })
            ));
        }
    }
}
