//! The duties of a [`StableStore`](crate::stable_store), each with its check.

use async_trait::async_trait;

pub use super::cut_off::a_save_cut_off_at_any_operation_leaves_the_old_or_the_new_value;
pub use super::failing::after_any_failed_operation_the_vote_is_closed;
use super::{POLLS_BEFORE_CRASH, interrupt, not_checked};
use crate::error::StorageError;
use crate::hard_state::HardState;
use crate::stable_store::{SavedVote, StableState, StableStore};
use crate::types::{Incarnation, ReplicaId, Term};

/// How the suite handles a store.
#[async_trait]
pub trait StableStoreHarness: Send {
    /// The store under test.
    type Store: StableStore;

    /// Opens the store. What is durable from before is there.
    async fn open(&mut self) -> Self::Store;

    /// Ends the store as a crash would, without a chance to save anything more.
    async fn crash(&mut self, store: Self::Store);

    /// Removes or damages the stored value; the store is not open meanwhile.
    /// Answers false if it cannot.
    async fn lose_value(&mut self) -> bool;

    /// Makes the next save of the open store fail. Answers false if it cannot.
    async fn fail_next_save(&mut self, store: &Self::Store) -> bool;

    /// Lets so many more operations of the open store on its disk succeed; all later
    /// ones fail until the crash, as if the machine stopped between two of them.
    /// Answers false if it cannot, which is what the provided method says.
    async fn stop_after(&mut self, store: &Self::Store, operations: u64) -> bool {
        let _ = (store, operations);
        false
    }

    /// Lets so many more operations of the open store on its disk succeed and has the one
    /// after them fail with an error of the disk, be it a write, a sync or a rename; all
    /// later ones succeed again. What a failed sync was to make durable may be lost at the
    /// crash. Answers false if it cannot, which is what the provided method says.
    async fn fail_after(&mut self, store: &Self::Store, operations: u64) -> bool {
        let _ = (store, operations);
        false
    }

    /// Whether that operation came, and failed. Who provides the method above provides
    /// this one.
    async fn has_failed(&mut self, store: &Self::Store) -> bool {
        let _ = store;
        false
    }
}

pub(super) const fn vote(term: u64, node: u64) -> SavedVote {
    SavedVote {
        incarnation: Incarnation::new(0),
        hard_state: HardState {
            current_term: Term::new(term),
            voted_for: Some(ReplicaId::first(node)),
        },
    }
}

/// A vote of the node's life with this number.
const fn vote_of_life(life: u64, term: u64) -> SavedVote {
    SavedVote {
        incarnation: Incarnation::new(life),
        ..vote(term, 2)
    }
}

pub(super) async fn save(store: &impl StableStore, vote: SavedVote) {
    store.save(vote).await.expect("a save succeeds");
}

pub(super) async fn load(store: &impl StableStore) -> StableState {
    store.load().await.expect("a store can be asked")
}

/// Duty 1.
pub async fn a_save_survives_a_crash(harness: &mut impl StableStoreHarness) {
    let store = harness.open().await;
    save(&store, vote(3, 2)).await;
    harness.crash(store).await;

    let store = harness.open().await;
    let found = load(&store).await;
    assert_eq!(
        found,
        StableState::Saved(vote(3, 2)),
        "duty 1, durable before return"
    );
}

/// Duty 2.
pub async fn a_save_interrupted_by_a_crash_leaves_the_old_or_the_new_value(
    harness: &mut impl StableStoreHarness,
) {
    let duty = "duty 2, atomic";
    for polls in POLLS_BEFORE_CRASH {
        let store = harness.open().await;
        save(&store, vote(3, 2)).await;
        let outcome = interrupt(store.save(vote(4, 1)), polls).await;
        harness.crash(store).await;

        let store = harness.open().await;
        let found = load(&store).await;
        let is_new = found == StableState::Saved(vote(4, 1));
        let is_old = found == StableState::Saved(vote(3, 2));
        let is_allowed = is_new || (outcome.is_none() && is_old);
        assert!(is_allowed, "{duty}: {outcome:?}, then found {found:?}");
        harness.crash(store).await;
    }
}

/// Duty 3.
pub async fn the_last_save_wins(harness: &mut impl StableStoreHarness) {
    let duty = "duty 3, the last value";
    let mut store = harness.open().await;
    for term in 1..=20 {
        let state = vote(term, term % 3);
        save(&store, state).await;
        assert_eq!(load(&store).await, StableState::Saved(state), "{duty}");
        if term % 5 == 0 {
            harness.crash(store).await;
            store = harness.open().await;
            let found = load(&store).await;
            assert_eq!(found, StableState::Saved(state), "{duty}, after a crash");
        }
    }
}

/// Duty 4.
pub async fn a_new_store_is_empty(harness: &mut impl StableStoreHarness) {
    let store = harness.open().await;
    assert_eq!(
        load(&store).await,
        StableState::Empty,
        "duty 4, empty is not lost"
    );
    harness.crash(store).await;

    let store = harness.open().await;
    assert_eq!(
        load(&store).await,
        StableState::Empty,
        "duty 4, empty is not lost"
    );
}

/// Duty 4.
pub async fn a_store_that_lost_its_vote_says_so(harness: &mut impl StableStoreHarness) {
    let store = harness.open().await;
    save(&store, vote(3, 2)).await;
    harness.crash(store).await;
    if !harness.lose_value().await {
        not_checked("duty 4, empty is not lost", "lose the value");
        return;
    }

    let store = harness.open().await;
    let found = load(&store).await;
    assert!(
        matches!(found, StableState::Lost { .. }),
        "duty 4, empty is not lost: {found:?}"
    );
}

/// Duty 3, for the life in which a vote was given.
pub async fn a_vote_is_kept_with_its_life(harness: &mut impl StableStoreHarness) {
    let duty = "duty 3, the last value";
    for life in [0, 1, 300] {
        let vote = vote_of_life(life, 10 + life);
        let store = harness.open().await;
        save(&store, vote).await;
        harness.crash(store).await;

        let store = harness.open().await;
        let found = load(&store).await;
        assert_eq!(found, StableState::Saved(vote), "{duty}, in another life");
        harness.crash(store).await;
    }
}

/// Duties 6 and 7.
pub async fn a_lost_vote_is_followed_by_one_of_the_next_life(
    harness: &mut impl StableStoreHarness,
) {
    let mut vote = vote_of_life(1, 3);
    let store = harness.open().await;
    save(&store, vote).await;
    harness.crash(store).await;
    for _ in 0..2 {
        if !harness.lose_value().await {
            not_checked("duties 6 and 7, lives of lost votes", "lose the value");
            return;
        }
        let store = harness.open().await;
        let found = load(&store).await;
        let StableState::Lost { incarnation, .. } = found else {
            panic!("duty 4, empty is not lost: {found:?}");
        };
        assert!(
            incarnation.is_none_or(|life| life >= vote.incarnation),
            "duty 6, the life of a lost vote: {incarnation:?} of {vote:?}"
        );

        vote = vote_of_life(vote.incarnation.get() + 1, 3);
        save(&store, vote).await;
        harness.crash(store).await;
        let store = harness.open().await;
        let found = load(&store).await;
        assert_eq!(
            found,
            StableState::Saved(vote),
            "duty 7, a lost vote can be followed by another"
        );
        harness.crash(store).await;
    }
}

/// Duty 5.
pub async fn after_a_failed_save_the_store_is_closed(harness: &mut impl StableStoreHarness) {
    let store = harness.open().await;
    save(&store, vote(1, 1)).await;
    if !harness.fail_next_save(&store).await {
        not_checked("duty 5, failure is final", "fail a save");
        return;
    }

    let failed = store.save(vote(2, 1)).await;
    assert!(
        failed.is_err(),
        "duty 5, failure is final: the save did not fail"
    );
    let next = store.save(vote(3, 1)).await;
    assert!(
        matches!(next, Err(StorageError::Closed)),
        "duty 5, failure is final: {next:?}"
    );
    harness.crash(store).await;

    let store = harness.open().await;
    let found = load(&store).await;
    let is_whole = [vote(1, 1), vote(2, 1)]
        .map(StableState::Saved)
        .contains(&found);
    assert!(
        is_whole,
        "duty 5, failure is final: reopened, found {found:?}"
    );
    save(&store, vote(4, 1)).await;
}
