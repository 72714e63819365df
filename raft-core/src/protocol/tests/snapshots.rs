//! Snapshots: sending, taking in, and how much of the log is kept (Raft §7).

use std::sync::Arc;

use super::*;
use crate::protocol::{SendSnapshot, SnapshotOffer, SnapshotToken};
use crate::types::NodeId;

const fn at(index: u64) -> LogIndex {
    LogIndex::new(index)
}

/// A leader of term 2 that has purged its log up to index 5 of 8; follower 3 is new.
fn leader_with_short_log() -> Replica {
    let mut leader = replica_with(3, 1, &[1; 7], |config| {
        config.keep_entries = 3;
        config.max_kept_entries = 3;
    });
    leader.win_election(3);
    leader.receive(2, 2, accepted(1, LogId::new(2, 8), LogId::new(2, 8)));
    leader.read_back();
    leader.step(Input::StateDurable(at(8)));
    assert_eq!(leader.raft.status().purged, LogId::new(1, 5));
    leader
}

pub(super) fn offer(token: u64, term: u64, last_included: LogId) -> Input {
    offer_of(2, token, term, last_included)
}

fn offer_of(leader: u64, token: u64, term: u64, last_included: LogId) -> Input {
    Input::SnapshotOffered(SnapshotOffer {
        token: SnapshotToken(token),
        from: ReplicaId::first(leader),
        term: Term::new(term),
        last_included,
        membership: Arc::new(Membership::of_ids(1..=3)),
    })
}

/// The limit on silence in the tests of it.
const LIMIT: Duration = Duration::from_millis(400);

/// The same leader, whose snapshot to follower 3 is on its way.
fn leader_that_sends(token: &mut SnapshotToken) -> Replica {
    let mut leader = replica_with(3, 1, &[1; 7], |config| {
        config.keep_entries = 3;
        config.max_kept_entries = 3;
        config.snapshot_timeout = LIMIT;
    });
    leader.win_election(3);
    leader.receive(2, 2, accepted(1, LogId::new(2, 8), LogId::new(2, 8)));
    leader.read_back();
    leader.step(Input::StateDurable(at(8)));
    leader.receive(3, 2, rejected(2, 7, LogId::ZERO));
    *token = leader.snapshots_sent()[0].token;
    leader
}

impl Replica {
    /// Half of [`LIMIT`] passes, and both followers are heard meanwhile.
    fn half_the_limit_passes(&mut self) {
        for _ in 0..4 {
            self.wait(LIMIT / 8);
            self.receive(3, 2, heartbeat_reply(2, 1, LogId::ZERO));
            self.receive(2, 2, heartbeat_reply(1, 1, LogId::new(2, 8)));
        }
    }

    fn stopped(&self) -> Vec<Output> {
        let stops =
            |output: &&Output| matches!(output, Output::StopSnapshot(_) | Output::StopInstall(_));
        self.others.iter().filter(stops).cloned().collect()
    }

    fn snapshots_sent(&self) -> Vec<SendSnapshot> {
        let sent = |output: &Output| match output {
            Output::SendSnapshot(order) => Some(*order),
            _ => None,
        };
        self.others.iter().filter_map(sent).collect()
    }

    fn refused(&self) -> Vec<u64> {
        let refused = |output: &Output| match output {
            Output::RefuseSnapshot { token, .. } => Some(token.0),
            _ => None,
        };
        self.others.iter().filter_map(refused).collect()
    }

    pub(super) fn restored(&mut self, token: u64, ok: bool) -> Vec<(u64, Message)> {
        let token = SnapshotToken(token);
        self.step(Input::SnapshotRestored { token, ok })
    }

    fn has_output(&self, wanted: impl Fn(&Output) -> bool) -> bool {
        self.others.iter().any(wanted)
    }
}

#[test]
fn a_follower_that_lacks_what_was_purged_gets_a_snapshot_and_then_entries() {
    let mut leader = leader_with_short_log();

    leader.receive(3, 2, rejected(2, 7, LogId::ZERO));
    let [order] = leader.snapshots_sent()[..] else {
        panic!("one snapshot is sent");
    };
    assert_eq!(order.to, ReplicaId::first(3));
    let sent = leader.step(Input::SnapshotSent {
        token: order.token,
        installed: Some(LogId::new(2, 8)),
    });

    assert_eq!(appends_to(3, &sent), [(LogId::new(2, 8), 0)]);
}

#[test]
fn a_snapshot_that_did_not_get_across_is_sent_again_later() {
    let mut leader = leader_with_short_log();
    leader.receive(3, 2, rejected(2, 7, LogId::ZERO));
    let token = leader.snapshots_sent()[0].token;

    leader.step(Input::SnapshotSent {
        token,
        installed: None,
    });
    assert_eq!(leader.snapshots_sent().len(), 1);
    for _ in 0..7 {
        leader.wait(Duration::from_millis(50));
        leader.receive(3, 2, heartbeat_reply(2, 1, LogId::ZERO));
        leader.receive(2, 2, heartbeat_reply(1, 1, LogId::new(2, 8)));
    }

    assert_eq!(leader.snapshots_sent().len(), 2);
}

#[test]
fn only_so_many_snapshots_are_sent_at_a_time() {
    let mut leader = replica_with(4, 1, &[1; 7], |config| {
        config.keep_entries = 0;
        config.max_kept_entries = 0;
        config.max_snapshot_transfers = 1;
    });
    leader.win_election(4);
    for peer in [2, 3] {
        leader.receive(
            peer,
            2,
            accepted(session_of(peer), LogId::new(2, 8), LogId::new(2, 8)),
        );
    }
    leader.read_back();
    leader.step(Input::StateDurable(at(8)));

    for peer in [3, 4] {
        leader.receive(peer, 2, rejected(session_of(peer), 8, LogId::ZERO));
    }

    assert!(leader.snapshots_sent().len() <= 1);
}

#[test]
fn the_log_is_purged_only_below_what_a_crash_leaves_of_the_state() {
    let mut leader = replica_with(1, 1, &[1; 7], |config| config.keep_entries = 0);
    leader.wait_for_election_timeout();
    assert_eq!(leader.commit_index(), 8);

    leader.read_back();
    leader.step(Input::StateDurable(at(4)));

    assert_eq!(leader.raft.status().purged, LogId::new(1, 4));
}

#[test]
fn the_log_is_kept_for_a_follower_that_is_only_slow() {
    let mut leader = replica_with(3, 1, &[1; 7], |config| config.keep_entries = 0);
    leader.win_election(3);
    leader.receive(2, 2, accepted(1, LogId::new(2, 8), LogId::new(2, 8)));
    leader.receive(3, 2, accepted(2, LogId::new(1, 3), LogId::new(1, 3)));

    leader.read_back();
    leader.step(Input::StateDurable(at(8)));

    assert_eq!(leader.raft.status().purged, LogId::new(1, 3));
}

#[test]
fn a_snapshot_takes_the_place_of_a_log_that_does_not_hold_it() {
    let mut follower = replica_of(3, 2, &[1, 1]).with_slow_disk();
    follower.step(offer(1, 3, LogId::new(2, 9)));
    follower.restored(1, true);

    let status = follower.raft.status();
    assert_eq!(status.purged, LogId::new(2, 9));
    assert_eq!((status.commit_index, status.last_applied), (at(9), at(9)));
    let persist = follower.unfinished.last().unwrap();
    assert_eq!(persist.reset, Some(LogId::new(2, 9)));
    assert!(follower.has_output(|o| matches!(o, Output::SnapshotInstalled(SnapshotToken(1)))));
}

/// Raft §7: "if instead the follower receives a snapshot that describes a prefix
/// of its log", what follows is still valid and kept.
#[test]
fn a_suffix_that_matches_the_snapshot_is_kept() {
    let mut follower = replica_of(3, 2, &[1, 1, 2]);
    // Entry 4 arrives while the snapshot up to it is on its way.
    follower.step(offer(1, 2, LogId::new(2, 4)));
    follower.receive(2, 2, append(LogId::new(2, 3), &[2, 2], 0));
    follower.restored(1, true);

    let status = follower.raft.status();
    assert_eq!(status.last_log, LogId::new(2, 5));
    assert_eq!(status.last_applied, at(4));
    assert!(!follower.unfinished.iter().any(|p| p.reset.is_some()));
}

#[test]
fn a_snapshot_that_the_log_holds_needs_no_restore() {
    let mut follower = replica_of(3, 2, &[1, 1, 2]);

    follower.step(offer(1, 2, LogId::new(1, 2)));

    assert!(!follower.has_output(|o| matches!(o, Output::InstallSnapshot(_))));
    assert!(follower.has_output(|o| matches!(o, Output::SnapshotInstalled(_))));
    assert_eq!(follower.commit_index(), 2);
}

#[test]
fn a_deposed_leaders_snapshot_and_a_second_one_are_refused() {
    let mut follower = replica_of(3, 4, &[1, 1]);

    follower.step(offer(1, 3, LogId::new(2, 9)));
    follower.step(offer(2, 4, LogId::new(2, 9)));
    follower.step(offer(3, 4, LogId::new(2, 12)));

    assert_eq!(follower.refused(), [1, 3]);
}

#[test]
fn a_restore_that_fails_changes_nothing_and_the_next_snapshot_is_welcome() {
    let mut follower = replica_of(3, 2, &[1, 1]);
    follower.step(offer(1, 2, LogId::new(2, 9)));
    follower.restored(1, false);
    assert_eq!(follower.raft.status().last_log, LogId::new(1, 2));

    follower.step(offer(2, 2, LogId::new(2, 9)));

    assert_eq!(follower.refused(), [1]);
    assert!(follower.raft.status().is_installing);
}

#[test]
fn a_replica_that_takes_a_snapshot_in_does_not_campaign() {
    let mut follower = replica_of(3, 2, &[1, 1]);
    follower.step(offer(1, 2, LogId::new(2, 9)));

    assert_eq!(follower.wait(Duration::from_secs(3)), []);
}

/// The entry may be among those that the snapshot stands for.
#[test]
fn a_proposal_that_the_snapshot_may_hold_ends_unknown() {
    let mut follower = replica_of(3, 2, &[1, 1]);
    follower.receive(2, 2, heartbeat(1, 0));
    follower.propose(5);

    follower.step(offer(1, 2, LogId::new(2, 9)));
    follower.restored(1, true);

    let [(5, ProposeError::Unknown { .. })] = follower.failed[..] else {
        panic!("unknown, not {:?}", follower.failed);
    };
}

#[test]
fn a_leader_stops_sending_when_it_is_deposed() {
    let mut leader = leader_with_short_log();
    leader.receive(3, 2, rejected(2, 7, LogId::ZERO));

    leader.receive(2, 5, heartbeat(1, 0));

    assert!(leader.has_output(|o| matches!(o, Output::StopSnapshot(_))));
    assert_eq!(leader.raft.status().leader, Some(NodeId::new(2)));
}

#[test]
fn a_snapshot_that_gets_further_is_not_given_up_however_long_it_takes() {
    let mut token = SnapshotToken(0);
    let mut leader = leader_that_sends(&mut token);

    for _ in 0..20 {
        leader.half_the_limit_passes();
        leader.step(Input::SnapshotProgress(token));
    }

    assert_eq!(leader.stopped().len(), 0);
    assert_eq!(leader.snapshots_sent().len(), 1);
}

#[test]
fn a_snapshot_that_gets_no_further_is_given_up_and_begun_anew() {
    let mut token = SnapshotToken(0);
    let mut leader = leader_that_sends(&mut token);
    leader.half_the_limit_passes();
    leader.step(Input::SnapshotProgress(token));

    leader.half_the_limit_passes();
    assert_eq!(leader.stopped().len(), 0);
    // Word of another transfer is none of this one.
    leader.step(Input::SnapshotProgress(SnapshotToken(token.0 + 1)));
    leader.half_the_limit_passes();

    let [Output::StopSnapshot(stopped)] = leader.stopped()[..] else {
        panic!("one is stopped, not {:?}", leader.stopped());
    };
    assert_eq!(stopped, token);
    leader.half_the_limit_passes();
    assert_eq!(leader.snapshots_sent().len(), 2);
}

/// What the old leader has not sent yet, it never will.
#[test]
fn a_snapshot_of_a_deposed_leader_is_read_no_further() {
    let mut follower = replica_of(3, 2, &[1, 1]);
    follower.step(offer(1, 2, LogId::new(2, 9)));
    follower.receive(2, 2, heartbeat(1, 0));
    assert_eq!(follower.stopped().len(), 0);

    follower.receive(3, 3, heartbeat(1, 0));
    follower.receive(3, 3, heartbeat(1, 0));
    let [Output::StopInstall(SnapshotToken(1))] = follower.stopped()[..] else {
        panic!("one is stopped, not {:?}", follower.stopped());
    };
    follower.restored(1, false);
    follower.step(offer_of(3, 2, 3, LogId::new(3, 12)));

    assert_eq!(follower.refused(), [1]);
    assert!(follower.raft.status().is_installing);
}

#[test]
fn a_snapshot_of_a_deposed_leader_that_was_read_to_its_end_counts() {
    let mut follower = replica_of(3, 2, &[1, 1]);
    follower.step(offer(1, 2, LogId::new(2, 9)));
    follower.receive(3, 3, heartbeat(1, 0));

    follower.restored(1, true);

    assert_eq!(follower.raft.status().last_applied, at(9));
}
