//! Calls that a machine stops in, after each of the operations that they consist of.
//!
//! Dropping a future only shows what lies between its awaits; these checks reach
//! between any two writes and syncs, if the harness can stop its disk.

use super::log_store::{LogStoreHarness, append, batch, bounds, ids, log_ids};
use super::not_checked;
use super::stable_store::{StableStoreHarness, load, save, vote};
use crate::log_store::{LogBounds, LogStore};
use crate::stable_store::{StableState, StableStore};
use crate::types::LogId;

/// What a crash leaves is drawn, so each place to stop at is tried a few times.
const ATTEMPTS: u64 = 8;
/// No call needs more operations.
const MOST_OPERATIONS: u64 = 200;

/// Duty 2.
pub async fn an_append_cut_off_at_any_operation_is_all_or_nothing(
    harness: &mut impl LogStoreHarness,
) {
    let duty = "duty 2, atomic";
    for operations in 0..MOST_OPERATIONS {
        let mut succeeded = false;
        for _ in 0..ATTEMPTS {
            let store = harness.open().await;
            store.reset(LogId::ZERO).await.expect("a reset succeeds");
            append(&store, None, 1, &[1, 1, 1, 1]).await;
            if !harness.stop_after(&store, operations).await {
                return not_checked(duty, "stop between two operations");
            }
            let outcome = store.append(batch(Some(3), 3, &[2, 2, 2])).await;
            harness.crash(store).await;

            let store = harness.open().await;
            let found = ids(&store, duty).await;
            let (before, after) = (log_ids(&[1, 1, 1, 1]), log_ids(&[1, 1, 2, 2, 2]));
            let is_allowed = found == after || (outcome.is_err() && found == before);
            assert!(
                is_allowed,
                "{duty}: {outcome:?} after {operations} operations, then found {found:?}"
            );
            harness.crash(store).await;
            succeeded = outcome.is_ok();
        }
        if succeeded {
            return;
        }
    }
    panic!("{duty}: an append did not succeed within {MOST_OPERATIONS} operations");
}

/// Duty 10.
pub async fn a_reset_cut_off_at_any_operation_is_all_or_nothing(
    harness: &mut impl LogStoreHarness,
) {
    let duty = "duty 10, reset is one step";
    for operations in 0..MOST_OPERATIONS {
        let mut succeeded = false;
        for _ in 0..ATTEMPTS {
            let store = harness.open().await;
            store.reset(LogId::ZERO).await.expect("a reset succeeds");
            append(&store, None, 1, &[1, 1, 2]).await;
            let before = (bounds(&store).await, ids(&store, duty).await);
            if !harness.stop_after(&store, operations).await {
                return not_checked(duty, "stop between two operations");
            }
            let snapshot = LogId::new(4, 90);
            let outcome = store.reset(snapshot).await;
            harness.crash(store).await;

            let store = harness.open().await;
            let found = (bounds(&store).await, ids(&store, duty).await);
            let (purged, last) = (snapshot, snapshot);
            let is_after = found == (LogBounds { purged, last }, Vec::new());
            let is_allowed = is_after || (outcome.is_err() && found == before);
            assert!(
                is_allowed,
                "{duty}: {outcome:?} after {operations} operations, then found {found:?}"
            );
            harness.crash(store).await;
            succeeded = outcome.is_ok();
        }
        if succeeded {
            return;
        }
    }
    panic!("{duty}: a reset did not succeed within {MOST_OPERATIONS} operations");
}

/// Duty 2.
pub async fn a_save_cut_off_at_any_operation_leaves_the_old_or_the_new_value(
    harness: &mut impl StableStoreHarness,
) {
    let duty = "duty 2, atomic";
    for operations in 0..MOST_OPERATIONS {
        let mut succeeded = false;
        for _ in 0..ATTEMPTS {
            let store = harness.open().await;
            save(&store, vote(3, 2)).await;
            if !harness.stop_after(&store, operations).await {
                return not_checked(duty, "stop between two operations");
            }
            let outcome = store.save(vote(4, 1)).await;
            harness.crash(store).await;

            let store = harness.open().await;
            let found = load(&store).await;
            let is_new = found == StableState::Saved(vote(4, 1));
            let is_old = found == StableState::Saved(vote(3, 2));
            let is_allowed = is_new || (outcome.is_err() && is_old);
            assert!(
                is_allowed,
                "{duty}: {outcome:?} after {operations} operations, then found {found:?}"
            );
            harness.crash(store).await;
            succeeded = outcome.is_ok();
        }
        if succeeded {
            return;
        }
    }
    panic!("{duty}: a save did not succeed within {MOST_OPERATIONS} operations");
}
