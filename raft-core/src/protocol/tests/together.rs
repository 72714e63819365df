//! Several inputs taken in as one step mean what they mean one after the other.

use super::*;
use crate::message::FetchEntry;

/// A follower whose disk was asked for entries 1 to 3 of term 2 and is not done.
fn with_three_entries_under_way() -> Replica {
    let mut follower = replica_of(3, 2, &[]).with_slow_disk();
    follower.receive(2, 2, append(LogId::ZERO, &[2, 2, 2], 0));
    follower
}

#[test]
fn a_completion_does_not_cover_what_the_same_step_put_in_place_of_the_write() {
    let mut follower = with_three_entries_under_way();
    let written = follower.unfinished.remove(0).token;

    let sent = follower.step_all(vec![
        arrival(3, 4, append(LogId::new(2, 1), &[4, 4], 0)),
        Input::Persisted(written),
    ]);

    assert_eq!(
        sent,
        [],
        "the new term is not durable, and neither are its entries"
    );
    assert_eq!(follower.raft.status().durable_index, LogIndex::new(1));
    let id = LogId::new(4, 3);
    let one_is_durable = (3, accepted(1, id, LogId::new(2, 1)));
    let all_are = (3, accepted(1, id, id));
    assert_eq!(follower.finish_writes(), [one_is_durable, all_are]);
}

#[test]
fn what_came_and_went_within_a_step_is_not_written() {
    let mut follower = replica_of(3, 2, &[]).with_slow_disk();

    follower.step_all(vec![
        arrival(2, 2, append(LogId::ZERO, &[2, 2, 2], 0)),
        arrival(3, 4, append(LogId::new(2, 1), &[4], 0)),
    ]);

    let written: Vec<_> = follower.unfinished.iter().collect();
    assert!(
        written
            .iter()
            .all(|persist| persist.truncate_from.is_none())
    );
    let entries = written.iter().flat_map(|persist| persist.entries.entries());
    let ids: Vec<_> = entries.map(|entry| entry.log_id).collect();
    assert_eq!(ids, [LogId::new(2, 1), LogId::new(4, 2)]);
}

/// The disk ends before it, and refuses to cut beyond its end.
#[test]
fn what_a_step_appends_and_replaces_from_its_first_entry_on_needs_no_cut() {
    let mut follower = replica_of(3, 2, &[]).with_slow_disk();

    follower.step_all(vec![
        arrival(2, 2, append(LogId::ZERO, &[2, 2], 0)),
        arrival(3, 4, append(LogId::ZERO, &[4], 0)),
    ]);

    let [persist] = &follower.unfinished[..] else {
        panic!("one request is enough: {:?}", follower.unfinished);
    };
    assert_eq!(persist.truncate_from, None);
    assert_eq!(persist.entries.last(), Some(LogId::new(4, 1)));
}

#[test]
fn large_runs_are_written_one_by_one_and_count_one_by_one() {
    const RUN: u64 = 20;
    let mut follower = replica_of(3, 2, &[]).with_slow_disk();
    let terms = [2; RUN as usize];
    let first_end = LogId::new(2, RUN);

    follower.step_all(vec![
        arrival(2, 3, append(LogId::ZERO, &terms, 0)),
        arrival(2, 3, append(first_end, &terms, 0)),
    ]);

    let writes: Vec<_> = std::mem::take(&mut follower.unfinished);
    let sizes: Vec<_> = writes.iter().map(|write| write.entries.len()).collect();
    assert_eq!(sizes, [RUN as usize; 2]);
    let saved: Vec<_> = writes.iter().map(|w| w.hard_state.is_some()).collect();
    assert_eq!(saved, [true, false], "the term is saved first, and once");

    let sent = follower.step(Input::Persisted(writes[0].token));
    let received = LogId::new(2, 2 * RUN);
    assert_eq!(sent, [(2, accepted(1, received, first_end))]);
    let sent = follower.step(Input::Persisted(writes[1].token));
    assert_eq!(sent, [(2, accepted(1, received, received))]);
}

#[test]
fn what_is_cut_on_disk_and_again_in_the_same_step_is_cut_once_at_the_lower_place() {
    let mut follower = with_three_entries_under_way();
    follower.finish_writes();

    follower.step_all(vec![
        arrival(3, 4, append(LogId::new(2, 2), &[4, 4], 0)),
        arrival(2, 6, append(LogId::new(2, 1), &[6], 0)),
    ]);

    let [persist] = &follower.unfinished[..] else {
        panic!("one request is enough: {:?}", follower.unfinished);
    };
    assert_eq!(persist.truncate_from, Some(LogIndex::new(2)));
    let last = persist.entries.last().unwrap();
    assert_eq!((persist.entries.len(), last), (1, LogId::new(6, 2)));
    assert_eq!(persist.hard_state.unwrap().current_term, Term::new(6));
}

#[test]
fn a_vote_and_a_later_term_in_one_step_leave_no_second_vote_in_the_earlier_term() {
    let mut voter = replica_of(3, 2, &[]).with_slow_disk();
    voter.now = Duration::from_millis(300);

    let sent = voter.step_all(vec![
        arrival(2, 3, request_vote(LogId::ZERO)),
        arrival(3, 4, request_vote(LogId::ZERO)),
        arrival(2, 3, request_vote(LogId::ZERO)),
    ]);

    assert_eq!(sent, []);
    let [persist] = &voter.unfinished[..] else {
        panic!("one request is enough: {:?}", voter.unfinished);
    };
    let saved = HardState {
        current_term: Term::new(4),
        voted_for: Some(ReplicaId::first(3)),
    };
    assert_eq!(persist.hard_state, Some(saved));
    let granted = [(2, vote(3, true)), (3, vote(4, true)), (2, vote(3, false))];
    assert_eq!(voter.finish_writes(), granted);
}

/// A crash would bring the entry back until the cut is on disk.
#[test]
fn who_cuts_an_entry_does_not_say_in_the_same_step_that_it_lacks_it() {
    let mut follower = with_three_entries_under_way();
    follower.finish_writes();
    let log_id = LogId::new(2, 3);
    let asks = Message::FetchEntry(FetchEntry { log_id });

    let sent = follower.step_all(vec![
        arrival(2, 2, append(LogId::new(2, 3), &[], 0)),
        arrival(3, 4, append(LogId::new(2, 1), &[4], 0)),
        arrival(3, 4, asks.clone()),
    ]);
    let lacks = |sent: &[(u64, Message)]| {
        let mut kinds = sent.iter().map(|(_, message)| message.name());
        kinds.any(|name| name == "entry_absent")
    };
    assert!(!lacks(&sent));
    assert!(!lacks(&follower.finish_writes()));

    assert!(lacks(&follower.receive(3, 4, asks)));
}

#[test]
fn acknowledgements_together_commit_once() {
    let mut leader = leader_of(5, 2, &[]);
    leader.propose(1);
    let id = LogId::new(2, 2);

    let acknowledged = [2, 3, 4].map(|peer| arrival(peer, 2, accepted(session_of(peer), id, id)));
    leader.step_all(acknowledged.into());

    assert_eq!(leader.committed_proposals, [1]);
}
