//! Raft §5.4.2: what is committed and when.

use super::*;

#[test]
fn an_entry_of_the_term_commits_once_a_quorum_holds_it() {
    let mut leader = leader_of(3, 2, &[]);

    leader.receive(
        3,
        2,
        accepted(session_of(3), LogId::new(2, 1), LogId::new(2, 1)),
    );

    assert_eq!(leader.commit_index(), 1);
    assert_eq!(leader.applied.len(), 1);
}

/// Raft figure 8: an older entry on a majority may still be overwritten.
#[test]
fn an_older_entry_does_not_commit_by_counting_copies() {
    let mut leader = leader_of(5, 4, &[1, 2]);

    for peer in [2, 3] {
        leader.receive(
            peer,
            4,
            accepted(session_of(peer), LogId::new(2, 2), LogId::new(2, 2)),
        );
    }
    assert_eq!(leader.commit_index(), 0);

    for peer in [2, 3] {
        leader.receive(
            peer,
            4,
            accepted(session_of(peer), LogId::new(4, 3), LogId::new(4, 3)),
        );
    }
    assert_eq!(leader.commit_index(), 3);
}

#[test]
fn copies_that_are_only_received_do_not_count() {
    let mut leader = leader_of(3, 2, &[]);

    leader.receive(2, 2, accepted(session_of(2), LogId::new(2, 1), LogId::ZERO));

    assert_eq!(leader.commit_index(), 0);
}

#[test]
fn a_leader_may_commit_on_its_followers_copies_but_applies_only_what_is_durable_here() {
    let mut leader = leader_of(3, 2, &[]).with_slow_disk();
    leader.propose(1);

    for peer in [2, 3] {
        leader.receive(
            peer,
            2,
            accepted(session_of(peer), LogId::new(2, 2), LogId::new(2, 2)),
        );
    }
    assert_eq!(leader.commit_index(), 2);
    assert_eq!(leader.applied.len(), 1, "the blank entry of the election");

    leader.finish_writes();
    assert_eq!(leader.applied.len(), 2);
}

#[test]
fn a_single_node_commits_only_after_its_own_disk() {
    let mut single = replica_of(1, 0, &[]);
    single.wait_for_election_timeout();
    let mut single = single.with_slow_disk();

    single.propose(1);
    assert_eq!(single.commit_index(), 1);
    single.finish_writes();
    assert_eq!(single.commit_index(), 2);
}
