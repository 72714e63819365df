//! What only a broken peer, caller or disk does, and what once made a replica
//! panic. Found by the fuzzer, most of them.

use std::sync::Arc;

use super::*;
use crate::error::RestoreError;
use crate::message::{Commit, FetchEntry, Propose};
use crate::protocol::{SnapshotOffer, SnapshotToken};
use crate::types::NodeId;

const EVERYBODY: std::ops::RangeInclusive<u64> = 1..=3;

fn offer_from(from: u64, term: u64, last_included: LogId) -> Input {
    Input::SnapshotOffered(SnapshotOffer {
        token: SnapshotToken(1),
        from: ReplicaId::first(from),
        term: Term::new(term),
        last_included,
        membership: Arc::new(Membership::of_ids(EVERYBODY)),
    })
}

impl Replica {
    fn snapshot_is_restored(&mut self) {
        let token = SnapshotToken(1);
        self.step(Input::SnapshotRestored { token, ok: true });
    }

    fn refuses_snapshots(&self) -> bool {
        let refused = |output: &Output| matches!(output, Output::RefuseSnapshot { .. });
        self.others.iter().any(refused)
    }

    fn installs_snapshots(&self) -> bool {
        let asked = |output: &Output| matches!(output, Output::InstallSnapshot(_));
        self.others.iter().any(asked)
    }
}

fn state_with(adjust: impl FnOnce(&mut Restored)) -> Result<Raft, RestoreError> {
    let mut restored = Restored::new_group(Membership::of_ids(EVERYBODY));
    adjust(&mut restored);
    let config = Config::new(ReplicaId::first(1), 7);
    Raft::restore(config, restored, Timestamp::ZERO)
}

#[test]
fn a_stored_term_without_a_next_one_is_refused() {
    let restored = state_with(|state| state.hard_state.current_term = Term::new(u64::MAX));

    assert!(restored.is_err());
}

#[test]
fn a_stored_log_at_the_end_of_all_numbers_is_refused() {
    for number in [u64::MAX, u64::MAX - 1] {
        let restored = state_with(|state| {
            state.purged = LogId::new(0, number);
            state.last_applied = state.purged.index;
        });

        assert!(restored.is_err());
    }
}

#[test]
fn a_snapshot_at_the_end_of_all_numbers_is_refused() {
    let mut follower = replica_of(3, 2, &[]);

    follower.step(offer_from(2, 2, LogId::new(2, u64::MAX)));

    assert!(follower.refuses_snapshots());
}

#[test]
fn a_snapshot_from_oneself_is_refused() {
    let mut follower = replica_of(3, 2, &[]);

    follower.step(offer_from(1, 2, LogId::new(2, 9)));

    assert!(follower.refuses_snapshots());
    assert_eq!(follower.raft.status().leader, None);
}

/// Follower whose log was purged up to an entry of term 3, its last one.
fn follower_with_nothing_but_a_snapshot() -> Replica {
    let mut follower = replica_of(3, 3, &[]);
    follower.step(offer_from(2, 3, LogId::new(3, 5)));
    follower.snapshot_is_restored();
    follower
}

#[test]
fn an_append_that_contradicts_the_purged_entry_is_not_taken() {
    let mut follower = follower_with_nothing_but_a_snapshot();

    follower.receive(2, 3, append(LogId::new(1, 3), &[1, 1, 1], 0));

    assert_eq!(follower.raft.status().last_log, LogId::new(3, 5));
}

#[test]
fn an_append_that_reaches_over_the_purged_entry_is_taken_from_there_on() {
    let mut follower = follower_with_nothing_but_a_snapshot();

    follower.receive(2, 3, append(LogId::new(1, 3), &[2, 3, 3], 0));

    assert_eq!(follower.raft.status().last_log, LogId::new(3, 6));
}

#[test]
fn what_a_snapshot_replaced_is_not_agreed_upon_any_more() {
    let mut follower = replica_of(3, 3, &[]);
    follower.receive(2, 3, append(LogId::ZERO, &[1, 1, 1, 1, 1, 1], 0));
    follower.step(offer_from(2, 3, LogId::new(2, 4)));
    follower.snapshot_is_restored();
    assert_eq!(follower.raft.status().last_log, LogId::new(2, 4));

    follower.receive(2, 3, heartbeat(1, 6));

    assert_eq!(follower.commit_index(), 4);
}

#[test]
fn nothing_that_contradicts_a_snapshot_is_committed_while_it_is_installed() {
    let mut follower = replica_of(3, 3, &[]);
    follower.step(offer_from(2, 3, LogId::new(2, 4)));
    follower.receive(2, 3, append(LogId::ZERO, &[1, 1, 1, 1, 1, 1], 6));

    follower.snapshot_is_restored();

    assert_eq!(follower.raft.status().last_log, LogId::new(2, 4));
    assert_eq!(follower.commit_index(), 4);
}

/// Follower whose six committed entries have to be read back, and entry
/// `damaged` cannot be.
fn follower_with_damage(damaged: u64) -> Replica {
    let mut follower = replica_of(3, 3, &[1; 6]);
    follower.receive(2, 3, append(LogId::new(1, 6), &[], 6));
    let log_id = LogId::new(1, damaged);
    follower.receive(3, 3, Message::FetchEntry(FetchEntry { log_id }));
    let read = follower.log_reads.pop().expect("it reads it for the peer");
    follower.step(Input::LogRead {
        token: read.token,
        entries: LogSlice::empty(),
        corrupt: Some(log_id.index),
    });
    follower
}

#[test]
fn a_snapshot_that_contradicts_committed_entries_is_refused() {
    let mut follower = follower_with_damage(2);

    follower.step(offer_from(2, 3, LogId::new(3, 4)));

    assert!(follower.refuses_snapshots());
    assert!(!follower.installs_snapshots());
}

/// The state machine is about to be further than the snapshot, damage or not.
#[test]
fn a_snapshot_below_what_is_being_applied_is_not_installed() {
    let mut follower = follower_with_damage(2);
    let read = follower.log_reads.pop().expect("it reads for the machine");
    let run = (read.first.get()..=read.last.get()).map(|i| Entry::blank(LogId::new(1, i)));
    let now = Timestamp::ZERO;
    follower.raft.handle(
        now,
        Input::LogRead {
            token: read.token,
            entries: LogSlice::new(run.collect()).unwrap(),
            corrupt: None,
        },
    );

    follower
        .raft
        .handle(now, offer_from(2, 3, LogId::new(1, 4)));
    follower.step(Input::StateDurable(LogIndex::ZERO));

    assert!(!follower.installs_snapshots());
}

/// A crash in between would leave a state of a term that nobody has been in.
#[test]
fn a_snapshot_is_installed_once_its_term_is_durable() {
    let mut follower = replica_of(3, 2, &[]).with_slow_disk();
    follower.step(offer_from(2, 5, LogId::new(5, 9)));
    assert!(!follower.installs_snapshots());

    follower.finish_writes();

    assert!(follower.installs_snapshots());
}

/// Leader of term 2 that hands leadership over to node 2.
fn leader_that_hands_over(adjust: impl FnOnce(&mut Config)) -> Replica {
    let mut leader = replica_with(3, 1, &[], adjust);
    leader.win_election(3);
    for peer in [2, 3] {
        let last = LogId::new(2, 1);
        leader.receive(peer, 2, accepted(session_of(peer), last, LogId::ZERO));
    }
    leader.step(Input::TransferLeadership {
        ticket: Ticket(1),
        to: Some(NodeId::new(2)),
    });
    leader
}

fn forwarded(boot: u64, sequence: u64) -> Message {
    let commands = vec![(sequence, Bytes::new())];
    Message::Propose(Propose { boot, commands })
}

#[test]
fn commands_that_others_forward_during_a_transfer_are_bounded_in_number() {
    let mut leader = leader_that_hands_over(|config| config.max_pending_proposals = 10);

    for sequence in 1..=100 {
        leader.receive(3, 2, forwarded(5, sequence));
    }

    assert_eq!(leader.raft.status().pending_proposals, 10);
}

/// Else a client here would get the outcome of somebody else's command.
#[test]
fn commands_that_others_forward_in_our_name_are_not_taken() {
    let mut leader = leader_that_hands_over(|_| {});
    let boot = leader.raft.boot();

    leader.receive(3, 2, forwarded(boot, 1));
    leader.wait(Duration::from_secs(5));

    assert_eq!(leader.failed, []);
    assert_eq!(leader.raft.status().last_log, LogId::new(2, 1));
}

#[test]
fn a_commit_beyond_all_numbers_commits_what_is_there() {
    let mut follower = replica_of(3, 2, &[]);
    follower.receive(2, 2, append(LogId::ZERO, &[1, 1], 0));

    let commit = LogIndex::new(u64::MAX);
    follower.receive(2, 2, Message::Commit(Commit { commit }));

    assert_eq!(follower.commit_index(), 2);
}
