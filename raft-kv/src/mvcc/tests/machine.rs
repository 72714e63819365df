//! The duties of a state machine that do not need a crash.

use super::*;
use raft_core::{AppliedState, LogIndex, StorageError};

#[tokio::test]
async fn blank_and_membership_entries_move_the_position_alone() {
    let mut replica = Replica::new();
    let membership = Membership::of_ids([1, 2, 3]);
    let blank = LogSlice::new(vec![Entry::blank(LogId::new(1, 1))]).unwrap();

    let first = replica.machine.apply(blank).await.unwrap();
    let second = replica
        .machine
        .apply(membership_entry(2, membership.clone()))
        .await
        .unwrap();

    assert!(
        first
            .iter()
            .chain(&second)
            .all(|response| response.is_empty())
    );
    assert_eq!(
        (first.len(), second.len(), replica.store.revision().unwrap()),
        (1, 1, 1)
    );
    assert_eq!(replica.store.membership(), Some(membership.clone()));
    let applied = AppliedState {
        last_applied: LogId::new(1, 2),
        membership: Some(membership),
    };
    assert_eq!(replica.machine.applied().await.unwrap(), applied);
}

/// A run of puts, the first of which are these bytes instead.
fn with_commands(commands: [&'static [u8]; 2]) -> LogSlice {
    let mut entries = entries(1, &vec![Command::Put(put("a", "1")); 3]).into_entries();
    for (entry, bytes) in entries.iter_mut().zip(commands) {
        entry.payload = Payload::Command {
            request: RequestId::default(),
            data: bytes.into(),
        };
    }
    LogSlice::new(entries).unwrap()
}

/// Every version refuses these alike: they cannot mean anything later.
#[tokio::test]
async fn a_command_that_makes_no_sense_is_answered_and_the_next_one_runs() {
    let mut replica = Replica::new();

    let responses = replica.machine.apply(with_commands([b"\x01\xee", b""]));

    let responses = responses.await.unwrap();
    let responses: Vec<_> = responses
        .iter()
        .map(|r| Response::decode(r).unwrap())
        .collect();
    for refused in &responses[..2] {
        assert!(matches!(
            refused,
            Response::Refused {
                error: KvError::MalformedCommand(_),
                revision: 1
            }
        ));
    }
    assert!(matches!(&responses[2], Response::Ok(outcome) if outcome.revision == 2));
}

/// A member that knows the version applies it; one that passed over it would go on as
/// if nothing were, with another state.
#[tokio::test]
async fn a_command_of_an_unknown_version_stops_the_machine_and_says_what_to_do() {
    let mut replica = Replica::new();
    let put = Command::Put(put("a", "0")).encode().leak();

    let refused = replica.machine.apply(with_commands([put, b"\x02\x00"]));

    let error = refused.await.unwrap_err();
    assert!(
        matches!(error, StorageError::UnknownVersion { .. }),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        "the command of entry t1/i2 is of a version that this program does not know: \
         encoding version 2, this program knows 1; start this member with a newer version of \
         raft-kv"
    );
    assert_eq!(replica.store.last_applied(), LogId::ZERO);
    assert_eq!(replica.get("a"), None);
    assert_eq!(replica.put("a", "1").await, 2);
}

#[tokio::test]
async fn entries_that_repeat_or_leave_a_gap_are_refused() {
    let mut replica = Replica::new();
    replica.put("a", "1").await;

    for index in [1, 3] {
        let refused = replica
            .machine
            .apply(entries(index, &[Command::Put(put("a", "2"))]))
            .await;
        assert!(
            matches!(refused, Err(StorageError::Misuse { .. })),
            "{refused:?}"
        );
    }

    assert_eq!(replica.put("a", "2").await, 3);
}

#[tokio::test]
async fn no_entries_are_no_work() {
    let mut replica = Replica::new();

    assert!(
        replica
            .machine
            .apply(LogSlice::empty())
            .await
            .unwrap()
            .is_empty()
    );

    assert_eq!(replica.store.last_applied(), LogId::ZERO);
}

#[tokio::test]
async fn durable_applied_follows_the_flush_and_not_the_apply() {
    let mut replica = Replica::new();
    replica.put("a", "1").await;
    replica.put("a", "2").await;
    assert_eq!(replica.machine.durable_applied(), LogIndex::ZERO);

    replica.machine.flush().await.unwrap();

    assert_eq!(replica.machine.durable_applied(), LogIndex::new(2));
    replica.put("a", "3").await;
    assert_eq!(replica.machine.durable_applied(), LogIndex::new(2));
    assert!(replica.store.size_on_disk().unwrap() > 0);
}

#[tokio::test]
async fn what_was_applied_becomes_durable_by_itself() {
    let mut replica = Replica::flushing_every(Duration::from_millis(1), TempDir::new().unwrap());

    replica.put("a", "1").await;

    while replica.machine.durable_applied() != LogIndex::new(1) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_store_is_open_in_one_place_at_a_time() {
    let replica = Replica::new();

    assert!(MvccStore::open(replica.path()).is_err());
}
