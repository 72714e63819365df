//! Damaged entries and ill disks.

use super::*;
use crate::message::{FetchEntry, FetchedEntry};
use crate::storage_health::StorageHealth;

/// A follower whose two entries are committed and have to be read from the log store.
fn follower_that_reads() -> (Replica, ReadLog) {
    let mut follower = replica_of(3, 2, &[1, 1]);
    follower.receive(2, 2, append(LogId::new(1, 2), &[], 2));
    let read = follower.log_reads[0];
    (follower, read)
}

fn damaged(read: ReadLog, index: u64) -> Input {
    Input::LogRead {
        token: read.token,
        entries: LogSlice::empty(),
        corrupt: Some(LogIndex::new(index)),
    }
}

fn fetched(term: u64, index: u64) -> Message {
    let entry = Entry::blank(LogId::new(term, index));
    Message::FetchedEntry(FetchedEntry { entry })
}

#[test]
fn a_damaged_entry_is_fetched_from_all_and_applied_when_it_comes() {
    let (mut follower, read) = follower_that_reads();

    let sent = follower.step(damaged(read, 1));
    let log_id = LogId::new(1, 1);
    let wanted = Message::FetchEntry(FetchEntry { log_id });
    assert_eq!(sent, [(2, wanted.clone()), (3, wanted)]);
    assert!(follower.applied.is_empty());
    follower.receive(3, 2, fetched(1, 1));

    assert_eq!(follower.applied, [Entry::blank(log_id)]);
    assert!(
        follower
            .others
            .iter()
            .any(|o| matches!(o, Output::Repair(_)))
    );
}

#[test]
fn a_copy_with_another_term_is_not_taken() {
    let (mut follower, read) = follower_that_reads();
    follower.step(damaged(read, 1));

    follower.receive(3, 2, fetched(2, 1));

    assert!(follower.applied.is_empty());
    assert_eq!(follower.raft.status().damaged_entries, 1);
}

#[test]
fn an_entry_that_nobody_asked_for_is_not_taken() {
    let (mut follower, _) = follower_that_reads();

    follower.receive(3, 2, fetched(1, 1));

    assert!(
        !follower
            .others
            .iter()
            .any(|o| matches!(o, Output::Repair(_)))
    );
}

#[test]
fn whoever_has_the_very_same_entry_sends_it() {
    let mut peer = replica_of(3, 2, &[1, 1]);
    peer.receive(2, 2, append(LogId::new(1, 2), &[2], 0));
    let ask = |term| {
        Message::FetchEntry(FetchEntry {
            log_id: LogId::new(term, 3),
        })
    };

    assert_eq!(peer.receive(3, 2, ask(2)), [(3, fetched(2, 3))]);
    let other = peer.receive(3, 2, ask(1));
    assert!(!matches!(other[..], [(3, Message::FetchedEntry(_))]));
}

/// A vote compares logs by their metadata, which damage leaves alone.
#[test]
fn a_damaged_entry_still_counts_when_logs_are_compared() {
    let (mut voter, read) = follower_that_reads();
    voter.step(damaged(read, 2));
    voter.wait(Duration::from_secs(1));

    let sent = voter.receive(3, 9, request_vote(LogId::new(1, 1)));

    assert!(sent.contains(&(3, vote(9, false))));
}

#[test]
fn an_uncommitted_entry_known_to_be_damaged_is_not_acknowledged() {
    let mut follower = replica_with(3, 2, &[1, 1, 2], |config| config.cache_bytes = 0);
    follower.receive(2, 2, append(LogId::new(2, 3), &[], 0));
    // Somebody else's copy is damaged too, and asking for ours brings it to light.
    let log_id = LogId::new(2, 3);
    follower.receive(3, 2, Message::FetchEntry(FetchEntry { log_id }));
    let read = follower.log_reads[0];
    follower.step(damaged(read, 3));

    let sent = follower.receive(2, 2, heartbeat(1, 0));

    let Some((_, Message::HeartbeatReply(reply))) = sent.last() else {
        panic!("a heartbeat is answered: {sent:?}");
    };
    assert_eq!(reply.received, LogId::new(1, 2));
    assert_eq!(reply.durable, LogId::new(1, 2));
}

#[test]
fn a_leader_whose_disk_hangs_hands_over_once_and_does_not_campaign() {
    let mut leader = leader_of(3, 2, &[1, 1]);
    for peer in [2, 3] {
        leader.receive(
            peer,
            2,
            accepted(session_of(peer), LogId::new(2, 3), LogId::new(2, 3)),
        );
    }
    let stalled = StorageHealth::Stalled {
        since: Duration::from_secs(3),
    };

    let sent = leader.step(Input::StorageHealth(stalled));
    let asked = |(_, m): &&(u64, Message)| matches!(m, Message::TimeoutNow(_));
    assert_eq!(sent.iter().filter(asked).count(), 1);
    leader.receive(2, 3, heartbeat(1, 0));
    assert_eq!(leader.wait(Duration::from_secs(5)), []);

    leader.step(Input::StorageHealth(StorageHealth::Healthy));
    leader.wait_for_election_timeout();
    assert_eq!(leader.raft.status().role, RoleKind::PreCandidate);
}

#[test]
fn a_write_that_takes_too_long_is_noticed_without_being_told() {
    let mut leader = leader_of(3, 2, &[1, 1]).with_slow_disk();
    for peer in [2, 3] {
        leader.receive(
            peer,
            2,
            accepted(session_of(peer), LogId::new(2, 3), LogId::new(2, 3)),
        );
    }
    leader.propose(1);

    for _ in 0..41 {
        leader.wait(Duration::from_millis(50));
        for peer in [2, 3] {
            let last = leader.raft.status().last_log;
            leader.receive(peer, 2, heartbeat_reply(session_of(peer), 1, last));
        }
    }

    assert!(leader.raft.status().disk_is_ill);
    assert!(leader.raft.status().transfer_to.is_some());
}

#[test]
fn a_node_of_low_priority_lets_others_go_first_and_campaigns_in_the_end() {
    let waited = |priority| {
        let replica = replica_with(3, 2, &[1, 1], |config| config.election_priority = priority);
        replica.raft.poll_timeout().since_start()
    };

    assert!(waited(u8::MAX) <= Duration::from_millis(500));
    assert!(waited(0) >= Duration::from_millis(2300));
    assert!(waited(0) <= Duration::from_millis(2500));
}

#[test]
fn a_node_whose_state_machine_lags_too_far_does_not_campaign() {
    let mut follower = replica_with(3, 2, &[1, 1], |config| config.max_campaign_backlog = 1);
    // Two entries are known to be committed, and the log store does not answer.
    follower.receive(2, 2, append(LogId::new(1, 2), &[], 2));

    assert_eq!(follower.wait_for_election_timeout(), []);
}

/// Nobody else has the entry any more: the follower gets what it led to.
#[test]
fn a_follower_whose_damaged_entry_was_purged_elsewhere_gets_a_snapshot() {
    let mut leader = replica_with(3, 1, &[1; 7], |config| config.keep_entries = 0);
    leader.win_election(3);
    for peer in [2, 3] {
        let last = LogId::new(2, 8);
        leader.receive(peer, 2, accepted(session_of(peer), last, last));
    }
    leader.read_back();
    leader.step(Input::StateDurable(LogIndex::new(8)));
    let log_id = LogId::new(1, 4);
    // It finds the damage before it has applied the entry, and says so.
    let unbroken = LogId::new(1, 3);
    leader.receive(3, 2, heartbeat_reply(2, 1, unbroken));

    leader.receive(3, 2, Message::FetchEntry(FetchEntry { log_id }));

    let is_sent = |o: &Output| matches!(o, Output::SendSnapshot(_));
    assert!(leader.others.iter().any(is_sent));
}

/// Its log reaches further, but the state machine cannot get there through it.
#[test]
fn a_snapshot_beyond_the_damage_is_taken_in_though_the_log_holds_its_last_entry() {
    let (mut follower, read) = follower_that_reads();
    follower.step(damaged(read, 1));

    follower.step(Input::SnapshotOffered(crate::protocol::SnapshotOffer {
        token: crate::protocol::SnapshotToken(1),
        from: ReplicaId::first(2),
        term: Term::new(2),
        last_included: LogId::new(1, 2),
        membership: std::sync::Arc::new(Membership::of_ids(1..=3)),
    }));
    let is_wanted = |o: &Output| matches!(o, Output::InstallSnapshot(_));
    assert!(follower.others.iter().any(is_wanted));
    follower.step(Input::SnapshotRestored {
        token: crate::protocol::SnapshotToken(1),
        ok: true,
    });

    let status = follower.raft.status();
    assert_eq!(status.last_applied, LogIndex::new(2));
    assert_eq!(status.damaged_entries, 0);
}

/// Found by the simulator: the first successor's disk was ill as well.
#[test]
fn a_leader_with_an_ill_disk_asks_somebody_else_when_the_first_does_not_take_over() {
    let mut leader = leader_of(3, 2, &[1, 1]);
    let last = LogId::new(2, 3);
    for peer in [2, 3] {
        leader.receive(peer, 2, accepted(session_of(peer), last, last));
    }
    let mut asked = std::collections::BTreeSet::new();
    let mut note = |sent: Vec<(u64, Message)>| {
        let ask = |(to, m): &(u64, Message)| matches!(m, Message::TimeoutNow(_)).then_some(*to);
        asked.extend(sent.iter().filter_map(ask));
    };

    note(leader.step(Input::StorageHealth(StorageHealth::Full)));
    for _ in 0..60 {
        note(leader.wait(Duration::from_millis(50)));
        for peer in [2, 3] {
            note(leader.receive(peer, 2, heartbeat_reply(session_of(peer), 1, last)));
        }
    }

    assert_eq!(asked.into_iter().collect::<Vec<_>>(), [2, 3]);
}
