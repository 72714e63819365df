//! Two majorities at once, and who has no say (Raft §6, Thesis §4.2.1, §4.3).

use super::reconfigure::{joint, learner, node, settled_leader};
use super::*;
use crate::entry::Payload;
use crate::membership::MemberInfo;
use crate::membership_change::MembershipChange;
use crate::protocol::RoleKind;

fn membership_entry(log_id: LogId, membership: Membership) -> Entry {
    Entry {
        log_id,
        payload: Payload::Membership(Box::new(membership)),
    }
}

/// Replica 1 with `membership` as its third entry, which is not known to be committed.
fn follower_in(membership: Membership) -> Replica {
    let mut follower = replica_of(3, 2, &[1, 1]);
    let entry = membership_entry(LogId::new(2, 3), membership);
    follower.receive(2, 2, append_entry(LogId::new(1, 2), entry));
    follower
}

impl Replica {
    fn role(&self) -> RoleKind {
        self.raft.status().role
    }

    /// Peers that hold everything but the latest entry answer a round.
    fn answer_round(&mut self, peers: impl IntoIterator<Item = u64>, round: u64) {
        for peer in peers {
            let agreed = LogId::new(2, 4);
            self.receive(peer, 2, heartbeat_reply(session_of(peer), round, agreed));
        }
    }
}

/// Not as the paper's successors do it: there is one way to change voters.
#[test]
fn a_change_of_one_voter_is_joint_too() {
    let mut single = leader_of(1, 2, &[]);
    single.change(1, learner(2));
    let last = LogId::new(2, 2);
    single.receive(2, 2, accepted(1, last, last));

    single.change(2, MembershipChange::new().promote(node(2)));
    assert_eq!(single.membership(), joint(&[1, 2], &[1], &[1, 2]));

    let last = LogId::new(2, 3);
    single.receive(2, 2, accepted(1, last, last));
    assert_eq!(single.membership(), Membership::of_ids([1, 2]));
}

/// Raft §6: entries go to all members of both configurations.
#[test]
fn while_joint_entries_go_to_the_members_of_both_halves() {
    let mut leader = settled_leader();
    leader.change(1, learner(4));
    leader.agree([2, 3, 4], LogId::new(2, 4));

    let change = MembershipChange::new().promote(node(4)).remove(node(3));
    let sent = leader.change(2, change);

    for peer in [2, 3, 4] {
        assert_eq!(appends_to(peer, &sent), [(LogId::new(2, 4), 1)]);
    }
}

/// Raft §6: elections need a majority of each half.
#[test]
fn while_joint_an_election_needs_both_majorities() {
    let mut replica = follower_in(joint(&[1, 4, 5], &[1, 2, 3], &[1, 2, 3, 4, 5]));
    let asked: Vec<_> = replica.wait_for_election_timeout();
    let asked: Vec<_> = asked.iter().map(|(to, _)| *to).collect();
    assert_eq!(asked, [2, 3, 4, 5]);

    replica.receive(2, 2, pre_vote_reply(replica.raft.pre_vote_round, 3, true));
    replica.receive(3, 2, pre_vote_reply(replica.raft.pre_vote_round, 3, true));
    assert_eq!(replica.role(), RoleKind::PreCandidate);
    replica.receive(4, 2, pre_vote_reply(replica.raft.pre_vote_round, 3, true));
    assert_eq!(replica.role(), RoleKind::Candidate);

    replica.receive(4, 3, vote(3, true));
    replica.receive(5, 3, vote(3, true));
    assert_eq!(replica.role(), RoleKind::Candidate);
    replica.receive(2, 3, vote(3, true));
    assert_eq!(replica.role(), RoleKind::Leader);
}

/// Raft §6: a server of either configuration may lead. One of the outgoing half
/// alone brings the change to its end and goes.
#[test]
fn a_voter_of_the_outgoing_half_may_lead_and_ends_the_change() {
    let mut replica = follower_in(joint(&[2, 4], &[1, 2, 3], &[1, 2, 3, 4]));
    replica.win_election(4);
    assert_eq!(replica.role(), RoleKind::Leader);

    replica.agree([2, 4], LogId::new(3, 4));
    assert!(!replica.membership().is_joint());
    replica.agree([2, 4], LogId::new(3, 5));

    assert_eq!(replica.commit_index(), 5);
    assert_eq!(replica.role(), RoleKind::Follower);
}

/// Thesis §4.2.1.
#[test]
fn a_learner_does_not_campaign() {
    let members = (1..=3).map(|n| (node(n), MemberInfo::default()));
    let voters = [2, 3].map(node).into_iter().collect();
    let demoted = Membership::from_parts(members.collect(), voters, None).unwrap();
    let mut learner = follower_in(demoted);
    learner.receive(2, 2, heartbeat(1, 3));
    assert_eq!(learner.commit_index(), 3);

    assert_eq!(learner.wait_for_election_timeout(), []);
    assert_eq!(learner.role(), RoleKind::Follower);
}

#[test]
fn the_vote_of_a_learner_does_not_count() {
    let members = (1..=4).map(|n| (node(n), MemberInfo::default()));
    let voters = [1, 2, 3].map(node).into_iter().collect();
    let with_learner = Membership::from_parts(members.collect(), voters, None).unwrap();
    let mut replica = follower_in(with_learner);

    let sent = replica.wait_for_election_timeout();
    assert!(sent.iter().all(|(to, _)| *to != 4), "{sent:?}");
    replica.receive(4, 2, pre_vote_reply(replica.raft.pre_vote_round, 3, true));

    assert_eq!(replica.role(), RoleKind::PreCandidate);
}

/// A leader between the voters 1, 2, 3 and the voters 1, 4.
fn leader_between_halves() -> Replica {
    let mut leader = settled_leader();
    leader.read_back();
    leader.change(1, learner(4));
    leader.agree([2, 3, 4], LogId::new(2, 4));
    let change = MembershipChange::new().promote(node(4));
    leader.change(2, change.remove(node(2)).remove(node(3)));
    assert!(leader.membership().is_joint());
    leader
}

/// Raft §6: so does a commit.
#[test]
fn while_joint_a_commit_needs_both_majorities() {
    for (one_half, other_half) in [(&[2, 3][..], 4), (&[4], 2)] {
        let mut leader = leader_between_halves();

        leader.agree(one_half.iter().copied(), LogId::new(2, 5));
        assert_eq!(leader.commit_index(), 4, "{one_half:?} alone");
        leader.agree([other_half], LogId::new(2, 5));

        assert_eq!(leader.commit_index(), 5);
    }
}

/// Thesis §6.4: and a round that confirms reads.
#[test]
fn while_joint_a_read_needs_both_majorities() {
    for (one_half, other_half) in [(&[2, 3][..], 4), (&[4], 2)] {
        let mut leader = leader_between_halves();
        leader.answer_round([2, 3, 4], 1);
        leader.read(7);

        leader.answer_round(one_half.iter().copied(), 2);
        assert_eq!(leader.reads, [], "{one_half:?} alone");
        leader.answer_round([other_half], 2);

        assert_eq!(leader.reads, [(7, Ok(LogIndex::new(4)))]);
    }
}
