//! The duties of a [`StateMachine`](crate::state_machine), each with its check.
//!
//! A twin that never crashes says what the state machine must hold.

use async_trait::async_trait;
use bytes::Bytes;

use super::chunks::{Chunks, read_all, take_apart};
use super::{POLLS_BEFORE_CRASH, interrupt};
use crate::entry::{Entry, LogSlice, Payload};
use crate::membership::Membership;
use crate::snapshot::SnapshotMeta;
use crate::state_machine::{AppliedState, StateMachine};
use crate::types::{LogId, LogIndex, RequestId};

/// How the suite handles a state machine.
#[async_trait]
pub trait StateMachineHarness: Send + Sized {
    /// The state machine under test.
    type Machine: StateMachine;

    /// Opens the state machine. What is durable from before is there.
    async fn open(&mut self) -> Self::Machine;

    /// Ends the state machine as a crash would, without a chance to save anything more.
    async fn crash(&mut self, machine: Self::Machine);

    /// A harness over another, empty place.
    fn another(&self) -> Self;

    /// The command of this number. It should change the state, and differently from
    /// the commands before it.
    fn command(&self, number: u64) -> Bytes;

    /// What the state machine holds, but for how far it is: equal if and only if
    /// the states are equal.
    async fn contents(&mut self, machine: &mut Self::Machine) -> Vec<u8>;
}

/// Entry `index` of the log that all checks use: mostly commands.
fn entry(harness: &impl StateMachineHarness, index: u64) -> Entry {
    let log_id = LogId::new(1 + index / 10, index);
    let payload = match index {
        _ if index.is_multiple_of(7) => Payload::Blank,
        _ if index.is_multiple_of(5) => Payload::Membership(Box::new(membership_of(index))),
        _ => Payload::Command {
            request: RequestId {
                boot: 9,
                sequence: index,
            },
            data: harness.command(index),
        },
    };
    Entry { log_id, payload }
}

fn membership_of(index: u64) -> Membership {
    Membership::of_ids([1, 2, index])
}

/// Where a state machine stands that applied entries up to `last`.
fn standing(last: u64) -> AppliedState {
    if last == 0 {
        return AppliedState::default();
    }
    let brings_one = |index: &u64| index.is_multiple_of(5) && !index.is_multiple_of(7);
    let latest = (1..=last).rev().find(brings_one);
    AppliedState {
        last_applied: LogId::new(1 + last / 10, last),
        membership: latest.map(membership_of),
    }
}

async fn apply<H: StateMachineHarness>(
    harness: &H,
    machine: &mut H::Machine,
    first: u64,
    last: u64,
) -> Vec<Bytes> {
    let entries = (first..=last).map(|index| entry(harness, index)).collect();
    let entries = LogSlice::new(entries).expect("indices rise by one");
    let responses = machine.apply(entries).await;
    responses.expect("what the log holds can be applied")
}

async fn applied(machine: &mut impl StateMachine) -> AppliedState {
    let applied = machine.applied().await;
    applied.expect("a sound state machine knows where it stands")
}

/// What a state machine holds that applied the entries up to `last`, one by one.
async fn contents_at<H: StateMachineHarness>(harness: &H, last: u64) -> Vec<u8> {
    let mut twin = harness.another();
    let mut machine = twin.open().await;
    for index in 1..=last {
        apply(harness, &mut machine, index, index).await;
    }
    twin.contents(&mut machine).await
}

/// Checks that `machine` holds what the entries up to `last` make, and stands there.
async fn assert_is_at<H: StateMachineHarness>(
    harness: &mut H,
    machine: &mut H::Machine,
    last: u64,
    duty: &str,
) {
    let found = applied(machine).await;
    assert_eq!(found, standing(last), "{duty}: where it stands");
    let contents = harness.contents(machine).await;
    let expected = contents_at(harness, last).await;
    assert_eq!(contents, expected, "{duty}: what it holds at {last}");
}

/// A snapshot of what the entries up to `last` make, as its bytes.
async fn snapshot_at(harness: &impl StateMachineHarness, last: u64) -> (SnapshotMeta, Vec<u8>) {
    let mut twin = harness.another();
    let mut machine = twin.open().await;
    apply(harness, &mut machine, 1, last).await;
    let snapshot = machine.snapshot().await;
    let snapshot = snapshot.expect("a sound state machine gives a snapshot");
    (snapshot.meta, read_all(snapshot.reader).await)
}

/// Duty 1.
pub async fn equal_entries_give_equal_states_and_responses(harness: &mut impl StateMachineHarness) {
    const LAST: u64 = 40;
    let mut at_once = harness.open().await;
    let responses = apply(harness, &mut at_once, 1, LAST).await;
    let mut other = harness.another();
    let mut one_by_one = other.open().await;

    for (index, response) in (1..).zip(&responses) {
        let again = apply(harness, &mut one_by_one, index, index).await;
        let duty = "duty 1, deterministic";
        let first = again.first();
        assert_eq!(first, Some(response), "{duty}: the response to {index}");
    }
    let (one, two) = (
        harness.contents(&mut at_once).await,
        other.contents(&mut one_by_one).await,
    );
    assert_eq!(one, two, "duty 1, deterministic: the states");
}

/// Duty 4.
pub async fn each_entry_gets_one_response(harness: &mut impl StateMachineHarness) {
    let duty = "duty 4, one response per entry";
    let mut machine = harness.open().await;
    for (first, last) in [(1, 1), (2, 16), (17, 30)] {
        let responses = apply(harness, &mut machine, first, last).await;
        let count = responses.len() as u64;
        assert_eq!(count, last + 1 - first, "{duty}, to {first} up to {last}");
        for (index, response) in (first..).zip(responses) {
            let is_command = !index.is_multiple_of(7) && !index.is_multiple_of(5);
            assert!(
                is_command || response.is_empty(),
                "{duty}: {index} is no command, and is answered {response:?}"
            );
        }
    }
}

/// Duty 3.
pub async fn it_knows_where_it_stands(harness: &mut impl StateMachineHarness) {
    let duty = "duty 3, atomic with its position";
    let mut machine = harness.open().await;
    let at_first = applied(&mut machine).await;
    assert_eq!(at_first, AppliedState::default(), "{duty}: a new one");
    for last in 1..=12 {
        apply(harness, &mut machine, last, last).await;
        assert_eq!(applied(&mut machine).await, standing(last), "{duty}");
    }
}

/// Duties 2, 3 and 5.
pub async fn what_a_crash_leaves_goes_on_where_it_stands(harness: &mut impl StateMachineHarness) {
    let mut last = 0;
    for more in [1, 6, 13, 20] {
        let mut machine = harness.open().await;
        let at = applied(&mut machine).await.last_applied.index.get();
        apply(harness, &mut machine, at + 1, last + more).await;
        last += more;
        let durable = machine.durable_applied();
        assert!(
            durable <= LogIndex::new(last),
            "duty 5, honest durability: {durable} of {last} applied"
        );
        harness.crash(machine).await;

        let mut machine = harness.open().await;
        let left = applied(&mut machine).await.last_applied.index;
        assert!(
            durable <= left && left <= LogIndex::new(last),
            "duty 5, honest durability: said {durable}, left {left}"
        );
        let duty = "duty 3, atomic with its position";
        assert_is_at(harness, &mut machine, left.get(), duty).await;
        if left < LogIndex::new(last) {
            apply(harness, &mut machine, left.get() + 1, last).await;
        }
        let duty = "duty 2, in order and once";
        assert_is_at(harness, &mut machine, last, duty).await;
        harness.crash(machine).await;
    }
}

/// Duty 3.
pub async fn an_apply_interrupted_by_a_crash_has_the_effect_that_its_position_says(
    harness: &mut impl StateMachineHarness,
) {
    for polls in POLLS_BEFORE_CRASH {
        let mut place = harness.another();
        let mut machine = place.open().await;
        apply(harness, &mut machine, 1, 8).await;
        interrupt(apply(harness, &mut machine, 9, 30), polls).await;
        place.crash(machine).await;

        let mut machine = place.open().await;
        let left = applied(&mut machine).await.last_applied.index.get();
        assert!(left <= 30, "duty 3, atomic with its position: {left}");
        let duty = "duty 3, atomic with its position";
        assert_is_at(&mut place, &mut machine, left, duty).await;
    }
}

/// Duty 7.
pub async fn a_checkpoint_names_what_is_durable(harness: &mut impl StateMachineHarness) {
    let duty = "duty 7, checkpoints are honest";
    let mut machine = harness.open().await;
    apply(harness, &mut machine, 1, 12).await;
    let checkpoint = machine.checkpoint().await.expect("one can be taken");
    apply(harness, &mut machine, 13, 16).await;
    let durable = checkpoint.await.expect("one can be carried out").get();
    assert!(
        (12..=16).contains(&durable),
        "{duty}: it names {durable}, taken at 12 of 16"
    );
    harness.crash(machine).await;

    let mut machine = harness.open().await;
    let left = applied(&mut machine).await.last_applied.index.get();
    assert!(
        left >= durable,
        "{duty}: it named {durable}, left is {left}"
    );
    assert_is_at(harness, &mut machine, left, duty).await;
}

/// Duty 6.
pub async fn a_snapshot_is_of_its_moment(harness: &mut impl StateMachineHarness) {
    let duty = "duty 6, snapshots are a moment";
    let mut machine = harness.open().await;
    apply(harness, &mut machine, 1, 12).await;
    let snapshot = machine.snapshot().await.expect("one can be taken");
    let stands = standing(12);
    assert_eq!(snapshot.meta.last_included, stands.last_applied, "{duty}");
    let membership = stands.membership.unwrap_or_default();
    assert_eq!(snapshot.meta.membership, membership, "{duty}");

    let responses = apply(harness, &mut machine, 13, 24).await;
    let bytes = read_all(snapshot.reader).await;
    let mut other = harness.another();
    let mut restored = other.open().await;
    let reader = take_apart(&bytes, 4096);
    let outcome = restored.restore(snapshot.meta, reader).await;
    outcome.expect("a whole snapshot can be restored");

    assert_is_at(&mut other, &mut restored, 12, duty).await;
    let again = apply(harness, &mut restored, 13, 24).await;
    assert_eq!(again, responses, "{duty}: responses after it");
    assert_is_at(&mut other, &mut restored, 24, duty).await;
}

/// Duty 8, with [`SnapshotReader::next_chunk`](crate::SnapshotReader::next_chunk).
pub async fn where_chunks_end_means_nothing(harness: &mut impl StateMachineHarness) {
    let duty = "duty 8, a snapshot is its bytes, however they are cut";
    let (meta, bytes) = snapshot_at(harness, 20).await;
    for size in [1, 3, 1 << 20] {
        let mut place = harness.another();
        let mut machine = place.open().await;
        let reader = take_apart(&bytes, size);
        let outcome = machine.restore(meta.clone(), reader).await;
        assert!(outcome.is_ok(), "{duty}: {outcome:?} in chunks of {size}");
        assert_is_at(&mut place, &mut machine, 20, duty).await;
    }
}

/// Duty 8.
pub async fn a_restore_replaces_the_whole_state_durably(harness: &mut impl StateMachineHarness) {
    let duty = "duty 8, restore is all or nothing";
    let (meta, bytes) = snapshot_at(harness, 18).await;
    let mut machine = harness.open().await;
    apply(harness, &mut machine, 1, 6).await;
    let reader = take_apart(&bytes, 100);
    let outcome = machine.restore(meta, reader).await;
    outcome.expect("a whole snapshot can be restored");
    assert!(
        machine.durable_applied() >= LogIndex::new(18),
        "{duty}: durable on return"
    );
    harness.crash(machine).await;

    let mut machine = harness.open().await;
    assert_is_at(harness, &mut machine, 18, duty).await;
}

/// Duty 8.
pub async fn a_restore_interrupted_by_a_crash_is_all_or_nothing(
    harness: &mut impl StateMachineHarness,
) {
    let duty = "duty 8, restore is all or nothing";
    let (meta, bytes) = snapshot_at(harness, 18).await;
    for polls in POLLS_BEFORE_CRASH {
        let mut place = harness.another();
        let mut machine = place.open().await;
        apply(harness, &mut machine, 1, 6).await;
        let checkpoint = machine.checkpoint().await.expect("one can be taken");
        checkpoint.await.expect("one can be carried out");
        let reader = Chunks::slow(&bytes, bytes.len().div_ceil(4).max(1));
        let done = interrupt(machine.restore(meta.clone(), Box::new(reader)), polls).await;
        place.crash(machine).await;

        let mut machine = place.open().await;
        let left = applied(&mut machine).await.last_applied.index.get();
        assert!(
            left == 18 || (left == 6 && !matches!(done, Some(Ok(())))),
            "{duty}: after {polls} polls, {done:?}, it stands at {left}"
        );
        assert_is_at(&mut place, &mut machine, left, duty).await;
    }
}

/// Duty 8.
pub async fn a_broken_stream_leaves_the_old_state(harness: &mut impl StateMachineHarness) {
    let duty = "duty 8, restore is all or nothing";
    let (meta, bytes) = snapshot_at(harness, 18).await;
    let mut machine = harness.open().await;
    apply(harness, &mut machine, 1, 6).await;
    let checkpoint = machine.checkpoint().await.expect("one can be taken");
    checkpoint.await.expect("one can be carried out");
    for whole_chunks in [0, 1, 3] {
        let reader = Chunks::broken(&bytes, bytes.len().div_ceil(5).max(1), whole_chunks);
        let outcome = machine.restore(meta.clone(), Box::new(reader)).await;
        assert!(outcome.is_err(), "{duty}: restored from a broken stream");
        assert_is_at(harness, &mut machine, 6, duty).await;
    }
    harness.crash(machine).await;

    let mut machine = harness.open().await;
    assert_is_at(harness, &mut machine, 6, duty).await;
}
