//! What a replica is configured with and restored from, sensible or not.

use std::sync::Arc;
use std::time::Duration;

use raft_core::config::DuringTransfer;
use raft_core::protocol::Restored;
use raft_core::{
    Config, EntryKind, EntryMeta, HardState, LogId, LogIndex, Membership, ReplicaId, Term,
};

use crate::choices::Choices;
use crate::values::membership;

/// A configuration whose limits are so low that they are met.
pub fn tight_config(replica: ReplicaId, seed: u64, choices: &mut Choices<'_>) -> Config {
    let mut config = Config::new(replica, seed);
    let tightness = choices.byte();
    config.max_append_bytes = [1 << 20, 100][usize::from(tightness & 1)];
    config.max_append_entries = [4096, 2][usize::from(tightness & 1)];
    config.max_inflight_appends = [256, 2][usize::from(tightness >> 1 & 1)];
    config.max_inflight_bytes = [1 << 20, 200][usize::from(tightness >> 1 & 1)];
    config.cache_bytes = [1 << 20, 0, 100, 300][usize::from(tightness >> 2 & 3)];
    config.max_apply_bytes = [1 << 20, 1][usize::from(tightness >> 4 & 1)];
    config.keep_entries = [20_000, 0, 2, 1][usize::from(tightness >> 5 & 3)];
    config.checkpoint_entries = [50_000, 3][usize::from(tightness >> 7)];
    let limits = choices.byte();
    config.max_kept_entries = [1_000_000, 3][usize::from(limits & 1)];
    config.max_uncommitted_bytes = [1 << 20, 200][usize::from(limits >> 1 & 1)];
    config.max_pending_proposals = [100, 3][usize::from(limits >> 2 & 1)];
    config.max_pending_reads = [100, 3][usize::from(limits >> 3 & 1)];
    config.max_snapshot_transfers = [2, 1][usize::from(limits >> 4 & 1)];
    config.during_transfer = match limits >> 5 & 1 {
        0 => DuringTransfer::Wait,
        _ => DuringTransfer::Refuse,
    };
    config.election_priority = [255, 0][usize::from(limits >> 6 & 1)];
    config.max_promotion_lag = [1_000, 0][usize::from(limits >> 7)];
    config
}

/// Any configuration.
pub fn any_config(replica: ReplicaId, choices: &mut Choices<'_>) -> Config {
    let mut config = tight_config(replica, choices.number(), choices);
    let durations = [
        &mut config.heartbeat_interval,
        &mut config.election_timeout_min,
        &mut config.election_timeout_max,
        &mut config.request_timeout,
        &mut config.transfer_timeout,
        &mut config.snapshot_timeout,
        &mut config.disk_stall_timeout,
    ];
    for duration in durations {
        match choices.below(6) {
            0 => *duration = Duration::from_millis(choices.near(&[50, 300, 500])),
            1 => *duration = Duration::from_secs(choices.near(&[1, u64::MAX / 2])),
            _ => {}
        }
    }
    config.max_clock_drift_ppm = choices.one_of(&[100_000, 0, 500_000, 1_000_000, u32::MAX]);
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    if choices.coin() {
        config.max_append_bytes = size(choices.near(&[100]));
        config.max_append_entries = size(choices.near(&[2]));
        config.max_inflight_appends = size(choices.near(&[2]));
        config.max_uncommitted_bytes = size(choices.near(&[200]));
        config.max_apply_bytes = size(choices.near(&[1]));
        config.max_snapshot_transfers = size(choices.near(&[2]));
        config.max_promotion_lag = choices.near(&[2]);
        config.max_campaign_backlog = choices.near(&[2]);
        config.keep_entries = choices.near(&[2]);
        config.max_kept_entries = choices.near(&[2]);
    }
    config
}

/// A durable state that belongs together: a log with terms that rise, a vote
/// store that is not behind it, a state machine within it.
pub fn sound_state(first: Membership, choices: &mut Choices<'_>) -> Restored {
    let mut restored = Restored::new_group(first);
    let shape = choices.byte();
    let mut last = match shape & 3 {
        0 => LogId::ZERO,
        _ => LogId::new(choices.below(4) as u64, choices.below(6) as u64),
    };
    if last.index == LogIndex::ZERO {
        last = LogId::ZERO;
    }
    restored.purged = last;
    for _ in 0..(shape >> 2 & 7) {
        let how = choices.byte();
        let term = last.term.get().max(1) + u64::from(how & 3) / 3;
        last = LogId::new(term, last.index.get() + 1);
        let kind = match how >> 2 & 7 {
            0 => EntryKind::Membership,
            1..=3 => EntryKind::Command,
            _ => EntryKind::Blank,
        };
        if kind == EntryKind::Membership {
            let found = Arc::new(membership(choices));
            restored.membership_entries.push((last.index, found));
        }
        let log_id = last;
        restored.entries.push(EntryMeta { log_id, kind });
    }
    let applied = choices.below(restored.entries.len() + 1) as u64;
    restored.last_applied = restored.purged.index.plus(applied);
    restored.hard_state = HardState {
        current_term: Term::new(last.term.get() + u64::from(shape >> 5 & 1)),
        voted_for: (shape & 128 != 0).then(|| ReplicaId::first(2)),
    };
    restored
}

/// A durable state in which something does not fit, perhaps.
pub fn any_state(choices: &mut Choices<'_>) -> Restored {
    let mut restored = sound_state(membership(choices), choices);
    let near = [restored.purged.index.get(), restored.last_applied.get()];
    for _ in 0..choices.below(4) {
        match choices.below(8) {
            0 => restored.purged = LogId::new(choices.near(&[1]), choices.near(&near)),
            1 => restored.last_applied = LogIndex::new(choices.near(&near)),
            2 => restored.hard_state.current_term = Term::new(choices.near(&[1, 2])),
            3 => restored.hard_state.voted_for = Some(ReplicaId::first(choices.near(&[1]))),
            4 => {
                let index = LogIndex::new(choices.near(&near));
                let found = Arc::new(membership(choices));
                restored.membership_entries.push((index, found));
            }
            5 => {
                let log_id = LogId::new(choices.near(&[1, 2]), choices.near(&near));
                let kind = EntryKind::Blank;
                restored.entries.push(EntryMeta { log_id, kind });
            }
            6 => restored.damaged.push(LogIndex::new(choices.near(&near))),
            _ => drop(restored.entries.pop()),
        }
    }
    restored
}
