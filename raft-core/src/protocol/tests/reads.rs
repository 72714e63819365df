//! Thesis §6.4: linearizable reads by ReadIndex.

use super::*;
use crate::message::{ReadIndex, ReadIndexReply};

fn rounds(sent: &[(u64, Message)]) -> Vec<u64> {
    let mut rounds: Vec<_> = sent
        .iter()
        .filter_map(|(_, message)| match message {
            Message::Heartbeat(body) => Some(body.round),
            _ => None,
        })
        .collect();
    rounds.dedup();
    rounds
}

/// A leader whose blank entry is committed, with round 1 answered.
fn settled_leader() -> Replica {
    let mut leader = leader_of(3, 2, &[]);
    leader.receive(
        2,
        2,
        accepted(session_of(2), LogId::new(2, 1), LogId::new(2, 1)),
    );
    leader.receive(2, 2, heartbeat_reply(session_of(2), 1, LogId::new(2, 1)));
    leader
}

#[test]
fn a_read_waits_for_a_round_that_began_after_it() {
    let mut leader = settled_leader();

    assert_eq!(rounds(&leader.read(1)), [2]);
    leader.receive(3, 2, heartbeat_reply(session_of(3), 1, LogId::ZERO));
    assert_eq!(leader.reads, [], "round 1 began before the read");

    leader.receive(3, 2, heartbeat_reply(session_of(3), 2, LogId::ZERO));
    assert_eq!(leader.reads, [(1, Ok(LogIndex::new(1)))]);
}

#[test]
fn reads_that_arrive_during_a_round_share_the_next_one() {
    let mut leader = settled_leader();
    leader.read(1);

    assert_eq!(leader.read(2), []);
    assert_eq!(leader.read(3), []);
    let sent = leader.receive(2, 2, heartbeat_reply(session_of(2), 2, LogId::new(2, 1)));
    assert_eq!(rounds(&sent), [3]);

    leader.receive(2, 2, heartbeat_reply(session_of(2), 3, LogId::new(2, 1)));
    assert_eq!(leader.reads.len(), 3);
}

/// Raft §8: before the first commit of its term a leader does not know what is committed.
#[test]
fn a_read_waits_for_the_first_commit_of_the_term() {
    let mut leader = leader_of(3, 2, &[1]);
    leader.read(1);
    leader.receive(2, 2, heartbeat_reply(session_of(2), 1, LogId::ZERO));
    leader.receive(2, 2, heartbeat_reply(session_of(2), 2, LogId::ZERO));
    assert_eq!(leader.reads, []);

    let read = leader.log_reads.first().copied();
    assert_eq!(
        read, None,
        "nothing is committed yet, so nothing is applied"
    );
    leader.receive(
        3,
        2,
        accepted(session_of(3), LogId::new(2, 2), LogId::new(2, 2)),
    );

    let token = leader.log_reads[0].token;
    let entries = LogSlice::new(vec![Entry::blank(LogId::new(1, 1))]).unwrap();
    leader.step(Input::LogRead {
        token,
        entries,
        corrupt: None,
    });
    assert_eq!(leader.reads, [(1, Ok(LogIndex::new(2)))]);
}

#[test]
fn a_deposed_leader_serves_no_read() {
    let mut leader = settled_leader();
    leader.read(1);

    leader.receive(3, 3, heartbeat(1, 0));

    assert_eq!(leader.reads, [(1, Err(ReadError::Unconfirmed))]);
}

#[test]
fn a_follower_asks_its_leader_and_waits_until_the_index_is_applied() {
    let mut follower = replica_of(3, 2, &[]);
    follower.receive(2, 2, append(LogId::ZERO, &[2, 2], 1));
    let request = RequestId {
        boot: follower.raft.boot(),
        sequence: 1,
    };

    assert_eq!(
        follower.read(9),
        [(
            2,
            Message::ReadIndex(ReadIndex {
                request,
                lease: false
            })
        )]
    );
    let index = Some(LogIndex::new(2));
    let reply = ReadIndexReply {
        request,
        index,
        commit: LogIndex::new(1),
    };
    follower.receive(2, 2, Message::ReadIndexReply(reply));
    assert_eq!(follower.reads, []);

    follower.receive(2, 2, heartbeat(1, 2));
    assert_eq!(follower.reads, [(9, Ok(LogIndex::new(2)))]);
}

#[test]
fn an_answer_to_a_read_of_an_earlier_start_is_ignored() {
    let mut follower = replica_of(3, 2, &[]);
    follower.receive(2, 2, append(LogId::ZERO, &[2], 1));
    follower.read(9);

    let request = RequestId {
        boot: follower.raft.boot() ^ 1,
        sequence: 1,
    };
    let reply = ReadIndexReply {
        request,
        index: Some(LogIndex::ZERO),
        commit: LogIndex::ZERO,
    };
    follower.receive(2, 2, Message::ReadIndexReply(reply));

    assert_eq!(follower.reads, []);
}

#[test]
fn a_read_request_that_got_lost_is_asked_again() {
    let mut follower = replica_of(3, 2, &[]);
    follower.receive(2, 2, heartbeat(1, 0));
    let first = follower.read(9);

    assert_eq!(follower.wait(Duration::from_millis(50)), first);
}

#[test]
fn without_a_leader_a_read_is_refused() {
    let mut follower = replica_of(3, 2, &[]);

    follower.read(9);

    assert_eq!(follower.reads, [(9, Err(ReadError::NoLeader))]);
}
