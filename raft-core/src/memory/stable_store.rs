//! Term and vote in memory.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::error::StorageError;
use crate::hard_state::HardState;
use crate::stable_store::{StableState, StableStore};

/// A [`StableStore`] in memory. Clones share their content.
#[derive(Clone, Debug, Default)]
pub struct MemoryStableStore {
    state: Arc<Mutex<Option<HardState>>>,
}

impl MemoryStableStore {
    /// A store that never held a vote.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl StableStore for MemoryStableStore {
    async fn load(&self) -> Result<StableState, StorageError> {
        let state = *self.state.lock().expect("no holder of this lock panics");
        Ok(state.map_or(StableState::Empty, StableState::Saved))
    }

    async fn save(&self, state: HardState) -> Result<(), StorageError> {
        *self.state.lock().expect("no holder of this lock panics") = Some(state);
        Ok(())
    }

    fn is_done_at_once(&self) -> bool {
        true
    }
}
