//! What a replica concludes from what its peers say, against the definition of a
//! quorum: elections, commit, read rounds, the lease and check-quorum. In groups
//! of up to six, even ones, with learners, and amid a change of the voters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::membership::MemberInfo;
use crate::membership_change::MembershipChange;
use crate::protocol::RoleKind;
use crate::protocol::quorum::{VoteResult, oracle};
use crate::types::NodeId;

/// Members of every group here; who of them votes differs.
const MEMBERS: u64 = 6;

const PEERS: std::ops::RangeInclusive<u64> = 2..=MEMBERS;

fn nodes(mask: u8) -> BTreeSet<NodeId> {
    let bits = (0..MEMBERS).filter(|bit| mask >> bit & 1 == 1);
    bits.map(|bit| NodeId::new(bit + 1)).collect()
}

fn membership(voters: u8, outgoing: Option<u8>) -> Membership {
    let members: BTreeMap<_, _> = (1..=MEMBERS)
        .map(|id| (NodeId::new(id), MemberInfo::default()))
        .collect();
    Membership::from_parts(members, nodes(voters), outgoing.map(nodes)).unwrap()
}

/// Masks of voters among the members, with replica 1 or perhaps without it.
fn with_us() -> impl Strategy<Value = u8> {
    (0_u8..32).prop_map(|others| others << 1 | 1)
}

fn anybody() -> impl Strategy<Value = u8> {
    1_u8..64
}

/// Replica 1 of such a group, with a log of six entries of term 1.
fn member_of(membership: Membership) -> Replica {
    let mut replica = replica_of(3, 1, &[1; 6]);
    let mut restored = Restored::new_group(membership);
    restored.hard_state.current_term = Term::new(1);
    let blank = |index| EntryMeta {
        log_id: LogId::new(1, index),
        kind: EntryKind::Blank,
    };
    restored.entries = (1..=6).map(blank).collect();
    let config = replica.raft.config().clone();
    replica.raft = Raft::restore(config, restored, Timestamp::ZERO).unwrap();
    replica
}

/// A leader whose peers all hold its first entry, 2/7, and answered its latest
/// round just now; amid a change to `target` if there is one. Answers that round.
fn leader_amid(voters: u8, target: Option<u8>) -> (Replica, u64) {
    let mut leader = member_of(membership(voters, None));
    leader.win_election(MEMBERS);
    let first = LogId::new(2, 7);
    for peer in PEERS {
        leader.receive(peer, 2, accepted(session_of(peer), first, first));
    }
    leader.read_back();
    assert_eq!(leader.commit_index(), 7);
    if let Some(target) = target.filter(|&target| target != voters) {
        let (before, after) = (nodes(voters), nodes(target));
        let change = MembershipChange::new();
        let change = after.difference(&before).fold(change, |c, &n| c.promote(n));
        let change = before.difference(&after).fold(change, |c, &n| c.demote(n));
        leader.step(Input::ChangeMembership {
            ticket: Ticket(100),
            change,
        });
        assert!(leader.raft.status().membership.is_joint());
    }
    let round = latest_round(&leader.wait(Duration::from_millis(50))).unwrap();
    for peer in PEERS {
        leader.receive(peer, 2, heartbeat_reply(session_of(peer), round, first));
    }
    (leader, round)
}

fn latest_round(sent: &[(u64, Message)]) -> Option<u64> {
    let rounds = sent.iter().filter_map(|(_, message)| match message {
        Message::Heartbeat(body) => Some(body.round),
        _ => None,
    });
    rounds.max()
}

impl Replica {
    fn group_in_force(&self) -> Arc<Membership> {
        self.raft.status().membership
    }

    fn kind(&self) -> RoleKind {
        self.raft.status().role
    }

    fn at(&self) -> Timestamp {
        Timestamp::after_start(self.now)
    }
}

/// What the peers said; replica 1 itself stands at `own`.
fn with_own<T: Copy>(own: T, peers: &BTreeMap<u64, T>, missing: T) -> impl Fn(NodeId) -> T {
    move |node| match node.get() {
        1 => own,
        peer => peers.get(&peer).copied().unwrap_or(missing),
    }
}

/// Answers of peers, some of them twice.
fn answers() -> impl Strategy<Value = Vec<(u64, bool)>> {
    prop::collection::vec((PEERS, any::<bool>()), 0..10)
}

proptest! {
    #[test]
    fn a_pre_vote_ends_exactly_when_a_quorum_has_decided(
        voters in with_us(), outgoing in prop::option::of(anybody()), answers in answers(),
    ) {
        let group = membership(voters, outgoing);
        let mut replica = member_of(group.clone());
        replica.wait_for_election_timeout();
        let round = replica.raft.pre_vote_round;
        let mut said = BTreeMap::new();
        for (peer, granted) in answers {
            let result = oracle::vote_result(&group, with_own(Some(true), &said, None));
            let role = match result {
                VoteResult::Pending => RoleKind::PreCandidate,
                VoteResult::Lost => RoleKind::Follower,
                VoteResult::Won => break,
            };
            prop_assert_eq!(replica.kind(), role);
            said.entry(peer).or_insert(Some(granted));
            replica.receive(peer, 1, pre_vote_reply(round, 2, granted));
        }
        let result = oracle::vote_result(&group, with_own(Some(true), &said, None));
        prop_assert_eq!(result == VoteResult::Won, replica.term() > Term::new(1));
    }

    #[test]
    fn an_election_ends_exactly_when_a_quorum_has_decided(
        voters in with_us(), outgoing in prop::option::of(anybody()), answers in answers(),
    ) {
        let group = membership(voters, outgoing);
        let mut replica = member_of(group.clone());
        replica.wait_for_election_timeout();
        let round = replica.raft.pre_vote_round;
        for peer in PEERS {
            replica.receive(peer, 1, pre_vote_reply(round, 2, true));
        }
        let mut said = BTreeMap::new();
        let answers = answers.into_iter().map(Some).chain([None]);
        for answer in answers {
            let role = match oracle::vote_result(&group, with_own(Some(true), &said, None)) {
                VoteResult::Pending => RoleKind::Candidate,
                VoteResult::Lost => RoleKind::Follower,
                VoteResult::Won => RoleKind::Leader,
            };
            prop_assert_eq!(replica.kind(), role);
            let Some((peer, granted)) = answer.filter(|_| role == RoleKind::Candidate) else {
                break;
            };
            said.entry(peer).or_insert(Some(granted));
            replica.receive(peer, 2, vote(2, granted));
        }
    }

    #[test]
    fn a_leader_commits_exactly_what_a_quorum_holds_durably(
        voters in with_us(), target in prop::option::of(anybody()), own_disk_is_slow: bool,
        acks in prop::collection::vec((PEERS, 7_u64..=12, 0_u64..=5), 0..12),
    ) {
        let (mut leader, _) = leader_amid(voters, target);
        let group = leader.group_in_force();
        leader.disk_is_instant = !own_disk_is_slow;
        (1..=4).for_each(|ticket| drop(leader.propose(ticket)));
        let status = leader.raft.status();
        let own = status.durable_index;
        let mut held: BTreeMap<_, _> = PEERS.map(|peer| (peer, LogIndex::new(7))).collect();
        for (peer, received, undurable) in acks {
            let received = LogIndex::new(received).min(status.last_log.index);
            let durable = LogIndex::new(received.get() - undurable);
            let id = |index| LogId { term: leader.raft.term_at(index).unwrap(), index };
            let ack = accepted(session_of(peer), id(received), id(durable));
            let known = held.entry(peer).or_default();
            *known = durable.max(*known);
            let expected = oracle::reached(&group, with_own(own, &held, LogIndex::ZERO)).unwrap();

            leader.receive(peer, 2, ack);

            if leader.group_in_force() != group {
                // It left the joint configuration, which had to be committed for that.
                prop_assert!(group.is_joint() && expected >= LogIndex::new(8));
                return Ok(());
            }
            prop_assert_eq!(leader.raft.status().commit_index, expected);
        }
    }

    #[test]
    fn a_read_is_served_exactly_when_a_quorum_has_answered_its_round(
        voters in with_us(), target in prop::option::of(anybody()),
        answers in prop::collection::vec((PEERS, any::<bool>()), 0..12),
    ) {
        let (mut leader, before) = leader_amid(voters, target);
        let group = leader.group_in_force();
        let round = latest_round(&leader.read(1)).unwrap_or(before);
        prop_assert_eq!(round, before + 1);
        let mut answered: BTreeMap<_, _> = PEERS.map(|peer| (peer, before)).collect();
        for answer in answers.into_iter().map(Some).chain([None]) {
            let reached = oracle::reached(&group, with_own(round, &answered, 0));
            prop_assert_eq!(leader.reads.len(), usize::from(reached == Some(round)));
            let Some((peer, is_late)) = answer else { break };
            let said = if is_late { before } else { round };
            let known = answered.entry(peer).or_default();
            *known = said.max(*known);
            leader.receive(peer, 2, heartbeat_reply(session_of(peer), said, LogId::new(2, 7)));
        }
    }

    #[test]
    fn a_lease_lasts_from_when_the_rounds_began_that_a_quorum_answered(
        voters in with_us(), target in prop::option::of(anybody()),
        steps in prop::collection::vec((0_u64..120, PEERS, 0_usize..4), 1..20),
    ) {
        let (mut leader, first) = leader_amid(voters, target);
        let group = leader.group_in_force();
        let lasts = leader.raft.config().lease_duration();
        let mut rounds = vec![(first, leader.at())];
        let mut answered: BTreeMap<_, _> = PEERS.map(|peer| (peer, leader.at())).collect();
        for (millis, peer, back) in steps {
            let sent = leader.wait(Duration::from_millis(millis));
            if leader.kind() != RoleKind::Leader {
                return Ok(());
            }
            rounds.extend(latest_round(&sent).map(|round| (round, leader.at())));
            let (round, began) = rounds[rounds.len().saturating_sub(back + 1)];
            // Older rounds are forgotten: no lease lasts that long.
            if leader.at().since(began) <= Duration::from_millis(500) {
                let known = answered.entry(peer).or_default();
                *known = began.max(*known);
                let held = LogId::new(2, 7);
                leader.receive(peer, 2, heartbeat_reply(session_of(peer), round, held));
            }
            let own = leader.at();
            let start = oracle::reached(&group, with_own(own, &answered, Timestamp::ZERO));

            prop_assert_eq!(leader.raft.lease_holds(), leader.at() < start.unwrap() + lasts);
        }
    }

    #[test]
    fn a_leader_steps_down_exactly_when_no_quorum_was_heard_for_too_long(
        voters in with_us(), target in prop::option::of(anybody()),
        steps in prop::collection::vec((0_u64..300, PEERS), 1..20),
    ) {
        let (mut leader, _) = leader_amid(voters, target);
        let group = leader.group_in_force();
        let patience = leader.raft.config().election_timeout_max;
        let mut heard: BTreeMap<_, _> = PEERS.map(|peer| (peer, leader.at())).collect();
        for (millis, peer) in steps {
            leader.wait(Duration::from_millis(millis));
            let own = leader.at();
            let latest = oracle::reached(&group, with_own(own, &heard, Timestamp::ZERO));
            let leads = leader.at() < latest.unwrap() + patience;
            prop_assert_eq!(leader.kind() == RoleKind::Leader, leads);
            if !leads {
                return Ok(());
            }
            heard.insert(peer, leader.at());
            leader.receive(peer, 2, heartbeat_reply(session_of(peer), 1, LogId::new(2, 7)));
        }
    }
}
