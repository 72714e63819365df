//! Leaders that fall right after they append: figure 8 of the paper, over and over.
//!
//! Chance seldom goes the whole way of that figure; the scenario `figure_8` does.

use super::group::Group;
use super::{MS, assert_met, each_seed};

const ROUNDS: usize = 1000;

/// Everybody who leads gets a command. Answers who did.
fn start_everywhere(group: &mut Group) -> Option<usize> {
    let started = (0..group.size()).filter(|&place| group.start_any(place).is_some());
    started.last()
}

/// Mostly too short for an entry to commit, now and then long enough for an election.
fn hesitate(group: &mut Group) {
    let longest = if group.random.chance(1000) { 500 } else { 13 };
    let pause = group.random.between(0, longest * MS);
    group.wait(pause);
}

/// Leaders fall between any two steps: links are slow, and entries travel two by
/// two, so that those of earlier terms may be on a majority before the leader's own.
fn fall_in_between(group: &mut Group) {
    group.set_slow_links();
    group.reconfigure(|config| config.max_append_entries = 2);
}

#[test]
fn figure_8() {
    let total = each_seed(0..20, 5, |group| {
        group.one_with_retries(1);
        fall_in_between(group);
        for _ in 0..ROUNDS {
            let leader = start_everywhere(group);
            hesitate(group);
            if let Some(leader) = leader {
                group.crash(leader);
            }
            if group.up().count() < 3 {
                let place = group.any();
                group.restart(place);
            }
        }
        (0..5).for_each(|place| group.restart(place));
        group.one_with_retries(5);
    });
    assert_met(&total, &["a leader crashed", "a log was truncated"]);
}

#[test]
fn figure_8_unreliable() {
    let total = each_seed(0..5, 5, |group| {
        group.set_unreliable();
        group.one_with_retries(1);
        for round in 0..ROUNDS {
            if round == ROUNDS / 5 {
                group.set_late_answers();
            }
            let leader = start_everywhere(group);
            hesitate(group);
            if let Some(leader) = leader
                && group.random.chance(5000)
            {
                group.disconnect(leader);
            }
            if group.connected.iter().filter(|is| **is).count() < 3 {
                let place = group.any();
                group.connect(place);
            }
        }
        group.connect_all(0..5);
        group.one_with_retries(5);
    });
    assert_met(&total, &["a leader lost its quorum", "a log was truncated"]);
}
