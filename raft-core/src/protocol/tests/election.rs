//! Raft §5.2, §5.4.1; pre-vote and check-quorum (Thesis §6.2, §9.6).

use std::time::Duration;

use super::*;
use crate::entry::Payload;
use crate::membership::MemberInfo;
use crate::protocol::status::RoleKind;
use crate::types::{Incarnation, NodeId};

/// Longer than any election timeout; after it no leader is fresh in memory.
const LONG: Duration = Duration::from_millis(299);

fn voter(term: u64, log_terms: &[u64]) -> Replica {
    let mut voter = replica_of(3, term, log_terms);
    voter.now = Duration::from_millis(300);
    voter
}

/// Raft §5.4.1: the vote goes only to a log at least as up to date as ours.
#[test]
fn vote_is_denied_to_a_candidate_with_an_older_log() {
    let mut voter = voter(2, &[1, 1, 2]);

    assert_eq!(
        voter.receive(2, 3, request_vote(LogId::new(1, 9))),
        [(2, vote(3, false))]
    );
    assert_eq!(
        voter.receive(3, 3, request_vote(LogId::new(2, 3))),
        [(3, vote(3, true))]
    );
}

#[test]
fn a_term_has_one_vote() {
    let mut voter = voter(2, &[]);

    assert_eq!(
        voter.receive(2, 3, request_vote(LogId::ZERO)),
        [(2, vote(3, true))]
    );
    assert_eq!(
        voter.receive(3, 3, request_vote(LogId::new(9, 9))),
        [(3, vote(3, false))]
    );
    assert_eq!(
        voter.receive(2, 3, request_vote(LogId::ZERO)),
        [(2, vote(3, true))]
    );
}

#[test]
fn a_vote_in_an_old_term_is_denied_with_the_new_term() {
    let mut voter = voter(5, &[]);

    assert_eq!(
        voter.receive(2, 4, request_vote(LogId::new(9, 9))),
        [(2, vote(4, false))]
    );
    assert_eq!(voter.term(), Term::new(5));
}

/// Thesis §4.2.3: who hears a leader does not help to replace it.
#[test]
fn a_voter_that_heard_a_leader_refuses_others_and_keeps_its_term() {
    let mut voter = voter(2, &[]);
    voter.receive(2, 2, heartbeat(1, 0));

    assert_eq!(
        voter.receive(3, 3, request_vote(LogId::new(9, 9))),
        [(3, vote(3, false))]
    );
    assert_eq!(
        voter.receive(3, 2, pre_vote(3, LogId::new(9, 9))),
        [(3, pre_vote_reply(1, 3, false))]
    );
    assert_eq!(voter.term(), Term::new(2));
}

#[test]
fn a_restarted_voter_waits_before_it_votes() {
    let mut voter = replica_of(3, 2, &[]);
    voter.now = LONG;

    assert_eq!(
        voter.receive(3, 3, request_vote(LogId::ZERO)),
        [(3, vote(3, false))]
    );
}

#[test]
fn a_pre_vote_changes_neither_term_nor_vote() {
    let mut voter = voter(2, &[]);

    assert_eq!(
        voter.receive(3, 2, pre_vote(3, LogId::ZERO)),
        [(3, pre_vote_reply(1, 3, true))]
    );
    assert_eq!(voter.raft.status().hard_state.current_term, Term::new(2));
    assert_eq!(voter.raft.status().hard_state.voted_for, None);
}

/// A long log in a low term and a short log in a high term must not ignore each other.
#[test]
fn a_pre_vote_refused_from_a_higher_term_teaches_that_term() {
    let mut candidate = replica_of(3, 2, &[1, 1, 2]);
    candidate.wait_for_election_timeout();

    candidate.receive(
        2,
        7,
        pre_vote_reply(candidate.raft.pre_vote_round, 3, false),
    );

    assert_eq!(candidate.term(), Term::new(7));
    assert_eq!(candidate.raft.status().role, RoleKind::Follower);
}

#[test]
fn no_term_is_raised_without_a_quorum_of_pre_votes() {
    let mut lonely = replica_of(5, 2, &[]);
    for _ in 0..9 {
        lonely.wait_for_election_timeout();
        lonely.receive(2, 2, pre_vote_reply(lonely.raft.pre_vote_round, 3, true));
    }

    assert_eq!(lonely.term(), Term::new(2));
}

#[test]
fn a_quorum_of_votes_makes_a_leader_that_appends_a_blank_entry() {
    let leader = leader_of(3, 3, &[1, 2]);

    assert_eq!(leader.raft.status().role, RoleKind::Leader);
    assert_eq!(leader.raft.status().last_log, LogId::new(3, 3));
}

#[test]
fn a_candidate_follows_the_leader_of_its_term() {
    let mut candidate = replica_of(3, 2, &[]);
    candidate.wait_for_election_timeout();
    candidate.receive(2, 2, pre_vote_reply(candidate.raft.pre_vote_round, 3, true));
    assert_eq!(candidate.raft.status().role, RoleKind::Candidate);

    candidate.receive(3, 3, heartbeat(1, 0));

    assert_eq!(candidate.raft.status().role, RoleKind::Follower);
    assert_eq!(candidate.raft.status().leader.map(|n| n.get()), Some(3));
}

#[test]
fn votes_of_the_same_voter_count_once() {
    let mut candidate = replica_of(5, 2, &[]);
    candidate.wait_for_election_timeout();
    for _ in 0..3 {
        candidate.receive(2, 2, pre_vote_reply(candidate.raft.pre_vote_round, 3, true));
    }

    assert_eq!(candidate.raft.status().role, RoleKind::PreCandidate);
}

#[test]
fn a_leader_that_hears_no_quorum_steps_down() {
    let mut leader = leader_of(3, 3, &[]);

    leader.wait(Duration::from_millis(500));

    assert_eq!(leader.raft.status().role, RoleKind::Follower);
    assert_eq!(leader.term(), Term::new(3));
}

#[test]
fn a_leader_steps_down_before_a_higher_term() {
    let mut leader = leader_of(3, 3, &[]);

    leader.receive(2, 4, rejected(session_of(2), 0, LogId::ZERO));

    assert_eq!(leader.raft.status().role, RoleKind::Follower);
    assert_eq!(leader.term(), Term::new(4));
}

#[test]
fn a_second_leader_in_a_term_is_not_believed() {
    let mut follower = voter(3, &[]);
    follower.receive(2, 3, append(LogId::ZERO, &[3], 0));

    assert_eq!(follower.receive(3, 3, append(LogId::ZERO, &[2, 3], 0)), []);
    assert_eq!(follower.raft.status().last_log, LogId::new(3, 1));
}

/// A group of three in which node 2 lives its second life.
fn with_second_life_of_two() -> Membership {
    let info = |n: u64| MemberInfo {
        incarnation: Incarnation::new(u64::from(n == 2)),
        ..MemberInfo::default()
    };
    Membership::of_voters((1..=3).map(|n| (NodeId::new(n), info(n))))
}

#[test]
fn messages_of_an_earlier_life_of_a_member_are_dropped() {
    let mut voter = voter(2, &[]);
    let membership = Entry {
        log_id: LogId::new(2, 1),
        payload: Payload::Membership(Box::new(with_second_life_of_two())),
    };
    voter.receive(3, 2, append_entry(LogId::ZERO, membership));
    voter.wait(Duration::from_millis(299));

    let sent = voter.receive(2, 3, request_vote(LogId::new(9, 9)));

    assert_eq!(sent, []);
    assert_eq!(voter.term(), Term::new(2));
}

#[test]
fn the_vote_of_another_life_of_a_member_does_not_count() {
    let mut candidate = replica_of(3, 2, &[1, 1]);
    candidate.wait_for_election_timeout();
    let mut reborn = ReplicaId::first(2);
    reborn.incarnation = Incarnation::new(1);

    let sent = candidate.step(Input::Message(Envelope {
        group: GroupId::default(),
        from: reborn,
        to: ReplicaId::first(1),
        term: Term::new(2),
        message: pre_vote_reply(candidate.raft.pre_vote_round, 3, true),
    }));

    assert_eq!(sent, []);
    assert_eq!(candidate.term(), Term::new(2));
}

/// Answers to an earlier attempt in the same term say nothing about this one.
#[test]
fn a_late_refusal_of_an_earlier_pre_vote_does_not_shadow_a_later_grant() {
    let mut candidate = replica_of(3, 1, &[1]);
    candidate.wait_for_election_timeout();
    let earlier = candidate.raft.pre_vote_round;
    candidate.wait_for_election_timeout();
    let later = candidate.raft.pre_vote_round;

    candidate.receive(2, 1, pre_vote_reply(earlier, 2, false));
    candidate.receive(2, 1, pre_vote_reply(later, 2, true));

    assert_eq!(candidate.raft.status().role, RoleKind::Candidate);
}

#[test]
fn a_late_grant_of_an_earlier_pre_vote_starts_no_election() {
    let mut candidate = replica_of(3, 1, &[1]);
    candidate.wait_for_election_timeout();
    let earlier = candidate.raft.pre_vote_round;
    candidate.wait_for_election_timeout();

    candidate.receive(2, 1, pre_vote_reply(earlier, 2, true));

    assert_eq!(candidate.raft.status().role, RoleKind::PreCandidate);
}
