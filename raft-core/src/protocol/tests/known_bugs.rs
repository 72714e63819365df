//! Bugs that other implementations had, each as a fact about this one. Where another
//! test says it already, that one names the bug.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::membership::MemberInfo;
use crate::protocol::{SnapshotOffer, SnapshotToken};
use crate::types::NodeId;

/// Entries 1 to 3 are purged, 4 and 5 in the log; all of term 1.
fn follower_that_purged() -> Replica {
    let mut restored = Restored::new_group(Membership::of_ids(1..=3));
    restored.hard_state.current_term = Term::new(1);
    restored.purged = LogId::new(1, 3);
    restored.last_applied = LogIndex::new(3);
    let kind = EntryKind::Blank;
    let log_ids = [4, 5].map(|index| LogId::new(1, index));
    restored.entries = log_ids.map(|log_id| EntryMeta { log_id, kind }).into();
    replica_from(restored, |_| {})
}

/// openraft #511: a previous entry that was purged was taken for a conflict, and the
/// log behind it deleted.
#[test]
fn a_purged_previous_entry_is_no_conflict() {
    let (first, last) = (LogId::new(1, 1), LogId::new(1, 5));
    let purged = LogId::new(1, 3);
    let across = [
        (LogId::ZERO, &[1, 1][..], purged),
        (first, &[], purged),
        (first, &[1, 1], purged),
        (first, &[1, 1, 1], LogId::new(1, 4)),
        (first, &[1, 1, 1, 1], last),
        (purged, &[], purged),
        (purged, &[1, 1], last),
    ];
    for (previous, terms, agreed) in across {
        let mut follower = follower_that_purged();

        let sent = follower.receive(2, 1, append(previous, terms, 0));

        assert_eq!(sent, [(2, accepted(1, agreed, agreed))], "after {previous}");
        assert_eq!(follower.raft.status().last_log, last, "after {previous}");
    }
}

/// openraft #1795: the leader's read failed, and what it sent lacked its beginning; the
/// follower, whose log was a snapshot, appended it.
#[test]
fn entries_that_do_not_follow_the_previous_one_are_not_appended() {
    let gap = |previous: LogId, first: u64| {
        let entries = vec![Entry::blank(LogId::new(1, first))];
        Message::AppendEntries(AppendEntries {
            session: 1,
            previous,
            entries: LogSlice::new(entries).unwrap(),
            commit: LogIndex::new(first),
        })
    };
    for (previous, first) in [
        (LogId::ZERO, 6),
        (LogId::ZERO, 9),
        (LogId::new(1, 2), 6),
        (LogId::new(1, 5), 7),
        (LogId::new(1, 5), 5),
    ] {
        let mut follower = follower_that_purged();

        let sent = follower.receive(2, 1, gap(previous, first));

        assert_eq!(sent, [], "{first} after {previous}");
        let status = follower.raft.status();
        assert_eq!(
            (status.last_log, status.commit_index.get()),
            (LogId::new(1, 5), 3)
        );
    }
}

/// The sender's side of the same.
#[test]
fn a_read_that_lacks_its_beginning_is_not_sent() {
    let mut leader = replica_with(3, 2, &[1, 1, 1, 1], |config| config.cache_bytes = 0);
    leader.win_election(3);
    let first = LogId::new(1, 1);
    leader.receive(2, 3, rejected(session_of(2), 4, first));
    leader.receive(2, 3, accepted(session_of(2), first, first));
    let read = leader.log_reads.remove(0);
    assert_eq!(read.first, LogIndex::new(2));

    let entries = [3, 4].map(|index| Entry::blank(LogId::new(1, index)));
    let sent = leader.step(Input::LogRead {
        token: read.token,
        entries: LogSlice::new(entries.into()).unwrap(),
        corrupt: None,
    });

    assert_eq!(appends_to(2, &sent), []);
}

/// openraft #1511: a leader that restarted led on by the vote on its disk, and served
/// reads from a state that lagged behind what it had acknowledged.
#[test]
fn a_leader_that_restarts_leads_no_more() {
    let mut restored = Restored::new_group(Membership::of_ids(1..=3));
    restored.hard_state = HardState {
        current_term: Term::new(2),
        voted_for: Some(ReplicaId::first(1)),
    };
    let kind = EntryKind::Blank;
    let log_ids = [1, 2].map(|index| LogId::new(2, index));
    restored.entries = log_ids.map(|log_id| EntryMeta { log_id, kind }).into();
    let mut replica = replica_from(restored, |_| {});

    let mut sent = replica.wait(Duration::ZERO);
    sent.extend(replica.read(1));
    sent.extend(replica.step(Input::Read {
        consistency: Consistency::Lease,
        tickets: vec![Ticket(2)],
    }));
    sent.extend(replica.propose(1));
    // Answers to its former rounds and appends come late.
    let agreed = LogId::new(2, 2);
    sent.extend(replica.receive(2, 2, accepted(1, agreed, agreed)));
    sent.extend(replica.receive(2, 2, heartbeat_reply(1, 1, agreed)));

    let status = replica.raft.status();
    assert_eq!((status.role, status.leader), (RoleKind::Follower, None));
    assert_eq!(sent, []);
    assert!(replica.reads.iter().all(|(_, result)| result.is_err()));
    assert_eq!(replica.reads.len(), 2);
    assert_eq!(replica.failed, [(1, ProposeError::NoLeader)]);
    assert_eq!(status.commit_index, LogIndex::ZERO);
}

/// etcd #10998: a learner that was promoted, and had not heard of it, refused its vote,
/// and a group that needed it had no leader.
#[test]
fn who_takes_itself_for_a_learner_votes_when_asked() {
    let members = (1..=3).map(|n| (NodeId::new(n), MemberInfo::default()));
    let voters = [2, 3].map(NodeId::new).into();
    let membership = Membership::from_parts(members.collect(), voters, None).unwrap();
    let mut restored = Restored::new_group(membership);
    restored.hard_state.current_term = Term::new(2);
    let mut learner = replica_from(restored, |_| {});
    learner.wait(Duration::from_secs(1));

    let before = learner.receive(2, 2, pre_vote(3, LogId::new(1, 1)));
    let vote_of = learner.receive(2, 3, request_vote(LogId::new(1, 1)));

    assert_eq!(before, [(2, pre_vote_reply(1, 3, true))]);
    assert_eq!(vote_of, [(2, vote(3, true))]);
}

/// Every member of the first five by what bits say: absent, learner, incoming or
/// outgoing voter.
fn membership_of(bits: u64) -> Option<Membership> {
    let role = |node: u64| bits >> (3 * (node - 1)) & 7;
    let with = |bit: u64| {
        let nodes = (1..=5).filter(move |&node| role(node) >> bit & 1 == 1);
        nodes.map(NodeId::new).collect::<BTreeSet<_>>()
    };
    let members = (1..=5).filter(|&node| role(node) != 0);
    let members = members.map(|node| (NodeId::new(node), MemberInfo::default()));
    let outgoing = Some(with(2)).filter(|voters| !voters.is_empty());
    Membership::from_parts(members.collect(), with(1), outgoing).ok()
}

/// raft-rs e515a67: what was restored from a snapshot lacked the outgoing half of a
/// joint membership, or took a voter for a learner.
#[test]
fn the_membership_of_a_snapshot_comes_back_whole_and_outlives_a_restart() {
    let mut random = crate::protocol::random::Random::new(7);
    let drawn = (0..400).filter_map(|_| membership_of(random.next()));
    let memberships: Vec<_> = drawn.map(Arc::new).collect();
    assert!(
        memberships
            .iter()
            .any(|m| m.is_joint() && m.learners().count() > 0)
    );
    for membership in memberships {
        let mut follower = replica_of(3, 2, &[1, 1]);
        let (token, last_included) = (SnapshotToken(1), LogId::new(2, 9));
        follower.step(Input::SnapshotOffered(SnapshotOffer {
            token,
            from: ReplicaId::first(2),
            term: Term::new(2),
            last_included,
            membership: Arc::clone(&membership),
        }));
        follower.step(Input::SnapshotRestored { token, ok: true });
        assert_eq!(follower.raft.status().membership, membership);

        let mut restored = Restored::new_group(Membership::of_ids([1]));
        restored.hard_state.current_term = Term::new(2);
        restored.purged = last_included;
        restored.last_applied = last_included.index;
        restored.membership = follower.raft.membership_at(last_included.index);
        let restarted = replica_from(restored, |_| {});
        assert_eq!(restarted.raft.status().membership, membership);
    }
}
