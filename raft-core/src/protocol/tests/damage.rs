//! Damage that nobody can mend, that is mended slowly, and that snapshots meet.

use super::*;
use crate::message::{FetchEntry, FetchedEntry};
use crate::protocol::{Event, RoleKind, SnapshotOffer, SnapshotToken};

fn damaged(read: ReadLog, index: u64) -> Input {
    Input::LogRead {
        token: read.token,
        entries: LogSlice::empty(),
        corrupt: Some(LogIndex::new(index)),
    }
}

fn offer(last_included: LogId) -> Input {
    Input::SnapshotOffered(SnapshotOffer {
        token: SnapshotToken(1),
        from: ReplicaId::first(2),
        term: Term::new(2),
        last_included,
        membership: std::sync::Arc::new(Membership::of_ids(1..=3)),
    })
}

fn wants_snapshot(replica: &Replica) -> bool {
    let is_wanted = |o: &Output| matches!(o, Output::InstallSnapshot(_));
    replica.others.iter().any(is_wanted)
}

fn asks_for(log_id: LogId) -> Message {
    Message::FetchEntry(FetchEntry { log_id })
}

/// A follower whose last entry, not committed, turned out to be damaged.
fn follower_with_a_damaged_tail() -> (Replica, LogId) {
    let mut follower = replica_with(3, 2, &[1, 1, 2], |config| config.cache_bytes = 0);
    let log_id = LogId::new(2, 3);
    follower.receive(2, 2, append(log_id, &[], 0));
    follower.receive(3, 2, asks_for(log_id));
    let read = follower.log_reads.remove(0);
    follower.step(damaged(read, 3));
    (follower, log_id)
}

fn durable_in_answer_to_a_heartbeat(follower: &mut Replica) -> LogId {
    let sent = follower.receive(2, 2, heartbeat(1, 0));
    match sent.last() {
        Some((_, Message::HeartbeatReply(reply))) => reply.durable,
        other => panic!("a heartbeat is answered: {other:?}"),
    }
}

#[test]
fn a_mended_entry_counts_as_a_copy_only_when_the_store_has_it() {
    let (mut follower, log_id) = follower_with_a_damaged_tail();
    let entry = Entry::blank(log_id);
    follower.receive(2, 2, Message::FetchedEntry(FetchedEntry { entry }));

    let before = durable_in_answer_to_a_heartbeat(&mut follower);
    follower.step(Input::Repaired(log_id));
    let after = durable_in_answer_to_a_heartbeat(&mut follower);

    assert_eq!((before, after), (LogId::new(1, 2), log_id));
}

/// A store that writes its log anew from there on can do so only now.
#[test]
fn a_copy_that_the_store_does_not_have_is_offered_again_once_the_next_above_is_mended() {
    let mut restored = Restored::new_group(Membership::of_ids(1..=3));
    restored.hard_state.current_term = Term::new(1);
    let kind = EntryKind::Blank;
    let log_ids = [1, 2, 3].map(|index| LogId::new(1, index));
    restored.entries = log_ids.map(|log_id| EntryMeta { log_id, kind }).into();
    restored.damaged = vec![LogIndex::new(1), LogIndex::new(3)];
    let mut follower = replica_from(restored, |_| {});
    for log_id in [log_ids[0], log_ids[2]] {
        let entry = Entry::blank(log_id);
        follower.receive(2, 1, Message::FetchedEntry(FetchedEntry { entry }));
    }
    follower.others.clear();

    follower.step(Input::Repaired(log_ids[2]));

    let offered = follower.others.iter().find_map(|output| match output {
        Output::Repair(run) => run.first(),
        _ => None,
    });
    assert_eq!(offered, Some(log_ids[0]));
}

#[test]
fn a_repair_of_what_was_not_damaged_says_nothing() {
    let (mut follower, _) = follower_with_a_damaged_tail();

    follower.step(Input::Repaired(LogId::new(2, 3)));
    follower.step(Input::Repaired(LogId::new(9, 9)));

    let durable = durable_in_answer_to_a_heartbeat(&mut follower);
    assert_eq!(durable, LogId::new(1, 2));
}

/// It would lead for ever and commit nothing; whoever lacks the entry can lead.
#[test]
fn a_leader_with_damage_that_nobody_can_mend_gives_way() {
    let mut leader = leader_of(3, 3, &[1, 1, 2]);
    let both = LogId::new(1, 2);
    for peer in [2, 3] {
        leader.receive(peer, 3, rejected(session_of(peer), 3, both));
        leader.receive(peer, 3, accepted(session_of(peer), both, both));
    }
    for _ in 0..100 {
        while let Some(read) = leader.log_reads.pop() {
            leader.step(damaged(read, 3));
        }
        for (to, message) in leader.wait(Duration::from_millis(50)) {
            if let Message::Heartbeat(body) = message {
                leader.receive(to, 3, heartbeat_reply(session_of(to), body.round, both));
            }
        }
    }

    assert_eq!(leader.raft.status().role, RoleKind::Follower);
    leader.wait_for_election_timeout();
    assert_eq!(leader.raft.status().role, RoleKind::Follower, "it is unfit");
}

#[test]
fn a_snapshot_behind_what_is_being_applied_is_not_installed() {
    let mut follower = replica_of(3, 2, &[1, 1, 1]);
    follower.receive(2, 2, append(LogId::new(1, 3), &[], 3));
    let read = follower.log_reads.remove(0);
    let entries = (1..=3).map(|index| Entry::blank(LogId::new(1, index)));
    let now = Timestamp::after_start(follower.now);
    // The state machine is slow: it has the entries, and is not done.
    let entries = LogSlice::new(entries.collect()).unwrap();
    let (token, corrupt) = (read.token, None);
    follower.raft.handle(
        now,
        Input::LogRead {
            token,
            entries,
            corrupt,
        },
    );
    while let Some(output) = follower.raft.poll_output() {
        assert!(!matches!(output, Output::Send(_)), "{output:?}");
    }
    follower.receive(3, 2, asks_for(LogId::new(1, 2)));
    let read = follower.log_reads.remove(0);
    follower.step(damaged(read, 2));

    follower.step(offer(LogId::new(1, 2)));
    let is_wanted = wants_snapshot(&follower);
    follower.step(Input::Applied(LogIndex::new(3)));

    assert!(!is_wanted);
    assert_eq!(follower.raft.status().last_applied, LogIndex::new(3));
}

#[test]
fn a_snapshot_at_the_end_of_all_numbers_is_refused() {
    let mut follower = replica_of(3, 2, &[1, 1]);

    follower.step(offer(LogId::new(2, u64::MAX)));

    assert!(!wants_snapshot(&follower));
}

/// Those who have applied and purged the entry cannot send it, and may need this
/// replica to lead: it then gets past the damage by a snapshot.
#[test]
fn damage_to_what_is_committed_is_no_reason_not_to_lead() {
    let mut follower = replica_of(3, 2, &[1, 1, 1]);
    follower.receive(2, 2, append(LogId::new(1, 3), &[], 2));
    let read = follower.log_reads.remove(0);
    follower.step(damaged(read, 1));

    follower.wait(Duration::from_secs(5));

    assert_eq!(follower.raft.status().role, RoleKind::PreCandidate);
}

/// All others may have purged the entry: then nobody else can win.
#[test]
fn a_replica_with_damage_that_nobody_mends_lets_others_lead_in_turns_with_itself() {
    let mut replica = replica_with(3, 2, &[1, 1, 2], |config| config.cache_bytes = 0);
    let log_id = LogId::new(2, 3);
    replica.receive(3, 2, asks_for(log_id));
    let read = replica.log_reads.remove(0);
    replica.step(damaged(read, 3));

    let mut campaigns = Vec::new();
    for _ in 0..24 {
        replica.others.clear();
        replica.wait(Duration::from_secs(1));
        let is_campaign = |o: &Output| matches!(o, Output::Event(Event::PreVoteStarted { .. }));
        campaigns.push(replica.others.iter().any(is_campaign));
    }

    assert!(
        campaigns.contains(&true) && campaigns.contains(&false),
        "{campaigns:?}"
    );
}

/// Somebody looks through the store: no read of the protocol's own met the damage.
#[test]
fn damage_that_a_look_through_the_store_finds_is_mended_once() {
    let mut follower = replica_of(3, 2, &[1, 1, 2]);
    let log_id = LogId::new(1, 2);
    follower.receive(2, 2, append(LogId::new(2, 3), &[], 0));

    let sent = follower.step(Input::EntryDamaged(log_id));
    assert!(sent.contains(&(2, asks_for(log_id))));
    assert_eq!(follower.step(Input::EntryDamaged(log_id)), []);
    let entry = Entry::blank(log_id);
    follower.receive(2, 2, Message::FetchedEntry(FetchedEntry { entry }));
    let is_repair = |o: &Output| matches!(o, Output::Repair(run) if run.first() == Some(log_id));
    assert!(follower.others.iter().any(is_repair));
    follower.step(Input::Repaired(log_id));
    assert_eq!(follower.raft.status().damaged_entries, 0);
}

#[test]
fn damage_to_an_entry_that_has_been_replaced_since_is_no_news() {
    let mut follower = replica_of(3, 2, &[1, 1, 2]);
    assert_eq!(follower.step(Input::EntryDamaged(LogId::new(1, 3))), []);
    assert_eq!(follower.step(Input::EntryDamaged(LogId::new(2, 9))), []);
    assert_eq!(follower.raft.status().damaged_entries, 0);
}
