//! Nothing is claimed before it is durable (Raft §5, figure 2 "persistent state").

use super::*;
use crate::protocol::status::RoleKind;

#[test]
fn a_vote_is_answered_only_when_it_is_durable() {
    let mut voter = replica_of(3, 2, &[]).with_slow_disk();
    voter.now = Duration::from_millis(300);

    assert_eq!(voter.receive(2, 3, request_vote(LogId::ZERO)), []);
    assert_eq!(voter.finish_writes(), [(2, vote(3, true))]);
}

#[test]
fn an_append_is_acknowledged_only_when_it_is_durable() {
    let mut follower = replica_of(3, 2, &[]).with_slow_disk();

    assert_eq!(follower.receive(2, 2, append(LogId::ZERO, &[2], 0)), []);

    let id = LogId::new(2, 1);
    assert_eq!(follower.finish_writes(), [(2, accepted(1, id, id))]);
}

#[test]
fn a_heartbeat_tells_what_is_received_apart_from_what_is_durable() {
    let mut follower = replica_of(3, 2, &[]).with_slow_disk();
    follower.receive(2, 2, append(LogId::ZERO, &[2], 0));

    let sent = follower.receive(2, 2, heartbeat(4, 0));

    let (received, durable) = (LogId::new(2, 1), LogId::ZERO);
    let reply = HeartbeatReply {
        session: 1,
        round: 4,
        received,
        durable,
        promise: Duration::from_millis(300),
    };
    assert_eq!(sent, [(2, Message::HeartbeatReply(reply))]);
}

#[test]
fn a_candidate_asks_for_votes_only_when_its_own_is_durable() {
    let mut candidate = replica_of(3, 2, &[]).with_slow_disk();
    candidate.wait_for_election_timeout();

    assert_eq!(
        candidate.receive(2, 2, pre_vote_reply(candidate.raft.pre_vote_round, 3, true)),
        []
    );
    let asked = candidate.finish_writes();

    assert_eq!(asked.len(), 2);
    assert!(
        asked
            .iter()
            .all(|(_, message)| matches!(message, Message::RequestVote(_)))
    );
}

#[test]
fn a_single_voter_leads_only_when_its_vote_is_durable() {
    let mut single = replica_of(1, 0, &[]).with_slow_disk();
    single.wait_for_election_timeout();
    assert_eq!(single.raft.status().role, RoleKind::Candidate);

    single.finish_writes();

    assert_eq!(single.raft.status().role, RoleKind::Leader);
}

#[test]
fn a_late_completion_of_a_truncated_write_acknowledges_nothing_of_its_successor() {
    let mut follower = replica_of(3, 3, &[]).with_slow_disk();
    follower.receive(2, 3, append(LogId::ZERO, &[2, 2], 0));
    let first_write = follower.unfinished.remove(0);
    follower.receive(3, 4, append(LogId::ZERO, &[4], 0));

    let sent = follower.step(Input::Persisted(first_write.token));

    // The old leader may still be told of what it sent, and nobody of more.
    let reply = accepted(1, LogId::new(2, 2), LogId::new(2, 2));
    assert!(sent.is_empty() || sent == [(2, reply)], "{sent:?}");
    assert_eq!(follower.raft.status().durable_index, LogIndex::ZERO);
}

#[test]
fn answers_in_a_new_term_wait_until_the_term_is_durable() {
    let mut follower = replica_of(3, 2, &[]).with_slow_disk();

    assert_eq!(follower.receive(2, 5, heartbeat(1, 0)), []);
    assert_eq!(
        follower.finish_writes(),
        [(2, heartbeat_reply(1, 1, LogId::ZERO))]
    );
}
