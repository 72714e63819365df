//! What a run is made of: sizes, phases, and the faults that its seed draws.
//!
//! Swarm testing: a run with every fault at once never gets far enough to meet
//! the interesting ones, so each seed draws a subset first and rates after. One
//! seed in ten has no faults at all and must be calm.

use std::time::Duration;

use super::aim::Aim;
use super::random::Random;
use crate::config::{Config, DuringTransfer};
use crate::types::ReplicaId;

/// What a run goes through. The default is what `cargo xtask sim` runs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it aims at.
    pub aim: Aim,
    /// Faults that are left out, of [`FAULTS`].
    pub without: Vec<&'static str>,
    /// How many replicas; drawn from the seed if not given.
    pub replicas: Option<usize>,
    /// Time without faults at the start.
    pub warm_up: Duration,
    /// Time with faults.
    pub fault_time: Duration,
    /// After healing, how long a group may take to be whole again.
    pub liveness_bound: Duration,
    /// No faults, whatever the seed.
    pub calm: bool,
    /// Entries may be damaged that peers have purged or that members on their way out hold.
    pub damage_anywhere: bool,
    /// Keep one line per step.
    pub trace: bool,
    /// Keep the actions of the specification that explain the run.
    pub actions: bool,
    /// Keep what [`Report::page`](super::Report::page) shows.
    pub record: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            aim: Aim::Swarm,
            without: Vec::new(),
            replicas: None,
            warm_up: Duration::from_millis(800),
            fault_time: Duration::from_secs(8),
            // Generous, because some runs catch up one entry at a time.
            liveness_bound: Duration::from_secs(30),
            calm: false,
            damage_anywhere: true,
            trace: false,
            actions: false,
            record: false,
        }
    }
}

impl Plan {
    /// Whether this fault, of [`FAULTS`], may happen.
    pub(crate) fn has(&self, fault: &str) -> bool {
        !self.calm && !self.without.contains(&fault)
    }

    /// The arguments of `cargo xtask sim` that repeat `seed` under this plan.
    pub fn replay(&self, seed: u64) -> String {
        let usual = Self::aimed(self.aim);
        let mut words = format!("--seeds 1 --seed {seed}");
        if self.aim != Aim::Swarm {
            words += &format!(" --plan {}", self.aim);
        }
        if self.fault_time != usual.fault_time {
            words += &format!(" --fault-time {}", self.fault_time.as_millis());
        }
        if !self.without.is_empty() {
            words += &format!(" --without {}", self.without.join(","));
        }
        words
    }

    /// The plan of this aim.
    pub fn aimed(aim: Aim) -> Self {
        let mut plan = Self {
            aim,
            ..Self::default()
        };
        if matches!(aim, Aim::Lite | Aim::Liveness) {
            plan.fault_time = Duration::from_secs(2);
        }
        plan
    }
}

/// The kinds of faults that a plan can leave out.
pub const FAULTS: &[&str] = &[
    "loss",
    "duplicates",
    "replays",
    "slow-messages",
    "slow-streams",
    "late-answers",
    "reordering",
    "crash-after-send",
    "crash-before-persist",
    "crash-after-persist",
    "crash-after-apply",
    "partitions",
    "cut-offs",
    "crashes",
    "power-cuts",
    "pauses",
    "stalls",
    "illness",
    "damage",
    "lost-votes",
    "batches",
    "breaking",
    "operator",
    "drift",
];

/// Rates count in ten thousand, times in microseconds; zero means never.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) loss: u64,
    pub(crate) duplicate: u64,
    pub(crate) replay: u64,
    pub(crate) slow: u64,
    pub(crate) slowest: u64,
    /// Answers that come when the next attempts are under way: drawn by `cut_offs.rs`.
    pub(crate) late_answers: u64,
    /// Snapshots that take seconds, and may fall silent.
    pub(crate) slow_streams: u64,
    pub(crate) reorder: bool,
    pub(crate) crash_after_send: u64,
    pub(crate) crash_before_persist: u64,
    pub(crate) crash_after_persist: u64,
    pub(crate) crash_after_apply: u64,
    pub(crate) partition_every: u64,
    pub(crate) crash_every: u64,
    pub(crate) power_cut_every: u64,
    pub(crate) pause_every: u64,
    pub(crate) stall_every: u64,
    pub(crate) illness_every: u64,
    pub(crate) damage_every: u64,
    /// Leaders that are cut off while their disk hangs: drawn by `cut_offs.rs`.
    pub(crate) cut_off_every: u64,
    /// That a node that starts finds its vote gone.
    pub(crate) lose_vote: u64,
}

impl Faults {
    /// Leaves out what `plan` does without.
    pub(crate) fn leave_out(&mut self, plan: &Plan) {
        for &name in &plan.without {
            match name {
                "loss" => self.loss = 0,
                "duplicates" => self.duplicate = 0,
                "replays" => self.replay = 0,
                "slow-messages" => self.slow = 0,
                "slow-streams" => self.slow_streams = 0,
                "late-answers" => self.late_answers = 0,
                "reordering" => self.reorder = false,
                "crash-after-send" => self.crash_after_send = 0,
                "crash-before-persist" => self.crash_before_persist = 0,
                "crash-after-persist" => self.crash_after_persist = 0,
                "crash-after-apply" => self.crash_after_apply = 0,
                "partitions" => self.partition_every = 0,
                "cut-offs" => self.cut_off_every = 0,
                "crashes" => self.crash_every = 0,
                "power-cuts" => self.power_cut_every = 0,
                "pauses" => self.pause_every = 0,
                "stalls" => self.stall_every = 0,
                "illness" => self.illness_every = 0,
                "damage" => self.damage_every = 0,
                "lost-votes" => self.lose_vote = 0,
                // The others are no rates; who draws them asks the plan.
                _ => {}
            }
        }
    }

    /// Draws which faults there are, then how many.
    pub(crate) fn draw(random: &mut Random) -> Self {
        if random.chance(1000) {
            return Self::default();
        }
        let mut faults = Self::default();
        let share = random.between(1500, 7500);
        let mut rate = |low, high| match random.chance(share) {
            true => random.between(low, high),
            false => 0,
        };
        faults.loss = rate(10, 1500);
        faults.duplicate = rate(10, 1000);
        faults.replay = rate(10, 500);
        faults.slow = rate(10, 1000);
        faults.slowest = 800_000;
        faults.slow_streams = 1500;
        faults.reorder = rate(1, 1) == 1;
        faults.crash_after_send = rate(2, 40);
        faults.crash_before_persist = rate(5, 150);
        faults.crash_after_persist = rate(5, 150);
        faults.crash_after_apply = rate(5, 150);
        faults.partition_every = rate(100_000, 1_500_000);
        faults.crash_every = rate(150_000, 2_000_000);
        faults.power_cut_every = rate(800_000, 4_000_000);
        faults.pause_every = rate(200_000, 2_000_000);
        faults.stall_every = rate(200_000, 2_000_000);
        faults.illness_every = rate(300_000, 3_000_000);
        faults.damage_every = rate(50_000, 1_000_000);
        if random.chance(1500) {
            faults.lose_vote = random.between(1000, 6000);
        }
        faults
    }
}

/// How many replicas: mostly three and five.
pub(crate) fn draw_replicas(random: &mut Random) -> usize {
    [3, 3, 3, 3, 5, 5, 5, 1, 2, 4, 7][random.position(11)]
}

/// The settings that all replicas of a run share. Small limits in half of the
/// runs, because a limit that is never reached is never tested.
pub(crate) fn draw_config(random: &mut Random) -> Config {
    let mut config = Config::new(ReplicaId::first(1), 0);
    config.max_uncommitted_bytes = 30_000;
    config.request_timeout = Duration::from_millis(random.between(500, 3000));
    let mut limit = |usual: usize, low: usize, high: usize| match random.chance(5000) {
        true => low + random.position(high - low + 1),
        false => usual,
    };
    config.max_append_entries = limit(config.max_append_entries, 1, 8);
    config.max_append_bytes = limit(config.max_append_bytes, 1, 400);
    config.max_inflight_appends = limit(config.max_inflight_appends, 1, 4);
    config.max_inflight_bytes = limit(config.max_inflight_bytes, 1, 2000);
    config.max_uncommitted_bytes = limit(config.max_uncommitted_bytes, 200, 4000);
    config.max_pending_proposals = limit(config.max_pending_proposals, 2, 20);
    config.max_pending_reads = limit(config.max_pending_reads, 1, 10);
    config.max_apply_bytes = limit(config.max_apply_bytes, 1, 1000);
    config.cache_bytes = limit(config.cache_bytes, 0, 1000);
    config.max_snapshot_transfers = limit(config.max_snapshot_transfers, 1, 2);
    let mut number = |usual: u64, low: u64, high: u64| match random.chance(5000) {
        true => random.between(low, high),
        false => usual,
    };
    config.checkpoint_entries = number(config.checkpoint_entries, 1, 40);
    config.checkpoint_bytes = number(config.checkpoint_bytes, 100, 4000);
    config.keep_entries = number(config.keep_entries, 0, 30);
    config.max_kept_entries = number(config.max_kept_entries, 0, 60);
    config.max_promotion_lag = number(config.max_promotion_lag, 0, 20);
    config.max_campaign_backlog = number(config.max_campaign_backlog, 0, 20);
    if random.chance(3000) {
        // A log so short that whoever is away for a moment needs a snapshot.
        config.checkpoint_entries = random.between(1, 10);
        config.keep_entries = random.between(0, 5);
        config.max_kept_entries = random.between(0, 10);
    }
    if random.chance(3000) {
        config.during_transfer = DuringTransfer::Refuse;
    }
    config.max_clock_drift_ppm = [0, 1000, 100_000, 100_000, 300_000][random.position(5)];
    config.disk_stall_timeout = Duration::from_millis(random.between(100, 2000));
    config.transfer_timeout = Duration::from_millis(random.between(100, 1500));
    config.snapshot_timeout = Duration::from_millis(random.between(700, 2500));
    config
}

/// How far clocks drift in a run, in parts per million: not at all, as far as the
/// configuration allows, or far beyond, where leases promise nothing.
pub(crate) fn draw_drift_bound(config: &Config, random: &mut Random) -> u32 {
    match random.position(10) {
        0..=4 => 0,
        5..=8 => config.max_clock_drift_ppm,
        _ => config.max_clock_drift_ppm.saturating_mul(2) + 100_000,
    }
}

/// How much faster or slower a clock runs; half of the clocks go to the bound.
pub(crate) fn draw_drift(bound: u32, random: &mut Random) -> i64 {
    let bound = i64::from(bound);
    let drawn = i64::try_from(random.between(0, 2 * bound.unsigned_abs())).unwrap_or(0) - bound;
    match random.position(4) {
        0 => bound,
        1 => -bound,
        _ => drawn,
    }
}

/// How readily each node campaigns: all alike in most runs.
pub(crate) fn draw_priorities(size: usize, random: &mut Random) -> Vec<u8> {
    let differ = random.chance(3000);
    let mut draw = || match differ {
        true => [0, 60, 128, 200, u8::MAX][random.position(5)],
        false => u8::MAX,
    };
    (0..size).map(|_| draw()).collect()
}

/// How long each node waits at least before it campaigns: all alike in most runs.
pub(crate) fn draw_patience(size: usize, usual: Duration, random: &mut Random) -> Vec<Duration> {
    let differ = random.chance(3000);
    let mut draw = || match differ {
        true => Duration::from_millis(random.between(100, 400)),
        false => usual,
    };
    (0..size).map(|_| draw()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::random::Concern;
    use super::*;

    #[test]
    fn every_configuration_drawn_can_work() {
        for seed in 0..200 {
            let mut random = Random::stream(seed, Concern::Plan);
            draw_config(&mut random).validate().unwrap();
        }
    }

    #[test]
    fn some_seeds_have_no_faults_and_each_fault_occurs() {
        let draw = |seed| Faults::draw(&mut Random::stream(seed, Concern::Plan));
        let all: Vec<_> = (0..500).map(draw).collect();
        let calm = all.iter().filter(|f| f.slowest == 0).count();
        assert!((20..100).contains(&calm), "{calm} of 500 seeds are calm");
        assert!(all.iter().any(|f| f.loss > 0) && all.iter().any(|f| f.loss == 0));
        assert!(all.iter().any(|f| f.power_cut_every > 0));
    }
}
