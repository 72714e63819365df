//! What an append promises: duties 1 to 4, and whole histories.

use super::super::history::{ModelLog, Random, Step};
use super::super::{POLLS_BEFORE_CRASH, interrupt};
use super::{LogStoreHarness, append, batch, bounds, ids, log_ids};
use crate::error::StorageError;
use crate::log_store::{LogStore, StorageHealth};
use crate::types::LogId;

/// Duty 1.
pub async fn an_append_survives_a_crash(harness: &mut impl LogStoreHarness) {
    let duty = "duty 1, durable before return";
    let store = harness.open().await;
    append(&store, None, 1, &[1, 1, 2]).await;
    append(&store, Some(3), 3, &[3, 3]).await;
    harness.crash(store).await;

    let store = harness.open().await;
    assert_eq!(ids(&store, duty).await, log_ids(&[1, 1, 3, 3]), "{duty}");
}

/// Duty 2.
pub async fn an_append_interrupted_by_a_crash_is_all_or_nothing(
    harness: &mut impl LogStoreHarness,
) {
    let duty = "duty 2, atomic";
    for polls in POLLS_BEFORE_CRASH {
        let store = harness.open().await;
        store.reset(LogId::ZERO).await.expect("a reset succeeds");
        append(&store, None, 1, &[1, 1, 1, 1]).await;
        let change = store.append(batch(Some(3), 3, &[2, 2, 2]));
        let outcome = interrupt(change, polls).await;
        harness.crash(store).await;

        let store = harness.open().await;
        let found = ids(&store, duty).await;
        let (before, after) = (log_ids(&[1, 1, 1, 1]), log_ids(&[1, 1, 2, 2, 2]));
        let is_allowed = found == after || (outcome.is_none() && found == before);
        assert!(is_allowed, "{duty}: {outcome:?}, then found {found:?}");
        harness.crash(store).await;
    }
}

/// Duty 3.
pub async fn appends_take_effect_in_order(harness: &mut impl LogStoreHarness) {
    let duty = "duty 3, in order";
    let store = harness.open().await;
    for index in 1..=20 {
        append(&store, None, index, &[1]).await;
    }
    append(&store, Some(11), 11, &[2]).await;
    append(&store, Some(12), 12, &[]).await;
    append(&store, None, 12, &[3]).await;

    let terms: Vec<u64> = [vec![1; 10], vec![2, 3]].concat();
    assert_eq!(ids(&store, duty).await, log_ids(&terms), "{duty}");
}

/// Duty 3. The calls are begun in order and awaited in the opposite one.
pub async fn calls_in_flight_take_effect_in_order(harness: &mut impl LogStoreHarness) {
    let duty = "duty 3, in order";
    let store = harness.open().await;
    let mut calls = vec![
        store.append(batch(None, 1, &[1, 1, 2])),
        store.append(batch(Some(3), 3, &[3, 3])),
        store.purge(LogId::new(1, 1)),
        store.append(batch(None, 5, &[4])),
        store.append(batch(Some(5), 5, &[])),
    ];
    let mut results = Vec::new();
    let mut waiting = Vec::new();
    for mut call in calls.drain(..) {
        match interrupt(&mut call, 1).await {
            Some(result) => results.push(result),
            None => waiting.push(call),
        }
    }
    for call in waiting.into_iter().rev() {
        results.push(call.await);
    }

    let refused = results.iter().find(|result| result.is_err());
    assert!(refused.is_none(), "{duty}: {refused:?}");
    let expected = [LogId::new(1, 2), LogId::new(3, 3), LogId::new(3, 4)];
    assert_eq!(ids(&store, duty).await, expected, "{duty}");
}

/// Duties 3 and 9.
pub async fn a_long_history_reads_as_its_calls_say(harness: &mut impl LogStoreHarness) {
    let (mut model, mut random) = (ModelLog::default(), Random(1));
    let mut store = harness.open().await;
    let mut duty = "duty 3, in order";
    for number in 0..150 {
        let step = random.step(&model);
        let done = match &step {
            Step::Append { cut, first, terms } => store.append(batch(*cut, *first, terms)).await,
            Step::Purge(up_to) => store.purge(*up_to).await,
            Step::Reset(snapshot) => store.reset(*snapshot).await,
            Step::Crash => {
                harness.crash(store).await;
                store = harness.open().await;
                duty = "duty 9, bounds are the truth after open";
                Ok(())
            }
        };
        assert!(done.is_ok(), "{duty}: step {number}, {step:?}: {done:?}");
        model.take(&step);
        let place = format!("{duty}: after step {number}, {step:?}");
        assert_eq!(bounds(&store).await, model.bounds(), "{place}");
        assert_eq!(ids(&store, duty).await, model.ids(), "{place}");
    }
}

/// Duty 4.
pub async fn a_gap_an_overlap_and_a_cut_below_the_purge_are_refused(
    harness: &mut impl LogStoreHarness,
) {
    let duty = "duty 4, checked";
    let store = harness.open().await;
    append(&store, None, 1, &[1, 1, 1, 1]).await;
    store
        .purge(LogId::new(1, 2))
        .await
        .expect("a purge within the log succeeds");
    let before = (bounds(&store).await, ids(&store, duty).await);

    for (what, wrong) in [
        ("a gap", batch(None, 6, &[1])),
        ("an overlap", batch(None, 4, &[1])),
        ("a gap after a cut", batch(Some(4), 5, &[1])),
        ("a cut below the purge", batch(Some(2), 2, &[1])),
    ] {
        let outcome = store.append(wrong).await;
        let refused = matches!(outcome, Err(StorageError::Misuse { .. }));
        assert!(refused, "{duty}: {what} was answered with {outcome:?}");
    }
    let after = (bounds(&store).await, ids(&store, duty).await);
    assert_eq!(after, before, "{duty}: a refused append changed the log");
    assert_eq!(
        store.health(),
        StorageHealth::Healthy,
        "{duty}: a refusal is no failure"
    );
}
