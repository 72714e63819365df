//! Reads by the leader's lease, and local reads (Thesis §6.4.1).

use super::*;
use crate::message::ReadIndex;
use crate::types::NodeId;

/// A leader of term 2 that has committed all three entries, and whose latest
/// round nobody has answered.
fn leader() -> Replica {
    let mut leader = leader_of(3, 2, &[1, 1]);
    leader.receive(2, 2, accepted(1, LogId::new(2, 3), LogId::new(2, 3)));
    leader.read_back();
    leader
}

impl Replica {
    fn lease_read(&mut self, ticket: u64) -> Vec<(u64, Message)> {
        self.step(Input::Read {
            consistency: Consistency::Lease,
            tickets: vec![Ticket(ticket)],
        })
    }
}

#[test]
fn a_lease_begins_when_the_round_was_sent_not_when_it_was_answered() {
    let mut leader = leader();
    // Round 1 was begun with the leadership; its answer comes late.
    leader.wait(Duration::from_millis(45));
    leader.receive(2, 2, heartbeat_reply(1, 1, LogId::new(2, 3)));

    // 300 ms less twice 10 %, counted from the sending.
    leader.wait(Duration::from_millis(240 - 45 - 1));
    leader.lease_read(1);
    assert_eq!(leader.reads, [(1, Ok(LogIndex::new(3)))]);
    leader.wait(Duration::from_millis(1));
    leader.lease_read(2);
    assert_eq!(leader.reads.len(), 1);
}

fn answer_promising(millis: u64) -> Message {
    let agreed = LogId::new(2, 3);
    Message::HeartbeatReply(HeartbeatReply {
        session: 1,
        round: 1,
        received: agreed,
        durable: agreed,
        promise: Duration::from_millis(millis),
    })
}

/// It may be configured otherwise than the leader.
#[test]
fn a_lease_ends_with_the_promise_of_the_follower_that_it_rests_on() {
    let mut leader = leader();
    leader.receive(2, 2, answer_promising(100));

    leader.wait(Duration::from_millis(80 - 1));
    leader.lease_read(1);
    assert_eq!(leader.reads, [(1, Ok(LogIndex::new(3)))]);
    leader.wait(Duration::from_millis(1));
    leader.lease_read(2);

    assert_eq!(leader.reads.len(), 1);
}

#[test]
fn a_lease_ends_with_the_leaders_own_timeout_whatever_followers_promise() {
    let mut leader = leader();
    leader.receive(2, 2, answer_promising(10_000));

    leader.wait(Duration::from_millis(240));
    leader.lease_read(1);

    assert!(leader.reads.is_empty());
}

#[test]
fn a_follower_promises_its_own_shortest_election_timeout() {
    let shorter = Duration::from_millis(123);
    let mut follower = replica_with(3, 2, &[1], |c| c.election_timeout_min = shorter);

    let sent = follower.receive(2, 2, heartbeat(1, 0));

    let [(2, Message::HeartbeatReply(reply))] = sent[..] else {
        panic!("a heartbeat is answered: {sent:?}");
    };
    assert_eq!(reply.promise, shorter);
}

#[test]
fn without_a_lease_the_read_waits_for_a_round() {
    let mut leader = leader();

    let sent = leader.lease_read(1);
    assert!(leader.reads.is_empty());
    let round = sent.iter().find_map(|(_, message)| match message {
        Message::Heartbeat(body) => Some(body.round),
        _ => None,
    });
    let round = round.unwrap_or(1);
    leader.receive(2, 2, heartbeat_reply(1, round, LogId::new(2, 3)));
    leader.receive(2, 2, heartbeat_reply(1, round + 1, LogId::new(2, 3)));

    assert_eq!(leader.reads, [(1, Ok(LogIndex::new(3)))]);
}

#[test]
fn no_lease_holds_before_the_first_commit_of_the_term() {
    let mut leader = leader_of(3, 2, &[1, 1]);
    leader.receive(2, 2, heartbeat_reply(1, 1, LogId::new(1, 2)));

    leader.lease_read(1);

    assert!(leader.reads.is_empty());
}

#[test]
fn a_transfer_ends_the_lease_for_the_rest_of_the_term() {
    let mut leader = leader();
    leader.receive(2, 2, heartbeat_reply(1, 1, LogId::new(2, 3)));
    leader.step(Input::TransferLeadership {
        ticket: Ticket(1),
        to: Some(NodeId::new(2)),
    });

    leader.lease_read(1);
    assert!(leader.reads.is_empty());
    // The transfer fails, rounds are answered, and still nobody knows where the
    // request to campaign is.
    for round in 2..40 {
        leader.wait(Duration::from_millis(50));
        leader.receive(2, 2, heartbeat_reply(1, round, LogId::new(2, 3)));
    }
    let served = leader.reads.len();
    leader.lease_read(2);

    assert_eq!(leader.raft.status().transfer_to, None);
    assert_eq!(leader.reads.len(), served);
}

#[test]
fn a_followers_lease_read_is_answered_by_the_leader_without_a_round() {
    let mut leader = leader();
    leader.receive(2, 2, heartbeat_reply(1, 1, LogId::new(2, 3)));
    let request = RequestId {
        boot: 5,
        sequence: 1,
    };

    let with_lease = Message::ReadIndex(ReadIndex {
        request,
        lease: true,
    });
    let sent = leader.receive(3, 2, with_lease);

    assert!(matches!(&sent[..], [(3, Message::ReadIndexReply(r))] if r.index.is_some()));
}

#[test]
fn a_local_read_never_waits() {
    let mut follower = replica_of(3, 2, &[1, 1]);

    follower.step(Input::Read {
        consistency: Consistency::Stale,
        tickets: vec![Ticket(1)],
    });

    assert_eq!(follower.reads, [(1, Ok(LogIndex::ZERO))]);
}

#[test]
fn a_read_whose_index_is_never_applied_ends_in_time() {
    let mut follower = replica_of(3, 2, &[1, 1]);
    follower.receive(2, 2, heartbeat(1, 0));
    let sent = follower.read(7);
    let Some((_, Message::ReadIndex(asked))) = sent.first() else {
        panic!("the leader is asked: {sent:?}");
    };
    let reply = crate::message::ReadIndexReply {
        request: asked.request,
        index: Some(LogIndex::new(99)),
        commit: LogIndex::ZERO,
    };
    follower.receive(2, 2, Message::ReadIndexReply(reply));

    follower.wait(Duration::from_secs(6));

    assert_eq!(follower.reads, [(7, Err(ReadError::Unconfirmed))]);
}
