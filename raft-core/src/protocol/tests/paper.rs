//! What figure 2 and §5 of the paper demand and no other file here is about.

use super::*;
use crate::protocol::RoleKind;

const fn id(term: u64, index: u64) -> LogId {
    LogId::new(term, index)
}

/// A candidate of term 3 in a group of `size`, with a log of terms 1 and 2.
fn candidate_of(size: u64) -> Replica {
    let mut candidate = replica_of(size, 2, &[1, 2]);
    candidate.wait_for_election_timeout();
    for peer in 2..=size {
        candidate.receive(
            peer,
            2,
            pre_vote_reply(candidate.raft.pre_vote_round, 3, true),
        );
    }
    assert_eq!(candidate.raft.status().role, RoleKind::Candidate);
    candidate
}

/// The terms of the envelopes in which a message is answered.
fn terms_of_answers(replica: &mut Replica, from: u64, term: u64, message: Message) -> Vec<u64> {
    let envelope = Envelope {
        group: GroupId::default(),
        from: ReplicaId::first(from),
        to: ReplicaId::first(1),
        term: Term::new(term),
        message,
    };
    let now = Timestamp::after_start(replica.now);
    replica.raft.handle(now, Input::Message(envelope));
    std::iter::from_fn(|| replica.raft.poll_output())
        .filter_map(|output| match output {
            Output::Send(envelope) => Some(envelope.term.get()),
            _ => None,
        })
        .collect()
}

/// Raft figure 2, "persistent state on all servers".
#[test]
fn a_vote_outlives_a_restart() {
    let mut restored = Restored::new_group(Membership::of_ids(1..=3));
    restored.hard_state = HardState {
        current_term: Term::new(3),
        voted_for: Some(ReplicaId::first(2)),
    };
    let mut voter = replica_from(restored, |_| {});
    voter.now = Duration::from_millis(300);

    assert_eq!(
        voter.receive(3, 3, request_vote(id(9, 9))),
        [(3, vote(3, false))]
    );
    assert_eq!(
        voter.receive(2, 3, request_vote(LogId::ZERO)),
        [(2, vote(3, true))]
    );
}

/// Raft figure 2, "volatile state on all servers": but the state machine may be
/// ahead of zero, and what it has applied is committed.
#[test]
fn after_a_restart_only_what_is_applied_is_known_to_be_committed() {
    let mut restored = Restored::new_group(Membership::of_ids(1..=3));
    restored.hard_state.current_term = Term::new(1);
    let meta = |index| EntryMeta {
        log_id: id(1, index),
        kind: EntryKind::Blank,
    };
    restored.entries = (1..=3).map(meta).collect();
    restored.last_applied = LogIndex::new(2);

    let replica = replica_from(restored, |_| {});

    assert_eq!(replica.commit_index(), 2);
}

/// Raft figure 2, "volatile state on leaders".
#[test]
fn a_new_leader_tries_each_follower_right_behind_its_own_log() {
    let mut candidate = candidate_of(3);

    let sent = candidate.receive(2, 3, vote(3, true));

    for peer in [2, 3] {
        assert_eq!(appends_to(peer, &sent), [(id(2, 2), 1)]);
    }
    for follower in candidate.raft.status().followers {
        assert_eq!(follower.match_index, LogIndex::ZERO);
        assert_eq!(follower.next_index, LogIndex::new(3));
    }
}

/// Raft figure 2, AppendEntries 1; §5.1.
#[test]
fn an_append_of_an_earlier_term_is_rejected_in_the_current_one() {
    let mut follower = replica_of(3, 5, &[1]);

    let message = append(id(1, 1), &[4], 0);
    let terms = terms_of_answers(&mut follower, 2, 4, message);

    assert_eq!(terms, [5]);
    assert_eq!(follower.raft.status().last_log, id(1, 1));
    assert_eq!(follower.raft.status().leader, None);
}

/// Raft figure 2, RequestVote 1; §5.1.
#[test]
fn a_vote_request_of_an_earlier_term_is_answered_in_the_current_one() {
    let mut voter = replica_of(3, 5, &[]);
    voter.now = Duration::from_millis(300);

    let terms = terms_of_answers(&mut voter, 2, 4, request_vote(id(9, 9)));

    assert_eq!(terms, [5]);
    assert_eq!(voter.raft.status().hard_state.voted_for, None);
}

/// Raft figure 2, AppendEntries 4; §5.5: messages may come twice.
#[test]
fn entries_that_are_there_already_are_not_written_again() {
    let mut follower = replica_of(3, 2, &[1, 1]).with_slow_disk();
    let overlapping = append(LogId::ZERO, &[1, 1, 2], 0);

    follower.receive(2, 2, overlapping.clone());
    follower.receive(2, 2, overlapping);

    let [persist] = &follower.unfinished[..] else {
        panic!("one write, not {:?}", follower.unfinished);
    };
    assert_eq!(persist.truncate_from, None);
    assert_eq!(persist.entries.first(), Some(id(2, 3)));
    assert_eq!(persist.entries.len(), 1);
}

/// Raft figure 2, AppendEntries 5 and "all servers"; §5.3.
#[test]
fn a_follower_applies_in_order_what_its_leader_says_is_committed() {
    let mut follower = replica_of(3, 2, &[]);

    follower.receive(2, 2, append(LogId::ZERO, &[2, 2, 2], 1));
    assert_eq!(follower.applied.len(), 1);
    follower.receive(2, 2, heartbeat(1, 3));

    let applied: Vec<_> = follower.applied.iter().map(|e| e.index().get()).collect();
    assert_eq!(applied, [1, 2, 3]);
}

/// Raft figure 2, "all servers"; §5.1. Requests for votes are apart: they do
/// not move who hears a leader (Thesis §4.2.3).
#[test]
fn whoever_sees_a_higher_term_enters_it_as_a_follower() {
    let messages = [
        heartbeat(1, 0),
        append(LogId::ZERO, &[], 0),
        vote(9, false),
        pre_vote_reply(1, 9, false),
        rejected(1, 0, LogId::ZERO),
        heartbeat_reply(1, 1, LogId::ZERO),
    ];

    for message in messages {
        for mut replica in [
            replica_of(3, 2, &[]),
            candidate_of(3),
            leader_of(3, 3, &[1]),
        ] {
            replica.receive(2, 9, message.clone());

            assert_eq!(replica.term(), Term::new(9), "after {message:?}");
            assert_eq!(replica.raft.status().role, RoleKind::Follower);
        }
    }
}

#[test]
fn a_vote_request_moves_who_hears_no_leader_to_its_term() {
    let mut voter = replica_of(3, 2, &[2]);
    voter.now = Duration::from_millis(300);

    // Its log is too old for our vote, but its term counts.
    voter.receive(2, 9, request_vote(id(1, 1)));

    assert_eq!(voter.term(), Term::new(9));
}

/// Raft figure 2, "candidates"; §5.2.
#[test]
fn a_campaign_raises_the_term_votes_for_itself_and_asks_all_other_voters() {
    let mut replica = replica_of(3, 2, &[1, 2]);
    replica.wait_for_election_timeout();

    let sent = replica.receive(2, 2, pre_vote_reply(replica.raft.pre_vote_round, 3, true));

    let wanted = request_vote(id(2, 2));
    assert_eq!(sent, [(2, wanted.clone()), (3, wanted)]);
    let hard_state = replica.raft.status().hard_state;
    assert_eq!(hard_state.current_term, Term::new(3));
    assert_eq!(hard_state.voted_for, Some(ReplicaId::first(1)));
}

/// Raft §5.2: a majority of the whole group, whoever answers.
#[test]
fn a_minority_of_votes_makes_no_leader() {
    let mut candidate = candidate_of(5);

    candidate.receive(2, 3, vote(3, true));
    candidate.receive(2, 3, vote(3, true));
    candidate.receive(3, 3, vote(3, false));
    assert_eq!(candidate.raft.status().role, RoleKind::Candidate);

    candidate.receive(4, 3, vote(3, true));
    assert_eq!(candidate.raft.status().role, RoleKind::Leader);
}

#[test]
fn votes_of_an_earlier_term_do_not_count() {
    let mut candidate = candidate_of(3);

    candidate.receive(2, 2, vote(2, true));

    assert_eq!(candidate.raft.status().role, RoleKind::Candidate);
}

/// Raft §5.2: only a leader of a term at least as high is one to follow.
#[test]
fn a_candidate_does_not_follow_the_leader_of_an_earlier_term() {
    let mut candidate = candidate_of(3);

    candidate.receive(2, 2, append(LogId::ZERO, &[], 0));

    assert_eq!(candidate.raft.status().role, RoleKind::Candidate);
    assert_eq!(candidate.term(), Term::new(3));
}

/// Raft §5.3, leader append-only.
#[test]
fn a_leader_takes_no_entries_in_its_own_term() {
    let mut leader = leader_of(3, 3, &[1, 2]);

    let sent = leader.receive(2, 3, append(id(1, 1), &[3], 0));

    assert_eq!(sent, []);
    assert_eq!(leader.raft.status().role, RoleKind::Leader);
    assert_eq!(leader.raft.status().last_log, id(3, 3));
}

/// Raft figure 2, "leaders": the answer comes after the entry is applied.
#[test]
fn a_proposal_is_answered_when_it_is_applied_and_not_when_it_is_appended() {
    let mut leader = leader_of(5, 2, &[]);
    leader.propose(1);
    assert_eq!(leader.raft.status().last_log, id(2, 2));

    leader.receive(2, 2, accepted(session_of(2), id(2, 2), id(2, 2)));
    assert_eq!(leader.committed_proposals, []);

    leader.receive(3, 2, accepted(session_of(3), id(2, 2), id(2, 2)));
    assert_eq!(leader.committed_proposals, [1]);
}

/// Raft figure 2, "leaders".
#[test]
fn an_acknowledgement_moves_match_and_next_on() {
    let mut leader = leader_of(3, 2, &[1]);

    leader.receive(2, 2, accepted(session_of(2), id(2, 2), id(1, 1)));

    let follower = leader.raft.status().followers[0];
    assert_eq!(follower.match_index, LogIndex::new(1), "what is durable");
    assert_eq!(follower.next_index, LogIndex::new(3), "what was received");
}

/// Raft §5.4.1.
#[test]
fn of_two_logs_that_end_in_one_term_the_longer_is_more_up_to_date() {
    let mut voter = replica_of(3, 2, &[1, 1, 2]);
    voter.now = Duration::from_millis(300);

    assert_eq!(
        voter.receive(2, 3, request_vote(id(2, 2))),
        [(2, vote(3, false))]
    );
    assert_eq!(
        voter.receive(3, 3, request_vote(id(2, 4))),
        [(3, vote(3, true))]
    );
}

/// Thesis §9.6: the same two questions as for a vote, and the term a step ahead.
#[test]
fn a_pre_vote_goes_only_to_a_log_and_a_term_that_could_win() {
    let mut voter = replica_of(3, 5, &[1, 1, 2]);
    voter.now = Duration::from_millis(300);
    let mut answer = |proposed_term, last_log| {
        let sent = voter.receive(2, 4, pre_vote(proposed_term, last_log));
        sent == [(2, pre_vote_reply(1, proposed_term, true))]
    };

    assert!(!answer(6, id(1, 9)));
    assert!(!answer(6, id(2, 2)));
    assert!(!answer(5, id(2, 3)));
    assert!(answer(6, id(2, 3)));
}

/// Thesis §4.1: the configuration that matters is the candidate's or the
/// leader's; ours may be older.
#[test]
fn a_replica_listens_to_members_that_its_own_log_does_not_name() {
    let mut replica = replica_of(3, 2, &[]);
    replica.now = Duration::from_millis(300);

    let sent = replica.receive(9, 3, request_vote(LogId::ZERO));
    assert_eq!(sent, [(9, vote(3, true))]);

    let sent = replica.receive(9, 3, append(LogId::ZERO, &[3], 0));
    assert_eq!(sent, [(9, accepted(1, id(3, 1), id(3, 1)))]);
}
