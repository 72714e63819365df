//! Nodes crash with nothing but their disks left, and go on from there.

use super::group::Group;
use super::{ELECTION, each_seed};

fn crash_and_restart(group: &mut Group, places: impl IntoIterator<Item = usize>) {
    for place in places {
        group.crash(place);
        group.restart(place);
        group.connect(place);
    }
}

#[test]
fn persistence_of_each_role() {
    each_seed(0..20, 3, |group| {
        group.one_with_retries(3);
        (0..3).for_each(|place| group.crash(place));
        crash_and_restart(group, 0..3);
        group.one_with_retries(3);

        let leader = group.leader();
        group.disconnect(leader);
        crash_and_restart(group, [leader]);
        group.one_with_retries(3);

        let leader = group.leader();
        group.disconnect(leader);
        group.one_with_retries(2);
        let index = group.last_applied();
        crash_and_restart(group, [leader]);
        group.wait_for(index, 3);

        let leader = group.leader();
        let follower = group.after(leader, 1);
        group.disconnect(follower);
        group.one_with_retries(2);
        crash_and_restart(group, [follower]);
        group.one_with_retries(3);
    });
}

#[test]
fn persistence_through_partitions() {
    each_seed(0..10, 5, |group| {
        for _ in 0..5 {
            group.one_with_retries(5);
            let leader = group.leader();
            let [a, b, c, d] = [1, 2, 3, 4].map(|step| group.after(leader, step));
            group.disconnect_all([a, b]);
            group.one_with_retries(3);

            // Only one node of the majority so far is in the next one, once it
            // has crashed and read its disk.
            group.disconnect_all([leader, c, d]);
            crash_and_restart(group, [a, b]);
            group.wait(ELECTION);
            crash_and_restart(group, [c]);
            group.one_with_retries(3);
            group.connect_all([d, leader]);
        }
        group.one_with_retries(5);
    });
}

#[test]
fn persistence_of_a_partitioned_leader() {
    each_seed(0..20, 3, |group| {
        group.one_with_retries(3);
        let leader = group.leader();
        let [follower, away] = [1, 2].map(|step| group.after(leader, step));
        group.disconnect(away);
        group.one_with_retries(2);

        group.crash(leader);
        group.crash(follower);
        group.connect(away);
        crash_and_restart(group, [leader]);
        group.one_with_retries(2);
        crash_and_restart(group, [follower]);
        group.one_with_retries(3);
    });
}
