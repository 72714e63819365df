//! A node whose vote is lost is another replica until its group readmits it.

use super::*;
use crate::error::ChangeMembershipError;
use crate::membership_change::MembershipChange;
use crate::protocol::{Event, RoleKind};
use crate::types::{Incarnation, NodeId};

const THREE: NodeId = NodeId::new(3);

fn life(node: u64, number: u64) -> ReplicaId {
    ReplicaId {
        node: NodeId::new(node),
        incarnation: Incarnation::new(number),
    }
}

fn envelope(from: ReplicaId, to: ReplicaId, term: u64, message: Message) -> Input {
    Input::Message(Envelope {
        group: GroupId::default(),
        from,
        to,
        term: Term::new(term),
        message,
    })
}

/// Node 1 of three in its second life, with a log of two entries of term 2.
fn second_life() -> Replica {
    let mut restored = Restored::new_group(Membership::of_ids(1..=3));
    restored.hard_state.current_term = Term::new(2);
    restored.entries = [1, 2]
        .map(|index| EntryMeta {
            log_id: LogId::new(2, index),
            kind: EntryKind::Blank,
        })
        .to_vec();
    replica_with_config(Config::new(life(1, 1), 7), restored)
}

fn empty_reply() -> Message {
    heartbeat_reply(0, 0, LogId::ZERO)
}

/// Node 1 leads three in term 2; node 3 answers in its second life.
fn leader_that_hears_a_later_life() -> Replica {
    let mut leader = leader_of(3, 2, &[]);
    let last = leader.raft.status().last_log;
    leader.receive(2, 2, accepted(session_of(2), last, last));
    leader.step(envelope(life(3, 1), life(1, 0), 1, empty_reply()));
    leader
}

/// What node 2, which holds the whole log, and nobody else says to that.
fn commit_by_two(leader: &mut Replica) {
    for _ in 0..3 {
        let last = leader.raft.status().last_log;
        leader.receive(2, 2, accepted(session_of(2), last, last));
    }
}

fn change(leader: &mut Replica, ticket: u64, change: MembershipChange) {
    let ticket = Ticket(ticket);
    leader.step(Input::ChangeMembership { ticket, change });
    commit_by_two(leader);
}

fn refusals(replica: &Replica) -> Vec<ChangeMembershipError> {
    let outputs = replica.others.iter();
    let ended = outputs.filter_map(|output| match output {
        Output::MembershipChanged { result, .. } => result.clone().err(),
        _ => None,
    });
    ended.collect()
}

#[test]
fn a_later_life_says_at_start_that_it_waits_to_be_readmitted() {
    let mut replica = second_life();

    replica.step(Input::Tick);

    let earlier = life(1, 0);
    let said = Output::Event(Event::AwaitsReadmission { earlier });
    let found = replica.others.iter();
    assert!(
        found
            .map(|o| format!("{o:?}"))
            .any(|o| o == format!("{said:?}"))
    );
    assert!(replica.raft.status().awaits_readmission());
}

#[test]
fn only_an_earlier_life_than_the_members_has_left() {
    let mut membership = Membership::of_ids(1..=3);
    assert!(!membership.has_left(life(3, 1)), "it may be readmitted");
    let change = MembershipChange::new().demote(THREE);
    membership = change.target(&membership, |_| None).unwrap();
    let readmission = MembershipChange::new().readmit(THREE);
    let latest = |_| Some(Incarnation::new(1));
    membership = readmission.target(&membership, latest).unwrap();

    let has_left = [0, 1, 2].map(|number| membership.has_left(life(3, number)));

    assert_eq!(has_left, [true, false, false]);
}

#[test]
fn a_later_life_that_no_membership_names_never_campaigns() {
    let mut replica = second_life();

    for _ in 0..20 {
        assert!(replica.wait_for_election_timeout().is_empty());
    }

    assert_eq!(replica.raft.status().role, RoleKind::Follower);
    assert_eq!(replica.term(), Term::new(2));
}

#[test]
fn requests_to_the_earlier_life_get_neither_votes_nor_acknowledgements() {
    let mut replica = second_life();
    replica.wait(Duration::from_secs(10));
    let last = LogId::new(9, 9);
    for message in [
        pre_vote(9, last),
        request_vote(last),
        append(LogId::new(2, 2), &[3], 3),
        Message::TimeoutNow(crate::message::TimeoutNow { round: 1 }),
    ] {
        let sent = replica.step(envelope(life(2, 0), life(1, 0), 8, message));
        assert!(sent.is_empty(), "{sent:?}");
    }
    assert_eq!(replica.term(), Term::new(2));
    assert_eq!(replica.raft.status().last_log, LogId::new(2, 2));
}

#[test]
fn a_heartbeat_to_the_earlier_life_is_answered_with_nothing_acknowledged() {
    let mut replica = second_life();

    let sent = replica.step(envelope(life(2, 0), life(1, 0), 8, heartbeat(5, 2)));

    assert_eq!(sent, [(2, empty_reply())]);
    assert_eq!(replica.commit_index(), 0);
    assert_eq!(replica.raft.status().leader, None);
}

#[test]
fn a_leader_shows_in_which_life_a_node_answers() {
    let leader = leader_that_hears_a_later_life();

    let followers = leader.raft.status().followers;

    let lives: Vec<_> = followers.iter().map(|f| f.latest_life).collect();
    assert_eq!(lives, [None, Some(Incarnation::new(1))]);
    let three = followers[1];
    assert_eq!(three.match_index, LogIndex::ZERO);
}

#[test]
fn a_replica_without_a_vote_deposes_no_leader() {
    let mut leader = leader_that_hears_a_later_life();

    leader.step(envelope(life(3, 1), life(1, 0), 77, empty_reply()));

    assert_eq!(leader.raft.status().role, RoleKind::Leader);
    assert_eq!(leader.term(), Term::new(2));
}

#[test]
fn an_old_life_leaves_the_quorum_before_the_later_one_is_a_member() {
    let mut leader = leader_that_hears_a_later_life();

    change(&mut leader, 1, MembershipChange::new().readmit(THREE));
    assert_eq!(
        refusals(&leader),
        [ChangeMembershipError::StillVotes { node: THREE }]
    );
    change(&mut leader, 2, MembershipChange::new().demote(THREE));
    change(&mut leader, 3, MembershipChange::new().readmit(THREE));

    let status = leader.raft.status();
    assert_eq!(status.membership.replica(THREE), Some(life(3, 1)));
    assert!(!status.membership.is_voter(THREE) && !status.membership.is_joint());
    assert!(status.membership_index <= status.commit_index);
    assert_eq!(refusals(&leader).len(), 1);
}

#[test]
fn the_later_life_is_replicated_to_in_a_session_of_its_own() {
    let mut leader = leader_that_hears_a_later_life();
    change(&mut leader, 1, MembershipChange::new().demote(THREE));
    let before = leader.raft.status().last_log;
    change(&mut leader, 2, MembershipChange::new().readmit(THREE));

    // The earlier life's words, late; and the later one's, in the earlier session.
    leader.receive(3, 2, accepted(session_of(3), before, before));
    let reply = accepted(session_of(3), before, before);
    leader.step(envelope(life(3, 1), life(1, 0), 2, reply));

    let three = leader.raft.status().followers[1];
    assert_eq!(three.replica, life(3, 1));
    assert_eq!(
        (three.match_index, three.latest_life),
        (LogIndex::ZERO, None)
    );
}

#[test]
fn a_readmitted_life_votes_once_it_has_caught_up() {
    let mut leader = leader_that_hears_a_later_life();
    change(&mut leader, 1, MembershipChange::new().demote(THREE));
    change(&mut leader, 2, MembershipChange::new().readmit(THREE));
    let last = leader.raft.status().last_log;
    // The third session that this leader began.
    leader.step(envelope(life(3, 1), life(1, 0), 2, accepted(3, last, last)));

    change(&mut leader, 3, MembershipChange::new().promote(THREE));
    let last = leader.raft.status().last_log;
    leader.step(envelope(life(3, 1), life(1, 0), 2, accepted(3, last, last)));

    assert!(leader.raft.status().membership.votes(life(3, 1)));
    leader.propose(9);
    let last = leader.raft.status().last_log;
    leader.step(envelope(life(3, 1), life(1, 0), 2, accepted(3, last, last)));
    assert_eq!(leader.commit_index(), last.index.get());
}

#[test]
fn a_node_that_lives_on_is_not_readmitted() {
    let mut leader = leader_that_hears_a_later_life();

    change(
        &mut leader,
        1,
        MembershipChange::new().readmit(NodeId::new(2)),
    );

    let node = NodeId::new(2);
    assert_eq!(
        refusals(&leader),
        [ChangeMembershipError::SameLife { node }]
    );
}

#[test]
fn votes_of_another_life_than_the_members_do_not_count() {
    let mut candidate = replica_of(3, 1, &[]);
    candidate.wait_for_election_timeout();
    candidate.receive(2, 1, pre_vote_reply(candidate.raft.pre_vote_round, 2, true));
    assert_eq!(candidate.raft.status().role, RoleKind::Candidate);

    candidate.step(envelope(life(3, 1), life(1, 0), 2, vote(2, true)));
    assert_eq!(candidate.raft.status().role, RoleKind::Candidate);
    candidate.receive(2, 2, vote(2, true));

    assert_eq!(candidate.raft.status().role, RoleKind::Leader);
}
