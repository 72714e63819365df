//! Term and vote in memory.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;

use crate::error::StorageError;
use crate::stable_store::{SavedVote, StableState, StableStore};

/// A [`StableStore`] in memory. Clones share their content.
#[derive(Clone, Debug)]
pub struct MemoryStableStore {
    state: Arc<Mutex<StableState>>,
}

impl Default for MemoryStableStore {
    fn default() -> Self {
        Self {
            state: Arc::new(Mutex::new(StableState::Empty)),
        }
    }
}

impl MemoryStableStore {
    /// A store that never held a vote.
    pub fn new() -> Self {
        Self::default()
    }

    /// Loses what was saved, as damage on a disk would: for tests of what a node
    /// does then. A store that holds nothing stays as it is.
    pub fn lose(&self) {
        let mut state = self.lock();
        if let StableState::Saved(vote) = *state {
            *state = StableState::Lost {
                incarnation: Some(vote.incarnation),
                reason: "a test took it away".to_owned(),
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, StableState> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

#[async_trait]
impl StableStore for MemoryStableStore {
    async fn load(&self) -> Result<StableState, StorageError> {
        Ok(self.lock().clone())
    }

    async fn save(&self, vote: SavedVote) -> Result<(), StorageError> {
        *self.lock() = StableState::Saved(vote);
        Ok(())
    }

    fn is_done_at_once(&self) -> bool {
        true
    }
}
