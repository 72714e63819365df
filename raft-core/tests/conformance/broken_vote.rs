//! Vote stores that break one duty each: the suite names it.

use raft_core::memory::MemoryStableStore;
use raft_core::testing::conformance::stable_store::{self, StableStoreHarness};
use raft_core::{
    HardState, Incarnation, SavedVote, StableState, StableStore, StorageError, async_trait,
};
use tokio::task::yield_now;

/// How a store breaks its contract.
#[derive(Clone, Copy, PartialEq)]
enum Flaw {
    /// 1: pretends to be durable.
    ForgetsInACrash,
    /// 2: saves the term first and the vote later.
    TearsSaves,
    /// 3: keeps the first vote it got.
    KeepsTheFirst,
    /// 4: takes a vote that is gone for one never cast.
    TakesLostForEmpty,
    /// 5: goes on after a failure.
    GoesOnAfterFailure,
    /// 6: says that a lost vote was the first life's, whosever it was.
    NamesTheFirstLife,
    /// 7: stays lost.
    StaysLost,
}

struct Broken {
    flaw: Flaw,
    disk: MemoryStableStore,
}

fn with(flaw: Flaw) -> Broken {
    Broken {
        flaw,
        disk: MemoryStableStore::new(),
    }
}

#[async_trait]
impl StableStoreHarness for Broken {
    type Store = BrokenStore;

    async fn open(&mut self) -> BrokenStore {
        BrokenStore {
            flaw: self.flaw,
            disk: self.disk.clone(),
        }
    }

    async fn crash(&mut self, _store: BrokenStore) {
        if self.flaw == Flaw::ForgetsInACrash {
            self.disk = MemoryStableStore::new();
        }
    }

    async fn lose_value(&mut self) -> bool {
        match self.flaw {
            Flaw::NamesTheFirstLife | Flaw::StaysLost => self.disk.lose(),
            _ => self.disk = MemoryStableStore::new(),
        }
        true
    }

    /// The store ignores it: that is the flaw.
    async fn fail_next_save(&mut self, _store: &BrokenStore) -> bool {
        true
    }
}

struct BrokenStore {
    flaw: Flaw,
    disk: MemoryStableStore,
}

#[async_trait]
impl StableStore for BrokenStore {
    async fn load(&self) -> Result<StableState, StorageError> {
        Ok(match (self.flaw, self.disk.load().await?) {
            (Flaw::NamesTheFirstLife, StableState::Lost { reason, .. }) => StableState::Lost {
                incarnation: Some(Incarnation::default()),
                reason,
            },
            (_, state) => state,
        })
    }

    async fn save(&self, vote: SavedVote) -> Result<(), StorageError> {
        match (self.flaw, self.disk.load().await?) {
            (Flaw::KeepsTheFirst, StableState::Saved(_))
            | (Flaw::StaysLost, StableState::Lost { .. }) => Ok(()),
            (Flaw::TearsSaves, StableState::Saved(before)) => {
                let torn = HardState {
                    current_term: vote.hard_state.current_term,
                    ..before.hard_state
                };
                self.disk
                    .save(SavedVote {
                        hard_state: torn,
                        ..vote
                    })
                    .await?;
                yield_now().await;
                self.disk.save(vote).await
            }
            _ => self.disk.save(vote).await,
        }
    }
}

#[tokio::test]
#[should_panic(expected = "duty 1, durable before return")]
async fn a_vote_store_that_pretends_to_be_durable_is_caught() {
    stable_store::a_save_survives_a_crash(&mut with(Flaw::ForgetsInACrash)).await;
}

#[tokio::test]
#[should_panic(expected = "duty 2, atomic")]
async fn a_vote_store_that_tears_a_save_is_caught() {
    let mut harness = with(Flaw::TearsSaves);
    stable_store::a_save_interrupted_by_a_crash_leaves_the_old_or_the_new_value(&mut harness).await;
}

#[tokio::test]
#[should_panic(expected = "duty 3, the last value")]
async fn a_vote_store_that_keeps_an_old_vote_is_caught() {
    stable_store::the_last_save_wins(&mut with(Flaw::KeepsTheFirst)).await;
}

#[tokio::test]
#[should_panic(expected = "duty 4, empty is not lost")]
async fn a_vote_store_that_takes_lost_for_empty_is_caught() {
    let mut harness = with(Flaw::TakesLostForEmpty);
    stable_store::a_store_that_lost_its_vote_says_so(&mut harness).await;
}

#[tokio::test]
#[should_panic(expected = "duty 5, failure is final")]
async fn a_vote_store_that_goes_on_after_a_failure_is_caught() {
    let mut harness = with(Flaw::GoesOnAfterFailure);
    stable_store::after_a_failed_save_the_store_is_closed(&mut harness).await;
}

#[tokio::test]
#[should_panic(expected = "duty 6, the life of a lost vote")]
async fn a_vote_store_that_names_an_earlier_life_is_caught() {
    let mut harness = with(Flaw::NamesTheFirstLife);
    stable_store::a_lost_vote_is_followed_by_one_of_the_next_life(&mut harness).await;
}

#[tokio::test]
#[should_panic(expected = "duty 7, a lost vote can be followed by another")]
async fn a_vote_store_that_stays_lost_is_caught() {
    let mut harness = with(Flaw::StaysLost);
    stable_store::a_lost_vote_is_followed_by_one_of_the_next_life(&mut harness).await;
}
