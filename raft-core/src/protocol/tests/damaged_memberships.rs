//! Damage that is known at start, and memberships that are what is damaged.

use std::sync::Arc;

use super::*;
use crate::entry::Payload;
use crate::message::{FetchEntry, FetchedEntry, TimeoutNow};
use crate::protocol::{RoleKind, SnapshotOffer, SnapshotToken};

/// Longer than any election timeout.
const LONG: Duration = Duration::from_secs(10);

fn meta(index: u64, kind: EntryKind) -> EntryMeta {
    EntryMeta {
        log_id: LogId::new(1, index),
        kind,
    }
}

/// Node 1 of a group that began with three: entry 2 of four brought a membership,
/// and is damaged; the first `applied` are applied.
fn restored(applied: u64) -> Restored {
    let mut restored = Restored::new_group(Membership::of_ids(1..=3));
    restored.hard_state.current_term = Term::new(1);
    restored.entries = [
        EntryKind::Blank,
        EntryKind::Membership,
        EntryKind::Blank,
        EntryKind::Blank,
    ]
    .into_iter()
    .zip(1..)
    .map(|(kind, index)| meta(index, kind))
    .collect();
    restored.damaged = vec![LogIndex::new(2)];
    restored.last_applied = LogIndex::new(applied);
    restored
}

fn start(restored: Restored) -> Replica {
    replica_with_config(Config::new(ReplicaId::first(1), 7), restored)
}

fn five() -> Membership {
    Membership::of_ids(1..=5)
}

fn membership_entry(index: u64, membership: Membership) -> Entry {
    Entry {
        log_id: LogId::new(1, index),
        payload: Payload::Membership(Box::new(membership)),
    }
}

fn mended() -> Message {
    let entry = membership_entry(2, five());
    Message::FetchedEntry(FetchedEntry { entry })
}

fn voters(replica: &Replica) -> usize {
    replica.raft.status().membership.voters().len()
}

#[test]
fn damage_known_at_start_is_asked_for_at_once_and_never_acknowledged() {
    let mut restored = restored(0);
    restored.entries[1].kind = EntryKind::Blank;
    let mut follower = start(restored);

    let sent = follower.receive(2, 1, append(LogId::new(1, 4), &[], 0));

    let log_id = LogId::new(1, 2);
    let wanted = Message::FetchEntry(FetchEntry { log_id });
    assert_eq!(sent, [(2, wanted.clone()), (3, wanted)]);
    let sound = LogId::new(1, 1);
    let sent = follower.receive(2, 1, heartbeat(1, 0));
    assert_eq!(sent, [(2, heartbeat_reply(1, 1, sound))]);
}

#[test]
fn a_damaged_membership_that_is_applied_is_only_a_damaged_entry() {
    let mut restored = restored(3);
    restored.membership_entries = vec![(LogIndex::new(2), Arc::new(five()))];

    let mut replica = start(restored);
    replica.wait(LONG);

    assert_eq!(voters(&replica), 5);
    assert_eq!(replica.raft.status().role, RoleKind::PreCandidate);
    assert_eq!(replica.raft.status().damaged_entries, 1);
}

#[test]
fn a_membership_that_is_neither_given_nor_damaged_is_refused() {
    let mut restored = restored(0);
    restored.damaged.clear();

    let config = Config::new(ReplicaId::first(1), 7);
    let refused = Raft::restore(config, restored, Timestamp::ZERO);

    let text = refused.unwrap_err().to_string();
    assert!(
        text.contains("neither given nor said to be damaged"),
        "{text}"
    );
}

#[test]
fn who_does_not_know_the_membership_follows_and_never_campaigns() {
    let mut replica = start(restored(1));
    for _ in 0..20 {
        let sent = replica.wait(LONG);
        assert!(
            sent.iter()
                .all(|(_, m)| matches!(m, Message::FetchEntry(_))),
            "{sent:?}"
        );
    }
    assert_eq!(voters(&replica), 3);

    replica.receive(2, 1, heartbeat(1, 0));
    replica.receive(2, 1, Message::TimeoutNow(TimeoutNow { round: 1 }));

    assert_eq!(replica.raft.status().role, RoleKind::Follower);
    assert_eq!(replica.term(), Term::new(1));
}

#[test]
fn a_leader_that_only_the_damaged_membership_names_is_asked_too() {
    let mut replica = start(restored(1));
    replica.wait(Duration::from_millis(1));
    replica.receive(5, 1, heartbeat(1, 0));

    let sent = replica.wait(Duration::from_secs(1));

    let asked: Vec<u64> = sent
        .iter()
        .filter(|(_, message)| matches!(message, Message::FetchEntry(_)))
        .map(|(to, _)| *to)
        .collect();
    assert_eq!(asked, [2, 3, 5]);
}

#[test]
fn a_mended_membership_comes_into_force_and_makes_fit_to_lead() {
    let mut replica = start(restored(1));

    replica.receive(2, 1, mended());
    let sent = replica.wait(LONG);

    assert_eq!(voters(&replica), 5);
    assert_eq!(replica.raft.status().membership_index, LogIndex::new(2));
    let asked: Vec<u64> = sent.iter().map(|(to, _)| *to).collect();
    assert_eq!(asked, [2, 3, 4, 5]);
}

#[test]
fn a_mended_membership_stays_behind_a_later_one() {
    let mut replica = start(restored(1));
    let later = membership_entry(5, Membership::of_ids(1..=4));
    replica.receive(2, 1, append_entry(LogId::new(1, 4), later));
    assert_eq!(voters(&replica), 4);

    replica.receive(2, 1, mended());
    assert_eq!(voters(&replica), 4);
    // The later one is cut off: what was mended is in force.
    replica.receive(3, 2, append(LogId::new(1, 4), &[2], 0));

    assert_eq!(voters(&replica), 5);
}

#[test]
fn a_damaged_membership_that_is_cut_off_is_missed_no_more() {
    let mut replica = start(restored(1));

    replica.receive(2, 2, append(LogId::new(1, 1), &[2], 0));
    replica.wait(LONG);

    assert_eq!(voters(&replica), 3);
    assert_eq!(replica.raft.status().role, RoleKind::PreCandidate);
}

#[test]
fn a_snapshot_says_what_the_damaged_membership_was() {
    let mut replica = start(restored(1));
    replica.receive(2, 1, heartbeat(1, 0));
    let token = SnapshotToken(1);
    replica.step(Input::SnapshotOffered(SnapshotOffer {
        token,
        from: ReplicaId::first(2),
        term: Term::new(1),
        last_included: LogId::new(1, 3),
        membership: Arc::new(five()),
    }));

    replica.step(Input::SnapshotRestored { token, ok: true });

    // The entry after it stayed.
    assert_eq!(replica.raft.status().last_log, LogId::new(1, 4));
    assert_eq!(voters(&replica), 5);
    replica.wait(LONG);
    assert_eq!(replica.raft.status().role, RoleKind::PreCandidate);
}
