//! Membership changes: joint consensus, what is refused, who leads through them
//! (Raft §6, Thesis §4).

use super::*;
use crate::error::ChangeMembershipError;
use crate::membership::MemberInfo;
use crate::membership_change::MembershipChange;
use crate::message::{ChangeMembership, ChangeMembershipReply, Propose, ProposeRefused};
use crate::protocol::{Event, RoleKind, StepDownReason};
use crate::types::{Incarnation, NodeId};

pub(super) fn node(number: u64) -> NodeId {
    NodeId::new(number)
}

pub(super) fn learner(number: u64) -> MembershipChange {
    MembershipChange::new().add_learner(node(number), MemberInfo::default())
}

/// A leader of term 2 in a group of three that has committed its first entry.
pub(super) fn settled_leader() -> Replica {
    let mut leader = leader_of(3, 2, &[1, 1]);
    leader.agree([2, 3], LogId::new(2, 3));
    assert_eq!(leader.commit_index(), 3);
    leader
}

pub(super) fn joint(voters: &[u64], outgoing: &[u64], members: &[u64]) -> Membership {
    let ids = |numbers: &[u64]| numbers.iter().copied().map(node).collect();
    let members = members.iter().map(|&n| (node(n), MemberInfo::default()));
    Membership::from_parts(members.collect(), ids(voters), Some(ids(outgoing))).unwrap()
}

impl Replica {
    /// Peers acknowledge everything up to `last`, durably, in their sessions.
    pub(super) fn agree(&mut self, peers: impl IntoIterator<Item = u64>, last: LogId) {
        for peer in peers {
            let term = self.term().get();
            self.receive(peer, term, accepted(session_of(peer), last, last));
        }
    }

    pub(super) fn change(&mut self, ticket: u64, change: MembershipChange) -> Vec<(u64, Message)> {
        let ticket = Ticket(ticket);
        self.step(Input::ChangeMembership { ticket, change })
    }

    fn refusal(&self) -> Option<ChangeMembershipError> {
        self.others.iter().rev().find_map(|output| match output {
            Output::MembershipChanged { result, .. } => result.clone().err(),
            _ => None,
        })
    }

    fn changed(&self) -> Vec<u64> {
        let done = |output: &Output| match output {
            Output::MembershipChanged {
                ticket,
                result: Ok(_),
            } => Some(ticket.0),
            _ => None,
        };
        self.others.iter().filter_map(done).collect()
    }

    pub(super) fn membership(&self) -> Membership {
        self.raft.status().membership.as_ref().clone()
    }
}

#[test]
fn a_learner_is_added_at_once_and_counts_for_nothing() {
    let mut leader = settled_leader();

    leader.change(1, learner(4));
    assert_eq!(
        leader.membership().learners().collect::<Vec<_>>(),
        [node(4)]
    );

    leader.receive(4, 2, accepted(3, LogId::new(2, 4), LogId::new(2, 4)));
    assert_eq!(leader.commit_index(), 3);
    leader.agree([2], LogId::new(2, 4));
    assert_eq!(leader.commit_index(), 4);
    assert_eq!(leader.changed(), [1]);
}

#[test]
fn voters_change_through_a_joint_configuration_that_needs_both_majorities() {
    let mut leader = settled_leader();
    leader.change(1, learner(4));
    leader.agree([2], LogId::new(2, 4));
    leader.receive(4, 2, accepted(3, LogId::new(2, 4), LogId::new(2, 4)));

    leader.change(2, MembershipChange::new().promote(node(4)).remove(node(3)));

    let both = joint(&[1, 2, 4], &[1, 2, 3], &[1, 2, 3, 4]);
    assert_eq!(leader.membership().voters(), both.voters());
    assert_eq!(leader.membership().outgoing(), both.outgoing());
    // The leader and 3 are a majority of the old voters alone.
    leader.agree([3], LogId::new(2, 5));
    assert_eq!(leader.commit_index(), 4);
    leader.agree([2], LogId::new(2, 5));
    assert_eq!(leader.commit_index(), 5);
    // The leader has left the joint configuration by itself.
    assert_eq!(leader.membership(), Membership::of_ids([1, 2, 4]));
    leader.agree([2], LogId::new(2, 6));
    assert_eq!(leader.changed(), [1, 2]);
}

#[test]
fn a_second_change_waits_until_the_first_is_done() {
    let mut leader = settled_leader();
    leader.change(1, learner(4));

    leader.change(2, learner(5));

    let index = LogIndex::new(4);
    assert_eq!(
        leader.refusal(),
        Some(ChangeMembershipError::InProgress { index })
    );
}

/// The bug of the single-server change as first published: a leader that has
/// committed nothing in its term may not know of an older leader's change.
#[test]
fn no_change_begins_before_the_first_commit_of_the_term() {
    let mut leader = leader_of(3, 2, &[1, 1]);

    leader.change(1, learner(4));

    assert_eq!(
        leader.refusal(),
        Some(ChangeMembershipError::LeaderNotReady)
    );
    assert_eq!(leader.membership(), Membership::of_ids(1..=3));
}

#[test]
fn a_learner_is_promoted_only_when_it_has_caught_up() {
    let mut leader = settled_leader();
    leader.change(1, learner(4));
    leader.agree([2], LogId::new(2, 4));
    for ticket in 0..2000 {
        leader.propose(ticket);
    }

    leader.change(2, MembershipChange::new().promote(node(4)));

    let refusal = ChangeMembershipError::NotCaughtUp {
        node: node(4),
        behind: 2004,
        allowed: 1000,
    };
    assert_eq!(leader.refusal(), Some(refusal));
}

#[test]
fn a_change_that_would_leave_too_few_voters_alive_is_refused() {
    let mut leader = leader_of(3, 2, &[1, 1]);
    leader.agree([2], LogId::new(2, 3));

    // Node 3 has not answered since the election, so 1 and 3 could not go on without 2.
    leader.wait(Duration::from_millis(299));
    leader.change(1, MembershipChange::new().remove(node(2)));

    let refusal = ChangeMembershipError::QuorumUnavailable {
        active: 1,
        voters: 2,
    };
    assert_eq!(leader.refusal(), Some(refusal));
}

#[test]
fn a_leader_that_is_removed_leads_until_that_is_committed_and_hands_over() {
    let mut leader = settled_leader();
    leader.change(1, MembershipChange::new().remove(node(1)));
    leader.agree([2, 3], LogId::new(2, 4));
    assert_eq!(leader.membership(), Membership::of_ids([2, 3]));
    assert_eq!(leader.raft.status().role, RoleKind::Leader);

    // Its own copy does not count any more: both others must have the entry.
    leader.agree([2], LogId::new(2, 5));
    assert_eq!(leader.raft.status().role, RoleKind::Leader);
    let sent = leader.receive(3, 2, accepted(2, LogId::new(2, 5), LogId::new(2, 5)));

    assert_eq!(leader.raft.status().role, RoleKind::Follower);
    assert!(
        sent.iter()
            .any(|(_, m)| matches!(m, Message::TimeoutNow(_)))
    );
    assert!(leader.others.iter().any(|output| matches!(
        output,
        Output::Event(Event::SteppedDown {
            reason: StepDownReason::Removed,
            ..
        })
    )));
    assert_eq!(leader.changed(), [1]);
}

/// It may not run at all, and as a voter it would count.
#[test]
fn a_learner_that_has_never_answered_is_not_promoted_however_little_it_lacks() {
    let mut leader = settled_leader();
    leader.change(1, learner(4));
    leader.agree([2, 3], LogId::new(2, 4));

    leader.change(2, MembershipChange::new().promote(node(4)));

    let refusal = ChangeMembershipError::NotAnswering { node: node(4) };
    assert_eq!(leader.refusal(), Some(refusal));
}

/// It is in no log, and the next leader does not take it from a stranger.
#[test]
fn what_waits_while_the_leader_removes_itself_is_refused_for_certain() {
    let mut leader = settled_leader();
    leader.change(1, MembershipChange::new().remove(node(1)));
    leader.agree([2, 3], LogId::new(2, 4));

    leader.propose(7);
    assert_eq!(leader.failed, []);
    leader.agree([2, 3], LogId::new(2, 5));
    leader.propose(8);

    let refused = ProposeError::NotLeader { leader: None };
    assert_eq!(leader.failed, [(7, refused.clone()), (8, refused)]);
}

/// It would not learn what became of it.
#[test]
fn what_a_removed_follower_forwards_is_refused() {
    let mut leader = settled_leader();
    leader.change(1, MembershipChange::new().remove(node(3)));
    leader.agree([2, 3], LogId::new(2, 4));
    assert!(leader.membership().has_left(ReplicaId::first(3)));
    let forwarded = |sequence| Propose {
        boot: 33,
        commands: vec![(sequence, Bytes::from_static(b"command"))],
    };

    let sent = leader.receive(3, 2, Message::Propose(forwarded(1)));

    let refusal = ProposeRefused {
        boot: 33,
        sequences: vec![1],
        reason: crate::message::Refusal::Overloaded,
    };
    assert!(sent.contains(&(3, Message::ProposeRefused(refusal))));
}

/// Memberships that a newcomer catches up with do not name it yet.
#[test]
fn a_node_that_is_not_added_yet_has_not_left() {
    let members = Membership::of_ids([1, 2, 5]);

    let former = [1, 3, 6].map(|number| members.has_left(ReplicaId::first(number)));

    assert_eq!(former, [false, true, false]);
}

#[test]
fn a_new_leader_leaves_the_joint_configuration_that_another_began() {
    let mut follower = replica_of(3, 2, &[1, 1]);
    let entry = Entry {
        log_id: LogId::new(2, 3),
        payload: crate::entry::Payload::Membership(Box::new(joint(
            &[1, 2],
            &[1, 2, 3],
            &[1, 2, 3],
        ))),
    };
    follower.receive(2, 2, append_entry(LogId::new(1, 2), entry));
    assert!(follower.membership().is_joint());

    follower.win_election(3);
    follower.agree([2, 3], LogId::new(3, 4));

    assert_eq!(follower.membership().outgoing(), None);
    assert_eq!(follower.membership().voters().len(), 2);
}

#[test]
fn a_truncated_membership_gives_way_to_the_one_before() {
    let mut follower = replica_of(3, 2, &[1, 1]);
    let entry = Entry {
        log_id: LogId::new(2, 3),
        payload: crate::entry::Payload::Membership(Box::new(Membership::of_ids(1..=4))),
    };
    follower.receive(2, 2, append_entry(LogId::new(1, 2), entry));
    assert_eq!(follower.membership(), Membership::of_ids(1..=4));

    follower.receive(3, 3, append(LogId::new(1, 2), &[3], 0));

    assert_eq!(follower.membership(), Membership::of_ids(1..=3));
}

/// Thesis §4.2.2. Else nobody could win if the entry that ends a joint
/// configuration has reached only voters that it removes.
#[test]
fn a_voter_on_its_way_out_campaigns_until_its_removal_is_committed() {
    let mut outgoing = replica_of(3, 2, &[1, 1]);
    let without_us = Entry {
        log_id: LogId::new(2, 3),
        payload: crate::entry::Payload::Membership(Box::new(Membership::of_ids([2]))),
    };
    outgoing.receive(3, 2, append_entry(LogId::new(1, 2), without_us));

    let sent = outgoing.wait_for_election_timeout();
    let round = outgoing.raft.pre_vote_round;
    assert_eq!(sent, [(2, pre_vote_in(round, 3, LogId::new(2, 3)))]);

    outgoing.receive(3, 2, heartbeat(1, 3));
    outgoing.receive(3, 2, append(LogId::new(2, 3), &[], 3));
    assert_eq!(outgoing.commit_index(), 3);
    assert_eq!(outgoing.wait_for_election_timeout(), []);
}

#[test]
fn a_follower_asks_the_leader_and_learns_the_outcome_from_its_log() {
    let mut follower = replica_of(3, 2, &[1, 1]);
    follower.receive(2, 2, append(LogId::new(1, 2), &[2], 3));

    let sent = follower.change(9, learner(4));
    let request = follower.request(9);
    let change = learner(4);
    let asked = Message::ChangeMembership(ChangeMembership { request, change });
    assert_eq!(sent, [(2, asked)]);
    let result = Ok(LogId::new(2, 4));
    let reply = Message::ChangeMembershipReply(ChangeMembershipReply { request, result });
    follower.receive(2, 2, reply);
    assert_eq!(follower.changed(), []);

    let mut members = Membership::of_ids(1..=3).members().clone();
    members.insert(node(4), MemberInfo::default());
    let voters = [1, 2, 3].map(node).into_iter().collect();
    let with_learner = Membership::from_parts(members, voters, None).unwrap();
    let entry = Entry {
        log_id: LogId::new(2, 4),
        payload: crate::entry::Payload::Membership(Box::new(with_learner)),
    };
    follower.receive(2, 2, append_entry(LogId::new(2, 3), entry));
    follower.receive(2, 2, heartbeat(1, 4));

    assert_eq!(follower.changed(), [9]);
}

#[test]
fn a_copy_of_a_forwarded_change_is_not_answered() {
    let mut leader = settled_leader();
    let request = RequestId {
        boot: 77,
        sequence: 1,
    };
    let change = learner(4);
    let asked = Message::ChangeMembership(ChangeMembership { request, change });

    let first = leader.receive(2, 2, asked.clone());
    let second = leader.receive(2, 2, asked);

    let is_reply = |(_, m): &(u64, Message)| matches!(m, Message::ChangeMembershipReply(_));
    assert!(first.iter().any(is_reply) && !second.iter().any(is_reply));
}

/// A node that joins anew reads of memberships that are long past.
#[test]
fn a_later_life_of_a_member_that_an_old_membership_names_is_listened_to() {
    let mut newcomer = replica_of(3, 2, &[1, 1]);
    let later = ReplicaId {
        node: node(2),
        incarnation: Incarnation::new(1),
    };

    let sent = newcomer.step(Input::Message(Envelope {
        group: GroupId::default(),
        from: later,
        to: ReplicaId::first(1),
        term: Term::new(3),
        message: heartbeat(1, 0),
    }));

    assert!(matches!(sent[..], [(2, Message::HeartbeatReply(_))]));
    assert_eq!(newcomer.raft.status().leader, Some(node(2)));
}
