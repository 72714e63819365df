//! Raft §5.3: the consistency check, conflicts, pipelining.

use std::time::Duration;

use super::*;

fn follower(term: u64, log_terms: &[u64]) -> Replica {
    replica_of(3, term, log_terms)
}

fn agrees(id: LogId) -> Message {
    accepted(1, id, id)
}

#[test]
fn an_append_after_an_entry_we_hold_is_accepted() {
    let mut follower = follower(2, &[1, 1]);

    let sent = follower.receive(2, 2, append(LogId::new(1, 2), &[2, 2], 0));

    assert_eq!(sent, [(2, agrees(LogId::new(2, 4)))]);
}

#[test]
fn an_append_after_an_entry_we_lack_is_rejected_with_where_our_log_ends() {
    let mut follower = follower(2, &[1, 1]);

    let sent = follower.receive(2, 2, append(LogId::new(1, 9), &[2], 0));

    assert_eq!(sent, [(2, rejected(1, 9, LogId::new(1, 2)))]);
}

/// The hint skips all entries of terms above the leader's at that place.
#[test]
fn a_conflict_backs_up_over_a_whole_term() {
    let mut follower = follower(5, &[1, 1, 4, 4, 4]);

    let sent = follower.receive(2, 5, append(LogId::new(3, 5), &[5], 0));

    assert_eq!(sent, [(2, rejected(1, 5, LogId::new(1, 2)))]);
}

/// Raft figure 2, AppendEntries 3.
#[test]
fn a_conflicting_entry_and_all_after_it_are_cut() {
    let mut follower = follower(3, &[1, 2, 2, 2]);

    follower.receive(2, 3, append(LogId::new(1, 1), &[3], 0));

    assert_eq!(follower.raft.status().last_log, LogId::new(3, 2));
}

/// Raft §5.3: an append that arrives late must not cut what came after it.
#[test]
fn an_old_append_cuts_nothing() {
    let mut follower = follower(1, &[1, 1, 1, 1]);

    let sent = follower.receive(2, 1, append(LogId::new(1, 1), &[1], 0));

    assert_eq!(follower.raft.status().last_log, LogId::new(1, 4));
    assert_eq!(
        sent,
        [(2, agrees(LogId::new(1, 2)))],
        "no more is claimed than was proven"
    );
}

#[test]
fn the_commit_index_reaches_only_what_is_known_to_agree() {
    let mut follower = follower(3, &[1, 1, 1]);

    follower.receive(2, 3, append(LogId::new(1, 1), &[], 3));
    assert_eq!(follower.commit_index(), 1);
    follower.receive(2, 3, heartbeat(1, 3));
    assert_eq!(follower.commit_index(), 1);
}

#[test]
fn committed_entries_are_never_cut() {
    let mut follower = follower(3, &[1, 1]);
    follower.receive(2, 3, append(LogId::new(1, 2), &[], 2));

    assert_eq!(
        follower.receive(2, 3, append(LogId::new(1, 1), &[3], 2)),
        []
    );
    assert_eq!(follower.raft.status().last_log, LogId::new(1, 2));
}

#[test]
fn a_leader_probes_downwards_by_the_hint_and_then_pipelines() {
    let mut leader = leader_of(3, 6, &[1, 1, 3, 3, 5]);

    let sent = leader.receive(2, 6, rejected(session_of(2), 5, LogId::new(2, 4)));
    assert_eq!(
        appends_to(2, &sent),
        [(LogId::new(1, 2), 0)],
        "on disk: probe without entries"
    )
}

#[test]
fn entries_that_left_memory_are_read_from_the_log() {
    let mut leader = leader_of(3, 6, &[1, 1, 3]);
    leader.receive(2, 6, rejected(session_of(2), 3, LogId::new(1, 2)));
    leader.log_reads.clear();

    leader.receive(
        2,
        6,
        accepted(session_of(2), LogId::new(1, 2), LogId::new(1, 2)),
    );

    let read = leader.log_reads[0];
    assert_eq!(
        (read.first, read.last),
        (LogIndex::new(3), LogIndex::new(3))
    );
    let entries = LogSlice::new(vec![Entry::blank(LogId::new(3, 3))]).unwrap();
    let sent = leader.step(Input::LogRead {
        token: read.token,
        entries,
        corrupt: None,
    });
    assert_eq!(
        appends_to(2, &sent),
        [(LogId::new(1, 2), 1), (LogId::new(3, 3), 1)]
    );
}

#[test]
fn appends_are_pipelined_without_waiting_for_answers() {
    let mut leader = leader_of(3, 2, &[]);
    leader.receive(
        2,
        2,
        accepted(session_of(2), LogId::new(2, 1), LogId::new(2, 1)),
    );

    let sent: Vec<_> = (1..=3).flat_map(|ticket| leader.propose(ticket)).collect();

    let expected = [1, 2, 3].map(|index| (LogId::new(2, index), 1));
    assert_eq!(appends_to(2, &sent), expected);
}

#[test]
fn an_acknowledgement_of_another_session_does_not_count() {
    let mut leader = leader_of(3, 2, &[]);

    leader.receive(
        2,
        2,
        accepted(session_of(2) + 7, LogId::new(2, 1), LogId::new(2, 1)),
    );

    assert_eq!(leader.commit_index(), 0);
}

#[test]
fn an_acknowledgement_of_entries_that_do_not_exist_does_not_count() {
    let mut leader = leader_of(3, 2, &[]);

    leader.receive(
        2,
        2,
        accepted(session_of(2), LogId::new(2, 9), LogId::new(2, 9)),
    );
    leader.receive(
        2,
        2,
        accepted(session_of(2), LogId::new(1, 1), LogId::new(1, 1)),
    );

    assert_eq!(leader.commit_index(), 0);
}

#[test]
fn a_late_rejection_below_what_is_matched_is_ignored() {
    let mut leader = leader_of(3, 2, &[1, 1]);
    leader.receive(
        2,
        2,
        accepted(session_of(2), LogId::new(2, 3), LogId::new(2, 3)),
    );

    leader.receive(2, 2, rejected(session_of(2), 2, LogId::ZERO));

    assert_eq!(
        leader.raft.status().followers[0].next_index,
        LogIndex::new(4)
    );
}

#[test]
fn an_append_lost_on_the_way_is_sent_again() {
    let mut leader = leader_of(3, 2, &[]);
    let first = LogId::new(2, 1);
    leader.receive(2, 2, accepted(session_of(2), first, first));
    leader.propose(1);

    let mut resent = Vec::new();
    for round in 1..=6 {
        resent.extend(leader.wait(Duration::from_millis(50)));
        resent.extend(leader.receive(2, 2, heartbeat_reply(session_of(2), round, first)));
    }

    assert_eq!(appends_to(2, &resent), [(first, 1)]);
}

/// It answers heartbeats, so it lives: the append is slow, or waits for its disk.
#[test]
fn a_probe_that_is_repeated_carries_no_entries() {
    let mut leader = leader_of(3, 2, &[1]);
    let (session, agreed) = (session_of(2), LogId::new(1, 1));

    let mut repeated = Vec::new();
    for round in 1..=8 {
        repeated.extend(leader.receive(2, 2, heartbeat_reply(session, round, LogId::ZERO)));
        repeated.extend(leader.wait(Duration::from_millis(50)));
    }
    assert_eq!(appends_to(2, &repeated), [(agreed, 0); 8]);
    // The first one was lost: one round trip later the entries go.
    let sent = leader.receive(2, 2, accepted(session, agreed, agreed));

    assert_eq!(appends_to(2, &sent), [(agreed, 1)]);
}

#[test]
fn a_follower_that_comes_back_gets_entries_with_the_first_probe() {
    let mut leader = leader_of(3, 2, &[1]);
    let agreed = LogId::new(1, 1);
    for round in 1..=8 {
        leader.receive(3, 2, heartbeat_reply(session_of(3), round, LogId::ZERO));
        leader.wait(Duration::from_millis(50));
    }

    leader.receive(2, 2, heartbeat_reply(session_of(2), 8, LogId::ZERO));
    let first = leader.wait(Duration::from_millis(50));
    let second = leader.wait(Duration::from_millis(50));

    assert_eq!(appends_to(2, &first), [(agreed, 1)]);
    assert_eq!(appends_to(2, &second), [(agreed, 0)]);
}

#[test]
fn a_follower_that_restarted_within_the_term_is_told_again_where_the_logs_agree() {
    let mut leader = leader_of(3, 2, &[]);
    let first = LogId::new(2, 1);
    leader.receive(2, 2, accepted(session_of(2), first, first));

    let sent = leader.receive(2, 2, heartbeat_reply(session_of(2), 1, LogId::ZERO));

    assert_eq!(appends_to(2, &sent), [(first, 0)]);
}

#[test]
fn the_window_of_unacknowledged_bytes_is_bounded_and_reopens() {
    let mut leader = replica_with(3, 1, &[], |config| config.max_inflight_appends = 2);
    leader.win_election(3);
    let first = LogId::new(2, 1);
    leader.receive(2, 2, accepted(session_of(2), first, first));

    let sent: Vec<_> = (1..=4).flat_map(|ticket| leader.propose(ticket)).collect();
    assert_eq!(appends_to(2, &sent).len(), 2);

    let sent = leader.receive(
        2,
        2,
        accepted(session_of(2), LogId::new(2, 3), LogId::new(2, 3)),
    );
    assert_eq!(appends_to(2, &sent), [(LogId::new(2, 3), 2)]);
}

/// Found by the simulator: the deposed leader won the later term itself, and took
/// the answer to its old round 7 for one to its new round 7.
#[test]
fn an_answer_to_an_earlier_leadership_confirms_nothing_of_a_later_one() {
    let mut follower = follower(3, &[1]);
    let silent = heartbeat_reply(0, 0, LogId::ZERO);

    let sent = follower.receive(2, 2, heartbeat(7, 0));
    assert_eq!(sent, [(2, silent.clone())]);
    let sent = follower.receive(2, 2, append(LogId::new(1, 1), &[2], 0));
    assert_eq!(sent, [(2, rejected(0, 1, LogId::new(1, 1)))]);

    let mut leader = leader_of(3, 3, &[1]);
    leader.receive(
        2,
        3,
        accepted(session_of(2), LogId::new(3, 2), LogId::new(3, 2)),
    );
    leader.read(1);
    leader.receive(2, 3, silent);
    assert!(leader.reads.is_empty());
}

/// A window that takes long to cross a slow link is not lost: sending it again
/// would fill the link with copies.
#[test]
fn what_is_under_way_is_not_sent_again_while_the_follower_gets_on() {
    let mut leader = leader_of(3, 2, &[]);
    let at = |index| LogId::new(2, index);
    leader.receive(2, 2, accepted(session_of(2), at(1), at(1)));
    for ticket in 1..=20 {
        leader.propose(ticket);
    }
    let mut again = Vec::new();
    for step in 2..=20 {
        for (to, message) in leader.wait(Duration::from_millis(50)) {
            again.extend(match message {
                Message::AppendEntries(body) if to == 2 => body.entries.first(),
                _ => None,
            });
        }
        // One entry arrives with each heartbeat: all take a second.
        leader.receive(2, 2, heartbeat_reply(session_of(2), 1, at(step)));
        leader.receive(3, 2, heartbeat_reply(session_of(3), 1, LogId::ZERO));
    }

    assert_eq!(again, []);
}
