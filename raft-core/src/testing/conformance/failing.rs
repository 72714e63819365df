//! Calls in which one operation on the disk fails and all later ones succeed, for each
//! operation of a short history.
//!
//! What a failed sync was to make durable may be gone, and no later sync says so: the
//! system has marked it as written. So a store that goes on, or tries again and believes
//! the second answer, acknowledges what a crash takes away.

use super::history::{ModelLog, Step};
use super::log_store::{LogStoreHarness, batch, bounds, ids};
use super::not_checked;
use super::stable_store::{StableStoreHarness, load, save, vote};
use crate::error::StorageError;
use crate::log_store::{LogBounds, LogStore, StorageHealth};
use crate::stable_store::{SavedVote, StableState, StableStore};
use crate::types::LogId;

/// What a failure leaves is drawn, so each operation fails a few times.
const ATTEMPTS: u64 = 8;
/// No history needs more operations.
const MOST_OPERATIONS: u64 = 400;

const LOG_DUTY: &str = "duty 11, failure is final";
const VOTE_DUTY: &str = "duty 5, failure is final";

/// Duty 11.
pub async fn after_any_failed_operation_the_log_is_closed(harness: &mut impl LogStoreHarness) {
    for operations in 0..MOST_OPERATIONS {
        let mut has_failed = false;
        for _ in 0..ATTEMPTS {
            let Some(failed) = fail_log_after(harness, operations).await else {
                return not_checked(LOG_DUTY, "fail one operation");
            };
            has_failed |= failed;
        }
        if !has_failed {
            return;
        }
    }
    panic!("{LOG_DUTY}: a short history took more than {MOST_OPERATIONS} operations");
}

fn appends(cut: Option<u64>, first: u64, terms: &[u64]) -> Step {
    let terms = terms.to_vec();
    Step::Append { cut, first, terms }
}

async fn carry_out(store: &impl LogStore, step: &Step) -> Result<(), StorageError> {
    match step {
        Step::Append { cut, first, terms } => store.append(batch(*cut, *first, terms)).await,
        Step::Purge(up_to) => store.purge(*up_to).await,
        Step::Reset(snapshot) => store.reset(*snapshot).await,
        Step::Crash => Ok(()),
    }
}

/// What a log holds, as a test can read it.
type Contents = (LogBounds, Vec<LogId>);

fn contents_of(model: &ModelLog) -> Contents {
    (model.bounds(), model.ids().to_vec())
}

/// One history, in which an operation fails after so many. Answers whether one did, and
/// nothing if the harness cannot make it fail.
async fn fail_log_after(harness: &mut impl LogStoreHarness, operations: u64) -> Option<bool> {
    let store = harness.open().await;
    let mut model = ModelLog::default();
    for step in [Step::Reset(LogId::ZERO), appends(None, 1, &[1, 1, 1, 1])] {
        let done = carry_out(&store, &step).await;
        done.expect("a sound disk takes what the contract allows");
        model.take(&step);
    }
    if !harness.fail_after(&store, operations).await {
        return None;
    }
    let mut allowed = vec![contents_of(&model)];
    let mut refusal = None;
    for step in [
        appends(None, 5, &[1, 1]),
        appends(Some(3), 3, &[2, 2, 2]),
        Step::Purge(LogId::new(1, 2)),
        appends(None, 6, &[3]),
        Step::Reset(LogId::new(4, 90)),
        appends(None, 91, &[4]),
    ] {
        let outcome = carry_out(&store, &step).await;
        model.take(&step);
        if outcome.is_ok() {
            allowed.clear();
        }
        allowed.push(contents_of(&model));
        if let Err(error) = outcome {
            refusal = Some(format!("{step:?} failed with {error:?}"));
            refuses_all(&store, &step, operations).await;
            break;
        }
    }
    let has_failed = harness.has_failed(&store).await;
    harness.crash(store).await;

    let store = harness.open().await;
    let found = (bounds(&store).await, ids(&store, LOG_DUTY).await);
    let went = refusal.unwrap_or_else(|| "all calls succeeded".to_owned());
    assert!(
        allowed.contains(&found),
        "{LOG_DUTY}: {operations} operations went well, the next failed, and {went}; \
         after a crash the log holds {found:?}"
    );
    harness.crash(store).await;
    Some(has_failed)
}

/// After `failed` failed, nothing is written any more. These would fit, whether or not
/// that one had an effect.
async fn refuses_all(store: &impl LogStore, failed: &Step, operations: u64) {
    let health = store.health();
    let says_so = matches!(health, StorageHealth::Closed | StorageHealth::Full);
    assert!(
        says_so,
        "{LOG_DUTY}: {failed:?} failed, and health is {health:?}"
    );
    let again = match failed {
        Step::Append { first, terms, .. } => appends(Some(*first), *first, terms),
        Step::Purge(up_to) => Step::Purge(*up_to),
        Step::Reset(_) | Step::Crash => Step::Reset(LogId::new(9, 200)),
    };
    for next in [again, Step::Reset(LogId::new(9, 300))] {
        let outcome = carry_out(store, &next).await;
        assert!(
            matches!(outcome, Err(StorageError::Closed)),
            "{LOG_DUTY}: {operations} operations went well, then {failed:?} failed; \
             {next:?} was answered with {outcome:?}"
        );
    }
}

/// Duty 5.
pub async fn after_any_failed_operation_the_vote_is_closed(harness: &mut impl StableStoreHarness) {
    for operations in 0..MOST_OPERATIONS {
        let mut has_failed = false;
        for _ in 0..ATTEMPTS {
            let Some(failed) = fail_vote_after(harness, operations).await else {
                return not_checked(VOTE_DUTY, "fail one operation");
            };
            has_failed |= failed;
        }
        if !has_failed {
            return;
        }
    }
    panic!("{VOTE_DUTY}: a few saves took more than {MOST_OPERATIONS} operations");
}

/// A few saves, in which an operation fails after so many. Answers whether one did, and
/// nothing if the harness cannot make it fail.
async fn fail_vote_after(harness: &mut impl StableStoreHarness, operations: u64) -> Option<bool> {
    let store = harness.open().await;
    save(&store, vote(3, 2)).await;
    if !harness.fail_after(&store, operations).await {
        return None;
    }
    let mut allowed: Vec<SavedVote> = vec![vote(3, 2)];
    let mut refusal = None;
    for next in [vote(4, 1), vote(5, 3), vote(6, 2)] {
        let outcome = store.save(next).await;
        if outcome.is_ok() {
            allowed.clear();
        }
        allowed.push(next);
        if let Err(error) = outcome {
            refusal = Some(format!("the save of {next:?} failed with {error:?}"));
            let later = store.save(vote(9, 1)).await;
            assert!(
                matches!(later, Err(StorageError::Closed)),
                "{VOTE_DUTY}: {operations} operations went well, then a save failed; \
                 the next was answered with {later:?}"
            );
            break;
        }
    }
    let has_failed = harness.has_failed(&store).await;
    harness.crash(store).await;

    let store = harness.open().await;
    let found = load(&store).await;
    let went = refusal.unwrap_or_else(|| "all saves succeeded".to_owned());
    assert!(
        matches!(&found, StableState::Saved(vote) if allowed.contains(vote)),
        "{VOTE_DUTY}: {operations} operations went well, the next failed, and {went}; \
         after a crash the store answers {found:?}"
    );
    harness.crash(store).await;
    Some(has_failed)
}
