//! Entries that are damaged here and that peers do not have.

use std::sync::Arc;

use super::*;
use crate::entry::Payload;
use crate::message::{Absence, EntryAbsent, FetchEntry, FetchedEntry};
use crate::types::Incarnation;

const DAMAGED: LogId = LogId::new(2, 3);

fn asks_for(log_id: LogId) -> Message {
    Message::FetchEntry(FetchEntry { log_id })
}

fn not_held(log_id: LogId) -> Message {
    let absence = Absence::NotHeld;
    Message::EntryAbsent(EntryAbsent { log_id, absence })
}

fn purged(log_id: LogId, up_to: LogId, voters: u64) -> Message {
    let membership = Box::new(Membership::of_ids(1..=voters));
    let absence = Absence::Purged { up_to, membership };
    Message::EntryAbsent(EntryAbsent { log_id, absence })
}

fn with_log(membership: Membership, terms: &[u64], damaged: u64) -> Restored {
    let mut restored = Restored::new_group(membership);
    restored.hard_state.current_term = Term::new(*terms.last().unwrap());
    let ids = (1..).zip(terms).map(|(i, &t)| LogId::new(t, i));
    let kind = EntryKind::Blank;
    restored.entries = ids.map(|log_id| EntryMeta { log_id, kind }).collect();
    restored.damaged = vec![LogIndex::new(damaged)];
    restored
}

/// One of `voters`; the third of its entries is damaged, and it has known so since its start.
fn damaged_voter(voters: u64) -> Replica {
    replica_from(
        with_log(Membership::of_ids(1..=voters), &[1, 1, 2, 2], 3),
        |_| {},
    )
}

/// The same, leading term 3.
fn damaged_leader(voters: u64) -> Replica {
    let mut leader = damaged_voter(voters);
    leader.win_election(voters);
    assert_eq!(leader.term(), Term::new(3));
    leader
}

fn is_uncut(replica: &Replica) -> bool {
    replica.raft.term_at(DAMAGED.index) == Some(DAMAGED.term)
}

#[test]
fn who_has_no_such_entry_says_so() {
    let mut peer = replica_of(3, 2, &[1, 1]);

    for absent in [LogId::new(2, 3), LogId::new(2, 2)] {
        let sent = peer.receive(3, 2, asks_for(absent));
        assert_eq!(sent, [(3, not_held(absent))]);
    }
}

/// What it cuts may come back with a crash.
#[test]
fn who_is_writing_does_not_say_what_it_lacks() {
    let mut peer = replica_of(3, 2, &[1, 1, 1]).with_slow_disk();
    peer.receive(2, 2, append(LogId::new(1, 2), &[2], 0));

    let meanwhile = peer.receive(3, 2, asks_for(LogId::new(1, 3)));
    peer.finish_writes();
    let after = peer.receive(3, 2, asks_for(LogId::new(1, 3)));

    assert_eq!(meanwhile, []);
    assert_eq!(after, [(3, not_held(LogId::new(1, 3)))]);
}

#[test]
fn who_has_the_entry_damaged_too_says_nothing() {
    let mut peer = damaged_voter(3);
    peer.wait(Duration::ZERO);

    assert_eq!(peer.receive(3, 2, asks_for(DAMAGED)), []);
}

#[test]
fn who_has_purged_the_entry_says_so_and_which_membership_followed() {
    let mut restored = with_log(Membership::of_ids(1..=3), &[1, 1, 2, 2], 3);
    restored.purged = LogId::new(2, 3);
    restored.entries.drain(..3);
    restored.damaged.clear();
    restored.last_applied = LogIndex::new(3);
    let mut peer = replica_from(restored, |_| {});

    let sent = peer.receive(3, 2, asks_for(LogId::new(1, 2)));

    assert_eq!(sent, [(3, purged(LogId::new(1, 2), LogId::new(2, 3), 3))]);
}

/// Else both would wait for ever: one cannot send the entry, and the other's log
/// does not win against it.
#[test]
fn of_two_voters_one_cuts_damage_that_the_other_never_held() {
    let mut leader = damaged_leader(2).with_slow_disk();

    leader.receive(2, 3, not_held(DAMAGED));

    let status = leader.raft.status();
    assert_eq!(status.role, RoleKind::Follower);
    assert_eq!(status.last_log, LogId::new(1, 2));
    assert_eq!(status.damaged_entries, 0);
    let cut = leader
        .unfinished
        .last()
        .map(|persist| persist.truncate_from);
    assert_eq!(cut, Some(Some(DAMAGED.index)));
    leader.finish_writes();
    let sent = leader.receive(2, 4, request_vote(LogId::new(1, 2)));
    assert!(sent.is_empty(), "its vote waits for the disk: {sent:?}");
    assert_eq!(leader.finish_writes(), [(2, vote(4, true))]);
}

#[test]
fn damage_is_cut_only_if_those_who_may_hold_it_are_no_majority() {
    let mut leader = damaged_leader(3);

    leader.receive(2, 3, not_held(DAMAGED));
    leader.receive(2, 3, not_held(DAMAGED));
    assert!(is_uncut(&leader), "1 and 3 may have committed it");
    leader.receive(3, 3, not_held(DAMAGED));

    assert!(!is_uncut(&leader));
}

/// Between the answers, whoever gave the first may have got the entry.
#[test]
fn answers_of_different_terms_do_not_add_up() {
    let mut leader = damaged_leader(3);
    leader.receive(2, 3, not_held(DAMAGED));
    leader.receive(2, 4, heartbeat(1, 0));
    leader.wait(Duration::from_secs(10));
    leader.win_election(3);
    assert_eq!(leader.raft.status().role, RoleKind::Leader);
    let term = leader.term().get();

    leader.receive(2, term - 1, not_held(DAMAGED));
    leader.receive(3, term, not_held(DAMAGED));

    assert!(is_uncut(&leader));
}

#[test]
fn a_follower_cuts_nothing_because_peers_lack_it() {
    let mut follower = damaged_voter(2);

    follower.receive(2, 2, not_held(DAMAGED));

    assert!(is_uncut(&follower));
}

/// It may be on its way to whoever says so.
#[test]
fn damage_found_while_leading_is_cut_in_a_later_term() {
    let mut leader = replica_with(2, 2, &[1, 1, 2, 2], |config| config.cache_bytes = 0);
    leader.win_election(2);
    let agreed = LogId::new(1, 2);
    leader.receive(2, 3, rejected(session_of(2), 4, agreed));
    leader.receive(2, 3, accepted(session_of(2), agreed, agreed));
    let read = leader.log_reads.remove(0);
    leader.step(Input::LogRead {
        token: read.token,
        entries: LogSlice::empty(),
        corrupt: Some(DAMAGED.index),
    });
    assert_eq!(leader.raft.status().damaged_entries, 1);

    leader.receive(2, 3, not_held(DAMAGED));
    assert!(is_uncut(&leader));
    assert_eq!(leader.raft.status().role, RoleKind::Follower);
    leader.win_election(2);
    leader.receive(2, 4, not_held(DAMAGED));

    assert!(!is_uncut(&leader));
}

#[test]
fn who_had_no_vote_when_the_entry_was_appended_is_no_witness() {
    let mut leader = damaged_leader(2);
    let later_life = ReplicaId {
        node: 2.into(),
        incarnation: Incarnation::new(2),
    };
    for from in [later_life, ReplicaId::first(3)] {
        leader.step(Input::Message(Envelope {
            group: GroupId::default(),
            from,
            to: ReplicaId::first(1),
            term: Term::new(3),
            message: not_held(DAMAGED),
        }));
    }

    assert!(is_uncut(&leader));
}

/// In a joint membership the next one may need the incoming voters alone.
#[test]
fn in_a_joint_membership_the_incoming_voters_are_asked() {
    let joint = Membership::of_ids(1..=2).joint_with(&Membership::of_ids([1, 2, 3]));
    let mut leader = replica_from(with_log(joint, &[1, 1, 2, 2], 3), |_| {});
    leader.win_election(3);

    leader.receive(2, 3, not_held(DAMAGED));
    assert!(is_uncut(&leader), "1 and 3 may have committed it");
    leader.receive(3, 3, not_held(DAMAGED));

    assert!(!is_uncut(&leader));
}

#[test]
fn damage_that_is_committed_is_never_cut() {
    let mut leader = damaged_leader(2);
    leader.receive(2, 3, purged(DAMAGED, DAMAGED, 2));

    leader.receive(2, 3, not_held(DAMAGED));

    assert!(is_uncut(&leader));
    assert_eq!(leader.commit_index(), 3);
}

#[test]
fn what_was_mended_meanwhile_is_not_cut() {
    let mut leader = damaged_leader(2);
    let entry = Entry::blank(DAMAGED);
    leader.receive(2, 3, Message::FetchedEntry(FetchedEntry { entry }));

    leader.receive(2, 3, not_held(DAMAGED));

    assert!(is_uncut(&leader));
}

/// It knows then that waiting for its turn is of no use, and campaigns.
#[test]
fn who_has_purged_an_entry_tells_that_it_is_committed() {
    let mut follower = damaged_voter(2);

    follower.receive(2, 2, purged(DAMAGED, LogId::new(2, 4), 2));

    assert_eq!(follower.commit_index(), 4);
    follower.wait(Duration::from_secs(5));
    assert_eq!(follower.raft.status().role, RoleKind::PreCandidate);
}

/// Found by the simulator: it took itself for too far behind, for ever.
#[test]
fn damage_that_is_committed_is_no_backlog_that_keeps_from_leading() {
    let restored = with_log(Membership::of_ids(1..=2), &[1, 1, 2, 2], 3);
    let mut follower = replica_from(restored, |config| config.max_campaign_backlog = 0);
    follower.receive(2, 2, purged(DAMAGED, LogId::new(2, 4), 2));
    follower.wait(Duration::from_secs(5));
    assert_eq!(
        follower.raft.status().role,
        RoleKind::Follower,
        "entry 1 waits"
    );
    follower.read_back();

    follower.wait(Duration::from_secs(5));

    assert_eq!(follower.raft.status().last_applied, LogIndex::new(2));
    assert_eq!(follower.raft.status().role, RoleKind::PreCandidate);
}

#[test]
fn a_purged_position_that_our_log_does_not_hold_tells_nothing() {
    let mut follower = damaged_voter(2);

    for up_to in [LogId::new(3, 4), LogId::new(2, 9), LogId::new(1, 2)] {
        follower.receive(2, 2, purged(DAMAGED, up_to, 2));
    }

    assert_eq!(follower.commit_index(), 0);
}

/// Entries 2 and 3 of four brought memberships, and are damaged; nothing is applied.
fn with_damaged_memberships() -> Replica {
    let mut restored = with_log(Membership::of_ids(1..=2), &[1, 1, 1, 1], 2);
    restored.damaged.push(LogIndex::new(3));
    restored.entries[1].kind = EntryKind::Membership;
    restored.entries[2].kind = EntryKind::Membership;
    replica_from(restored, |_| {})
}

fn voters(replica: &Replica) -> usize {
    replica.raft.status().membership.voters().len()
}

/// Its log may be the only one that can win, and a snapshot comes from who leads.
#[test]
fn a_damaged_membership_that_is_purged_elsewhere_keeps_nobody_from_leading() {
    let mut replica = with_damaged_memberships();
    replica.wait(Duration::from_secs(5));
    assert_eq!(replica.raft.status().role, RoleKind::Follower);

    replica.receive(2, 1, purged(LogId::new(1, 2), LogId::new(1, 3), 4));
    replica.wait(Duration::from_secs(5));

    assert_eq!(voters(&replica), 4);
    assert_eq!(replica.raft.status().role, RoleKind::PreCandidate);
    assert_eq!(replica.raft.status().membership_index, LogIndex::new(3));
}

/// The state machine may still stop there, and its snapshots name the membership.
#[test]
fn an_earlier_membership_can_still_be_mended_when_a_later_one_is_known() {
    let mut replica = with_damaged_memberships();
    replica.receive(2, 1, purged(LogId::new(1, 2), LogId::new(1, 3), 4));

    let membership = Membership::of_ids(1..=3);
    let entry = Entry {
        log_id: LogId::new(1, 2),
        payload: Payload::Membership(Box::new(membership.clone())),
    };
    replica.receive(2, 1, Message::FetchedEntry(FetchedEntry { entry }));

    let at = replica.raft.membership_at(LogIndex::new(2));
    assert_eq!(at, Arc::new(membership));
    assert_eq!(voters(&replica), 4);
}
