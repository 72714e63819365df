//! Snapshots: logs stay short, and who was away gets the state instead.

use super::each_seed;
use super::group::Group;
use crate::entry::Entry;

/// A checkpoint is taken after this many commands.
const INTERVAL: u64 = 10;

/// No log may grow beyond this many bytes.
const MAX_LOG: usize = 2000;

/// What happens to a node again and again.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Trouble {
    None,
    Disconnected,
    Crashed,
}

/// The configuration of groups that keep their logs short.
fn keep_logs_short(group: &mut Group) {
    group.reconfigure(|config| {
        config.checkpoint_entries = INTERVAL;
        config.keep_entries = 0;
        config.max_kept_entries = 2 * INTERVAL;
    });
}

fn longest_log(group: &Group) -> usize {
    let size = |place: usize| {
        let log = &group.world.nodes[place].disk.log;
        let kept = log.metas().into_iter();
        let entries = kept.filter_map(|meta| log.entry(meta.log_id.index));
        entries.map(Entry::size).sum()
    };
    (0..group.size()).map(size).max().unwrap_or(0)
}

/// Enough commands that a checkpoint comes about, or nearly.
fn some(group: &mut Group) -> u64 {
    group.random.between(INTERVAL / 2, INTERVAL * 3 / 2 - 1)
}

fn snapshots(group: &mut Group, trouble: Trouble) {
    keep_logs_short(group);
    group.one_with_retries(3);
    let mut leader = group.leader();
    for round in 0..30 {
        let (mut victim, mut sender) = (group.after(leader, 1), leader);
        if round % 3 == 1 {
            (victim, sender) = (sender, victim);
        }
        match trouble {
            Trouble::None => {}
            Trouble::Disconnected => group.disconnect(victim),
            Trouble::Crashed => group.crash(victim),
        }
        if trouble != Trouble::None {
            group.one_with_retries(2);
        }
        for _ in 0..some(group) {
            group.start_any(sender);
        }
        let reached = if trouble == Trouble::None { 3 } else { 2 };
        group.one_with_retries(reached);
        let longest = longest_log(group);
        assert!(longest < MAX_LOG, "a log of {longest} bytes");

        if trouble != Trouble::None {
            group.restart(victim);
            group.connect(victim);
            group.one_with_retries(3);
            leader = group.leader();
        }
    }
    if trouble != Trouble::None {
        let restored = group.marked("a snapshot was restored");
        assert!(restored > 0, "nobody needed a snapshot");
    }
}

#[test]
fn snapshots_basic() {
    each_seed(0..5, 3, |group| snapshots(group, Trouble::None));
}

#[test]
fn snapshots_with_disconnection() {
    each_seed(0..5, 3, |group| snapshots(group, Trouble::Disconnected));
}

#[test]
fn snapshots_with_disconnection_unreliable() {
    each_seed(0..5, 3, |group| {
        group.set_unreliable();
        snapshots(group, Trouble::Disconnected);
    });
}

#[test]
fn snapshots_with_crash() {
    each_seed(0..5, 3, |group| snapshots(group, Trouble::Crashed));
}

#[test]
fn snapshots_with_crash_unreliable() {
    each_seed(0..5, 3, |group| {
        group.set_unreliable();
        snapshots(group, Trouble::Crashed);
    });
}

fn crash_all(group: &mut Group) {
    (0..3).for_each(|place| group.crash(place));
    (0..3).for_each(|place| group.restart(place));
}

#[test]
fn snapshots_with_all_crashed() {
    each_seed(0..10, 3, |group| {
        keep_logs_short(group);
        group.one_with_retries(3);
        for _ in 0..5 {
            for _ in 0..some(group) {
                group.one_with_retries(3);
            }
            let before = group.one_with_retries(3);
            crash_all(group);
            let after = group.one_with_retries(3);
            assert!(after > before, "{before} commands, then {after}");
        }
    });
}

#[test]
fn snapshots_after_all_crashed_twice() {
    each_seed(0..10, 3, |group| {
        keep_logs_short(group);
        for _ in 0..=INTERVAL {
            group.one_with_retries(3);
        }
        crash_all(group);
        group.one_with_retries(3);
        crash_all(group);
        group.one_with_retries(3);
    });
}
