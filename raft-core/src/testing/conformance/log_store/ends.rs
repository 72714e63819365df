//! Where the log ends: purges, resets, what a crash leaves, and a failure.

use super::super::{POLLS_BEFORE_CRASH, interrupt, not_checked};
use super::{LogStoreHarness, append, batch, bounds, ids, log_ids, read};
use crate::error::StorageError;
use crate::log_store::{LogBounds, LogStore, StorageHealth, StoredEntry};
use crate::types::LogId;

/// Duty 8.
pub async fn a_purge_is_remembered(harness: &mut impl LogStoreHarness) {
    let duty = "duty 8, purge is remembered";
    let store = harness.open().await;
    append(&store, None, 1, &[1, 1, 2, 2]).await;
    store
        .purge(LogId::new(2, 3))
        .await
        .expect("a purge within the log succeeds");
    let beyond = store.purge(LogId::new(2, 9)).await;
    assert!(
        matches!(beyond, Err(StorageError::Misuse { .. })),
        "{duty}: beyond: {beyond:?}"
    );
    harness.crash(store).await;

    let store = harness.open().await;
    let expected = LogBounds {
        purged: LogId::new(2, 3),
        last: LogId::new(2, 4),
    };
    assert_eq!(bounds(&store).await, expected, "{duty}");
    let found = read(&store, 3, 4).await;
    let is_absent = matches!(found[0], StoredEntry::Absent { .. });
    assert!(is_absent, "{duty}: a purged entry reads as {:?}", found[0]);
    store
        .purge(LogId::new(2, 4))
        .await
        .expect("the whole log can be purged");
    harness.crash(store).await;

    let store = harness.open().await;
    let empty = LogBounds {
        purged: LogId::new(2, 4),
        last: LogId::new(2, 4),
    };
    assert_eq!(bounds(&store).await, empty, "{duty}: an empty log");
    append(&store, None, 5, &[3]).await;
    assert_eq!(
        bounds(&store).await.last,
        LogId::new(3, 5),
        "{duty}: after an empty log"
    );
}

/// Duty 9.
pub async fn bounds_are_the_truth_after_a_crash(harness: &mut impl LogStoreHarness) {
    let duty = "duty 9, bounds are the truth after open";
    let store = harness.open().await;
    assert_eq!(
        bounds(&store).await,
        LogBounds::default(),
        "{duty}: a new log"
    );
    append(&store, None, 1, &[1, 1, 2, 2, 2]).await;
    append(&store, Some(3), 3, &[]).await;
    let cut = LogBounds {
        purged: LogId::ZERO,
        last: LogId::new(1, 2),
    };
    assert_eq!(bounds(&store).await, cut, "{duty}: after a cut");
    harness.crash(store).await;

    let store = harness.open().await;
    assert_eq!(bounds(&store).await, cut, "{duty}: after a cut and a crash");
}

/// Duty 10.
pub async fn a_reset_replaces_the_whole_log(harness: &mut impl LogStoreHarness) {
    let duty = "duty 10, reset is one step";
    let store = harness.open().await;
    append(&store, None, 1, &[1, 1, 2]).await;
    store
        .reset(LogId::new(4, 90))
        .await
        .expect("a reset succeeds");
    harness.crash(store).await;

    let store = harness.open().await;
    let expected = LogBounds {
        purged: LogId::new(4, 90),
        last: LogId::new(4, 90),
    };
    assert_eq!(bounds(&store).await, expected, "{duty}");
    append(&store, None, 91, &[4]).await;
    let found = read(&store, 91, 91).await;
    assert!(
        matches!(found[0], StoredEntry::Entry(_)),
        "{duty}: then {found:?}"
    );
}

/// Duty 10.
pub async fn a_reset_interrupted_by_a_crash_is_all_or_nothing(harness: &mut impl LogStoreHarness) {
    let duty = "duty 10, reset is one step";
    for polls in POLLS_BEFORE_CRASH {
        let store = harness.open().await;
        store.reset(LogId::ZERO).await.expect("a reset succeeds");
        append(&store, None, 1, &[1, 1, 2]).await;
        let before = (bounds(&store).await, ids(&store, duty).await);
        let snapshot = LogId::new(4, 90);
        let outcome = interrupt(store.reset(snapshot), polls).await;
        harness.crash(store).await;

        let store = harness.open().await;
        let found = (bounds(&store).await, ids(&store, duty).await);
        let (purged, last) = (snapshot, snapshot);
        let is_after = found == (LogBounds { purged, last }, Vec::new());
        let is_allowed = is_after || (outcome.is_none() && found == before);
        assert!(is_allowed, "{duty}: {outcome:?}, then found {found:?}");
        harness.crash(store).await;
    }
}

/// Duty 11.
pub async fn after_a_failed_write_the_store_is_closed(harness: &mut impl LogStoreHarness) {
    let duty = "duty 11, failure is final";
    let store = harness.open().await;
    append(&store, None, 1, &[1]).await;
    if !harness.fail_next_write(&store).await {
        not_checked(duty, "fail a write");
        return;
    }

    let failed = store.append(batch(None, 2, &[1])).await;
    assert!(failed.is_err(), "{duty}: the write did not fail");
    let next = store.append(batch(None, 2, &[1])).await;
    assert!(
        matches!(next, Err(StorageError::Closed)),
        "{duty}: then {next:?}"
    );
    let health = store.health();
    let says_so = matches!(health, StorageHealth::Closed | StorageHealth::Full);
    assert!(says_so, "{duty}: health is {health:?}");
    for (what, refused) in [
        ("a purge", store.purge(LogId::new(1, 1)).await),
        ("a reset", store.reset(LogId::new(1, 9)).await),
    ] {
        let is_closed = matches!(refused, Err(StorageError::Closed));
        assert!(is_closed, "{duty}: {what} was answered with {refused:?}");
    }
    assert_eq!(
        ids(&store, duty).await,
        log_ids(&[1]),
        "{duty}: reads go on"
    );
    harness.crash(store).await;

    let store = harness.open().await;
    let found = ids(&store, duty).await;
    let is_whole = found == log_ids(&[1]) || found == log_ids(&[1, 1]);
    assert!(is_whole, "{duty}: reopened, found {found:?}");
    append(&store, Some(2), 2, &[2]).await;
    assert_eq!(
        ids(&store, duty).await,
        log_ids(&[1, 2]),
        "{duty}: reopened"
    );
}
