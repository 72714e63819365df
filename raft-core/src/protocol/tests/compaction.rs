//! When a checkpoint is taken, what goes on meanwhile, and what a snapshot
//! leaves behind (Raft §7).

use std::sync::Arc;

use super::snapshots::offer;
use super::*;
use crate::protocol::{RoleKind, SnapshotOffer, SnapshotToken};
use crate::types::NodeId;

impl Replica {
    fn checkpoints_begun(&self) -> usize {
        let begun = |output: &&Output| matches!(output, Output::Checkpoint);
        self.others.iter().filter(begun).count()
    }
}

/// A group of one, which has applied its blank entry.
fn single(adjust: impl FnOnce(&mut Config)) -> Replica {
    let mut single = replica_with(1, 1, &[], adjust);
    single.wait_for_election_timeout();
    assert_eq!(single.applied.len(), 1);
    single
}

#[test]
fn a_checkpoint_is_due_after_so_many_entries() {
    let mut single = single(|config| config.checkpoint_entries = 3);

    single.propose(1);
    assert_eq!(single.checkpoints_begun(), 0);
    single.propose(2);

    assert_eq!(single.checkpoints_begun(), 1);
}

#[test]
fn a_checkpoint_is_due_after_so_many_bytes() {
    let mut single = single(|config| config.checkpoint_bytes = 1000);
    let large = Bytes::from(vec![0; 2000]);

    single.propose(1);
    assert_eq!(single.checkpoints_begun(), 0);
    single.step(Input::Propose(vec![Proposal {
        ticket: Ticket(2),
        command: large,
    }]));

    assert_eq!(single.checkpoints_begun(), 1);
}

/// Raft §7: taking one must not hold up normal work.
#[test]
fn entries_are_appended_and_applied_while_a_checkpoint_is_written() {
    let mut single = single(|_| {});
    single.step(Input::Checkpoint);
    assert_eq!(single.checkpoints_begun(), 1);

    single.propose(1);

    assert_eq!(single.committed_proposals, [1]);
    assert_eq!(single.applied.len(), 2);
}

/// Raft figure 13, rule 8: the configuration comes with the state.
#[test]
fn the_membership_of_a_snapshot_is_in_force_with_it() {
    let mut follower = replica_of(3, 2, &[1, 1]);
    let of_snapshot = Membership::of_ids(1..=5);
    follower.step(Input::SnapshotOffered(SnapshotOffer {
        token: SnapshotToken(1),
        from: ReplicaId::first(2),
        term: Term::new(2),
        last_included: LogId::new(2, 9),
        membership: Arc::new(of_snapshot.clone()),
    }));
    assert_eq!(
        *follower.raft.status().membership,
        Membership::of_ids(1..=3)
    );

    follower.restored(1, true);

    assert_eq!(*follower.raft.status().membership, of_snapshot);
}

/// Raft §7: the last included term is there for the consistency check.
#[test]
fn the_first_append_behind_a_snapshot_is_checked_against_it() {
    let mut follower = replica_of(3, 2, &[1, 1]);
    follower.step(offer(1, 2, LogId::new(2, 9)));
    follower.restored(1, true);

    let sent = follower.receive(2, 2, append(LogId::new(1, 9), &[2], 0));
    assert!(matches!(
        &sent[..],
        [(2, Message::AppendReply(reply))] if matches!(reply.result, AppendResult::Rejected { .. })
    ));
    let sent = follower.receive(2, 2, append(LogId::new(2, 9), &[2], 0));
    let last = LogId::new(2, 10);
    assert_eq!(sent, [(2, accepted(1, last, last))]);
}

#[test]
fn a_snapshot_is_a_word_of_the_leader() {
    let mut follower = replica_of(3, 2, &[1, 1]);
    follower.now = Duration::from_millis(299);

    follower.step(offer(1, 3, LogId::new(2, 9)));

    let status = follower.raft.status();
    assert_eq!(status.term(), Term::new(3));
    assert_eq!(status.leader, Some(NodeId::new(2)));
    assert!(follower.raft.poll_timeout().since_start() >= Duration::from_millis(599));
}

#[test]
fn nothing_is_applied_while_a_snapshot_is_taken_in() {
    let mut follower = replica_of(3, 2, &[]);
    follower.step(offer(1, 2, LogId::new(2, 9)));

    follower.receive(2, 2, append(LogId::ZERO, &[2, 2], 2));
    assert_eq!(follower.commit_index(), 2);
    assert_eq!(follower.applied, []);
    follower.restored(1, false);

    assert_eq!(follower.applied.len(), 2, "it goes on from where it was");
}

/// Raft §7: a leader whose log still reaches what is lacking sends entries.
#[test]
fn a_follower_that_the_log_still_reaches_gets_entries_and_no_snapshot() {
    let mut leader = leader_of(3, 2, &[1, 1, 1]);

    leader.receive(3, 2, rejected(session_of(3), 3, LogId::ZERO));
    leader.receive(3, 2, accepted(session_of(3), LogId::ZERO, LogId::ZERO));

    assert_eq!(leader.raft.status().role, RoleKind::Leader);
    let read = leader.log_reads.first().map(|read| read.first);
    assert_eq!(read, Some(LogIndex::new(1)));
    let is_sent = |output: &Output| matches!(output, Output::SendSnapshot(_));
    assert!(!leader.others.iter().any(is_sent));
}
