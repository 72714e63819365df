//! Logs that went different ways come together again, quickly.

use super::group::Group;
use super::{ELECTION, assert_met, each_seed};

/// Commands for each log that goes astray.
const MANY: usize = 50;

#[test]
fn rejoin_of_a_partitioned_leader() {
    each_seed(0..20, 3, |group| {
        group.one_with_retries(3);
        let first = group.leader();
        group.disconnect(first);
        for _ in 0..3 {
            group.start_any(first);
        }
        group.one_with_retries(2);

        let second = group.leader();
        group.disconnect(second);
        group.connect(first);
        group.one_with_retries(2);
        group.connect(second);
        group.one_with_retries(3);
    });
}

fn start_many(group: &mut Group, leader: usize) {
    for _ in 0..MANY {
        group.start_any(leader).expect("it still leads");
    }
}

fn agree_on_many(group: &mut Group) {
    for _ in 0..MANY {
        group.one_with_retries(3);
    }
}

/// Appends that a follower refused: what finding the place where logs part costs.
fn rejections(group: &Group) -> u64 {
    group.marked("an append was rejected")
}

/// In how many terms somebody led: about one probe for each is fast.
const fn terms(group: &Group) -> u64 {
    group.world.report.leaders
}

#[test]
fn fast_back_up_over_many_wrong_entries() {
    let total = each_seed(0..20, 5, |group| {
        group.one_with_retries(5);
        // Two nodes get many entries that three others never see.
        let first = group.leader();
        let [ally, a, b, c] = [1, 2, 3, 4].map(|step| group.after(first, step));
        group.disconnect_all([a, b, c]);
        start_many(group, first);
        group.wait(ELECTION / 2);
        group.disconnect_all([first, ally]);
        group.connect_all([a, b, c]);
        agree_on_many(group);

        // One of the three is left out, and the other two go astray.
        let second = group.leader();
        let away = if second == a { b } else { a };
        group.disconnect(away);
        start_many(group, second);
        group.wait(ELECTION / 2);

        // The first two come back with it: they are to forget what they had.
        group.disconnect_all(0..5);
        group.connect_all([first, ally, away]);
        let before = rejections(group);
        agree_on_many(group);
        let probes = rejections(group) - before;
        assert!(probes <= 2 * terms(group), "{probes} probes, two nodes");

        let before = rejections(group);
        group.connect_all(0..5);
        group.one_with_retries(5);
        let probes = rejections(group) - before;
        assert!(probes <= 2 * terms(group), "{probes} probes, two nodes");
    });
    assert_met(&total, &["an append was rejected", "a log was truncated"]);
}
