//! Elections: one leader, who stays, and a new one when it must be.

use super::group::Group;
use super::{ELECTION, MS, each_seed};

#[test]
fn initial_election() {
    each_seed(0..20, 3, |group| {
        group.leader();
        group.wait(50 * MS);
        let term = group.term();
        assert!(term.get() >= 1);
        group.wait(2 * ELECTION);
        assert_eq!(group.term(), term, "without failures the term stays");
        group.leader();
    });
}

/// A follower whose log is as good as any comes back at any moment of its timer.
fn come_back_quietly(group: &mut Group, leader: usize) {
    let follower = group.after(leader, 1);
    for _ in 0..5 {
        let term = group.term();
        group.disconnect(follower);
        let while_away = group.random.between(ELECTION / 2, ELECTION);
        group.wait(while_away);
        group.connect(follower);
        assert_eq!(group.leader(), leader, "who comes back disturbs nobody");
        assert_eq!(group.term(), term, "nobody fell");
    }
}

#[test]
fn election_after_network_failure() {
    each_seed(0..20, 3, |group| {
        let first = group.leader();
        group.disconnect(first);
        let second = group.leader();
        group.connect(first);
        assert_eq!(group.leader(), second, "who comes back disturbs nobody");
        come_back_quietly(group, second);

        let other = group.after(second, 1);
        group.disconnect_all([second, other]);
        group.wait(2 * ELECTION);
        assert!(group.has_no_leader(), "one of three is no majority");

        group.connect(other);
        group.leader();
        group.connect(second);
        group.leader();
    });
}

#[test]
fn multiple_elections_with_seven_nodes() {
    each_seed(0..10, 7, |group| {
        group.leader();
        for _ in 0..10 {
            // Perhaps one of them twice.
            let away = [group.any(), group.any(), group.any()];
            group.disconnect_all(away);
            group.leader();
            group.connect_all(away);
        }
        group.leader();
    });
}
