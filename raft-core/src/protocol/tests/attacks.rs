//! Sequences of events that once made a replica hang, spin or grow. Found by
//! people who set out to break it.

use std::sync::Arc;

use super::*;
use crate::message::FetchEntry;
use crate::protocol::{RoleKind, SnapshotOffer, SnapshotToken};

impl Replica {
    fn count(&self, wanted: impl Fn(&Output) -> bool) -> usize {
        self.others.iter().filter(|output| wanted(output)).count()
    }

    fn checkpoints(&self) -> usize {
        self.count(|output| matches!(output, Output::Checkpoint))
    }

    /// Snapshots that were begun and not stopped again.
    fn snapshots_alive(&self) -> Vec<SnapshotToken> {
        let mut tokens = Vec::new();
        for output in &self.others {
            match output {
                Output::SendSnapshot(order) => tokens.push(order.token),
                Output::StopSnapshot(token) => tokens.retain(|sent| sent != token),
                _ => {}
            }
        }
        tokens
    }
}

#[test]
fn a_leader_that_contradicts_itself_is_not_believed_and_does_no_harm() {
    let mut follower = replica_of(3, 3, &[]);
    follower.receive(2, 3, append(LogId::ZERO, &[1, 1, 1, 1, 1], 0));

    follower.receive(2, 3, append(LogId::new(1, 2), &[2], 5));

    assert_eq!(follower.raft.status().last_log, LogId::new(1, 5));
}

#[test]
fn a_checkpoint_asked_for_while_one_runs_is_taken_afterwards() {
    let mut leader = leader_of(1, 2, &[]);
    leader.step(Input::Checkpoint);
    leader.propose(1);
    leader.step(Input::Checkpoint);
    assert_eq!(leader.checkpoints(), 1);

    leader.step(Input::StateDurable(LogIndex::new(1)));
    leader.step(Input::CheckpointEnded);

    assert_eq!(leader.checkpoints(), 2);
}

#[test]
fn a_log_store_that_has_nothing_for_the_state_machine_is_asked_again_with_time() {
    let mut follower = replica_of(3, 2, &[1, 1]);
    follower.receive(2, 2, append(LogId::new(1, 2), &[], 2));

    let read = follower.log_reads.remove(0);
    follower.step(Input::LogRead {
        token: read.token,
        entries: LogSlice::empty(),
        corrupt: None,
    });
    assert_eq!(follower.log_reads, []);

    follower.wait(Duration::from_millis(100));
    assert_eq!(follower.log_reads.len(), 1);
}

/// The checkpoint could else replace what the snapshot brought.
#[test]
fn no_snapshot_is_taken_in_while_a_checkpoint_is_being_written() {
    let mut follower = replica_of(3, 2, &[]);
    follower.receive(2, 2, append(LogId::ZERO, &[1, 1], 2));
    follower.step(Input::Checkpoint);
    let offer = |token| {
        Input::SnapshotOffered(SnapshotOffer {
            token: SnapshotToken(token),
            from: ReplicaId::first(2),
            term: Term::new(2),
            last_included: LogId::new(2, 50),
            membership: Arc::new(Membership::of_ids(1..=3)),
        })
    };

    follower.step(offer(1));
    assert!(!follower.raft.status().is_installing);
    follower.step(Input::CheckpointEnded);
    follower.step(offer(2));

    assert!(follower.raft.status().is_installing);
}

#[test]
fn forwarded_commands_behind_a_disk_that_hangs_are_bounded_in_bytes() {
    let mut follower = replica_of(3, 2, &[]).with_slow_disk();
    // A new term, which never becomes durable.
    follower.receive(2, 3, heartbeat(1, 0));

    for ticket in 1..=200 {
        follower.step(Input::Propose(vec![Proposal {
            ticket: Ticket(ticket),
            command: Bytes::from(vec![0; 1 << 20]),
        }]));
    }

    // 64 MiB is the bound.
    assert!(follower.failed.len() >= 136);
    assert!(matches!(
        follower.failed[0].1,
        ProposeError::Overloaded { .. }
    ));
}

/// It holds the entry's effect, so it only asks out of tidiness.
#[test]
fn a_follower_that_has_applied_what_is_damaged_gets_no_snapshot() {
    let mut leader = replica_with(3, 1, &[1; 7], |config| {
        config.keep_entries = 3;
        config.max_kept_entries = 3;
    });
    leader.win_election(3);
    let last = LogId::new(2, 8);
    for peer in [2, 3] {
        leader.receive(peer, 2, accepted(session_of(peer), last, last));
    }
    leader.read_back();
    leader.step(Input::StateDurable(LogIndex::new(8)));

    let log_id = LogId::new(1, 3);
    leader.receive(3, 2, Message::FetchEntry(FetchEntry { log_id }));

    assert_eq!(leader.snapshots_alive(), []);
}

/// The follower's answers say that the log goes on from where it is, but the
/// leader cannot read it there.
#[test]
fn a_snapshot_around_an_unreadable_entry_is_not_stopped_by_heartbeats() {
    let mut leader = replica_with(3, 1, &[1; 7], |config| config.cache_bytes = 0);
    leader.win_election(3);
    leader.receive(2, 2, accepted(1, LogId::new(2, 8), LogId::new(2, 8)));
    leader.read_back();
    let at_three = LogId::new(1, 3);
    leader.receive(3, 2, rejected(2, 7, at_three));
    leader.receive(3, 2, accepted(2, at_three, at_three));

    for _ in 0..40 {
        leader.wait(Duration::from_millis(50));
        for read in std::mem::take(&mut leader.log_reads) {
            leader.step(Input::LogRead {
                token: read.token,
                entries: LogSlice::empty(),
                corrupt: Some(LogIndex::new(4)),
            });
        }
        leader.receive(3, 2, heartbeat_reply(2, 1, at_three));
        leader.receive(3, 2, accepted(2, at_three, at_three));
        leader.receive(2, 2, heartbeat_reply(1, 1, LogId::new(2, 8)));
    }

    assert_eq!(leader.raft.status().role, RoleKind::Leader);
    assert_eq!(leader.snapshots_alive().len(), 1);
}
