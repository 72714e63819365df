//! Every proposal ends in exactly one way.

use std::time::Duration;

use super::*;
use crate::message::{Propose, ProposeRefused, Refusal};
use crate::storage_health::StorageHealth;

fn command(log_id: LogId, request: RequestId) -> Entry {
    Entry::command(log_id, request, Bytes::from_static(b"command"))
}

fn append_entries(previous: LogId, entries: Vec<Entry>, commit: u64) -> Message {
    Message::AppendEntries(AppendEntries {
        session: 1,
        previous,
        entries: LogSlice::new(entries).unwrap(),
        commit: LogIndex::new(commit),
    })
}

fn forwarded(boot: u64, sequence: u64) -> Message {
    let commands = vec![(sequence, Bytes::from_static(b"command"))];
    Message::Propose(Propose { boot, commands })
}

#[test]
fn without_a_leader_a_proposal_is_refused() {
    let mut follower = replica_of(3, 2, &[]);

    follower.propose(1);

    assert_eq!(follower.failed, [(1, ProposeError::NoLeader)]);
}

#[test]
fn a_proposal_on_the_leader_commits() {
    let mut leader = leader_of(3, 2, &[]);
    leader.propose(1);

    leader.receive(
        2,
        2,
        accepted(session_of(2), LogId::new(2, 2), LogId::new(2, 2)),
    );

    assert_eq!(leader.committed_proposals, [1]);
}

#[test]
fn a_proposal_on_a_follower_is_forwarded_and_ends_where_it_came_from() {
    let mut follower = replica_of(3, 2, &[]);
    follower.receive(2, 2, heartbeat(1, 0));

    let sent = follower.propose(1);
    assert_eq!(sent, [(2, forwarded(follower.raft.boot(), 1))]);

    let entry = command(LogId::new(2, 1), follower.request(1));
    follower.receive(2, 2, append_entries(LogId::ZERO, vec![entry], 1));
    assert_eq!(follower.committed_proposals, [1]);
}

#[test]
fn a_leader_appends_a_forwarded_command_once() {
    let mut leader = leader_of(3, 2, &[]);

    leader.receive(2, 2, forwarded(77, 1));
    leader.receive(2, 2, forwarded(77, 1));

    assert_eq!(leader.raft.status().last_log.index, LogIndex::new(2));
}

#[test]
fn a_command_forwarded_to_an_earlier_leadership_is_not_appended() {
    let mut leader = leader_of(3, 5, &[]);

    leader.receive(2, 4, forwarded(77, 1));

    assert_eq!(leader.raft.status().last_log.index, LogIndex::new(1));
}

#[test]
fn the_forwarder_is_told_of_the_commit_at_once() {
    let mut leader = leader_of(3, 2, &[]);
    leader.receive(2, 2, forwarded(77, 1));

    let sent = leader.receive(
        2,
        2,
        accepted(session_of(2), LogId::new(2, 2), LogId::new(2, 2)),
    );

    let commit = crate::message::Commit {
        commit: LogIndex::new(2),
    };
    assert!(sent.contains(&(2, Message::Commit(commit))), "{sent:?}");
}

/// An entry of a later term is committed without ours before it: ours never will be.
#[test]
fn a_proposal_overtaken_by_a_later_term_is_refused_for_certain() {
    let mut leader = leader_of(3, 2, &[]);
    leader.propose(1);

    leader.receive(
        2,
        3,
        append_entries(LogId::ZERO, vec![Entry::blank(LogId::new(3, 1))], 1),
    );

    assert_eq!(
        leader.failed,
        [(1, ProposeError::Superseded { term: Term::new(3) })]
    );
}

#[test]
fn a_proposal_that_the_next_leader_kept_still_commits() {
    let mut leader = leader_of(3, 2, &[]);
    leader.propose(1);
    let blank = Entry::blank(LogId::new(3, 3));

    leader.receive(2, 3, append_entries(LogId::new(2, 2), vec![blank], 3));

    assert_eq!(leader.committed_proposals, [1]);
    assert_eq!(leader.failed, []);
}

#[test]
fn a_proposal_without_outcome_becomes_unknown() {
    let mut follower = replica_of(3, 2, &[]);
    follower.receive(2, 2, heartbeat(1, 0));
    follower.propose(1);

    follower.wait(Duration::from_secs(5));

    assert!(matches!(
        follower.failed[..],
        [(1, ProposeError::Unknown { .. })]
    ));
}

#[test]
fn a_leader_with_too_much_uncommitted_refuses_and_keeps_what_it_has() {
    let mut leader = replica_with(3, 1, &[], |config| config.max_uncommitted_bytes = 75);
    leader.win_election(3);

    leader.propose(1);
    leader.propose(2);
    assert_eq!(
        leader.failed,
        [(2, ProposeError::Overloaded { pending: 1 })]
    );

    let sent = leader.receive(2, 2, forwarded(77, 1));
    let refusal = ProposeRefused {
        boot: 77,
        sequences: vec![1],
        reason: Refusal::Overloaded,
    };
    assert!(sent.contains(&(2, Message::ProposeRefused(refusal))));
}

/// What it appended would wait for somebody to free space, and its client with it.
#[test]
fn a_leader_with_a_full_disk_that_nobody_relieves_says_so() {
    let mut leader = leader_of(1, 2, &[1]);
    leader.step(Input::StorageHealth(StorageHealth::Full));

    leader.propose(1);
    assert_eq!(leader.failed, [(1, ProposeError::DiskFull)]);
    assert_eq!(leader.raft.status().last_log, LogId::new(2, 2));

    leader.step(Input::StorageHealth(StorageHealth::Healthy));
    leader.propose(2);
    assert_eq!(leader.raft.status().last_log, LogId::new(2, 3));
}

/// Nobody took over: what waited for that has nowhere to go.
#[test]
fn what_waited_for_a_hand_over_is_refused_when_the_disk_stays_full() {
    let mut leader = leader_of(3, 2, &[1]);
    let last = LogId::new(2, 2);
    for peer in [2, 3] {
        leader.receive(peer, 2, accepted(session_of(peer), last, last));
    }
    leader.step(Input::StorageHealth(StorageHealth::Full));
    leader.propose(1);
    leader.receive(3, 2, forwarded(77, 1));
    assert_eq!(leader.failed, []);

    let mut sent = Vec::new();
    for round in 1..=30 {
        sent.extend(leader.wait(Duration::from_millis(50)));
        for peer in [2, 3] {
            sent.extend(leader.receive(peer, 2, heartbeat_reply(session_of(peer), round, last)));
        }
    }

    assert_eq!(leader.failed, [(1, ProposeError::DiskFull)]);
    let refusal = ProposeRefused {
        boot: 77,
        sequences: vec![1],
        reason: Refusal::DiskFull,
    };
    assert!(sent.contains(&(3, Message::ProposeRefused(refusal))));
    assert_eq!(leader.raft.status().last_log, last);
}

#[test]
fn a_follower_tells_its_clients_that_the_leader_has_no_space() {
    let mut leader = leader_of(3, 2, &[1]);
    leader.step(Input::StorageHealth(StorageHealth::Full));
    let sent = leader.receive(2, 2, forwarded(77, 1));
    let refusal = ProposeRefused {
        boot: 77,
        sequences: vec![1],
        reason: Refusal::DiskFull,
    };
    assert!(sent.contains(&(2, Message::ProposeRefused(refusal.clone()))));

    let mut follower = replica_of(3, 2, &[]);
    follower.receive(2, 2, heartbeat(1, 0));
    follower.propose(1);
    let boot = follower.raft.boot();
    follower.receive(
        2,
        2,
        Message::ProposeRefused(ProposeRefused { boot, ..refusal }),
    );
    assert_eq!(follower.failed, [(1, ProposeError::DiskFull)]);
}

#[test]
fn a_refusal_for_an_earlier_start_is_ignored() {
    let mut follower = replica_of(3, 2, &[]);
    follower.receive(2, 2, heartbeat(1, 0));
    follower.propose(1);

    let earlier = ProposeRefused {
        boot: follower.raft.boot() ^ 1,
        sequences: vec![1],
        reason: Refusal::Overloaded,
    };
    follower.receive(2, 2, Message::ProposeRefused(earlier));

    assert_eq!(follower.failed, []);
}

#[test]
fn many_forwarded_commands_go_in_messages_of_bounded_size() {
    let mut follower = replica_with(3, 2, &[], |config| config.max_append_bytes = 20);
    follower.receive(2, 2, heartbeat(1, 0));
    let command = Bytes::from_static(b"command");
    let proposals = (1..=5)
        .map(|ticket| Proposal {
            ticket: Ticket(ticket),
            command: command.clone(),
        })
        .collect();

    let sent = follower.step(Input::Propose(proposals));

    let sizes: Vec<usize> = sent
        .iter()
        .map(|(_, message)| match message {
            Message::Propose(body) => body.commands.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sizes, [2, 2, 1]);
}

/// A quorum commits while our own disk hangs; what waits for the disk is in memory.
#[test]
fn a_leader_whose_disk_hangs_takes_no_more_than_its_bound_however_much_others_commit() {
    let mut leader = replica_with(3, 1, &[1], |config| config.max_uncommitted_bytes = 10_000);
    leader.win_election(3);
    let mut leader = leader.with_slow_disk();
    let mut taken = 0;
    for ticket in 1..=2000 {
        leader.propose(ticket);
        taken += u64::from(leader.failed.is_empty());
        let last = leader.raft.status().last_log;
        for peer in [2, 3] {
            leader.receive(peer, 2, accepted(session_of(peer), last, last));
        }
    }
    assert!(
        taken > 100 && taken * 39 <= 10_000 + 39,
        "{taken} proposals"
    );

    leader.finish_writes();
    leader.failed.clear();
    leader.propose(3000);

    assert_eq!(leader.failed, []);
}

/// It would be appended and never fit a message.
#[test]
fn a_command_beyond_the_limit_is_refused() {
    let mut leader = replica_with(3, 1, &[], |config| config.max_command_bytes = 6);
    leader.win_election(3);

    leader.propose(1);

    let (size, limit) = (7, 6);
    assert_eq!(leader.failed, [(1, ProposeError::TooLarge { size, limit })]);
}
