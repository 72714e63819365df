//! The contract of a vote store.
//!
//! # Duties
//!
//! 1. **Durable before return.** When [`StableStore::save`] returns `Ok`, the value
//!    survives a crash of the process and of the machine.
//! 2. **Atomic.** After a crash during `save`, `load` answers the value before or
//!    the value after, never a mixture.
//! 3. **The last value.** `load` answers the last value whose `save` returned, or a later one.
//! 4. **Empty is not lost.** A store that never held a vote answers
//!    [`StableState::Empty`]. A store that knows it held one and cannot read it
//!    answers [`StableState::Lost`]: such a node must never vote as who it was.
//! 5. **Failure is final.** After a failed save every further one is refused as
//!    [`StorageError::Closed`] until the store is reopened.

use async_trait::async_trait;

use crate::error::StorageError;
use crate::hard_state::HardState;

/// Where a replica's term and vote are durable. See the module's numbered duties.
#[async_trait]
pub trait StableStore: Send + Sync + 'static {
    /// What was saved last.
    ///
    /// # Errors
    ///
    /// When the engine fails. Damage to the value is an answer, not an error.
    async fn load(&self) -> Result<StableState, StorageError>;

    /// Saves term and vote as one value; durable on return.
    ///
    /// # Errors
    ///
    /// A failure, after which the store is closed (duty 5).
    async fn save(&self, state: HardState) -> Result<(), StorageError>;

    /// Whether `save` is always done when it is polled first, and never blocks the
    /// thread; see [`LogStore::is_done_at_once`](crate::LogStore::is_done_at_once).
    fn is_done_at_once(&self) -> bool {
        false
    }
}

/// What a vote store knows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StableState {
    /// Nothing was ever saved: a new node.
    Empty,
    /// The last value saved.
    Saved(HardState),
    /// Something was saved and is gone.
    Lost {
        /// How that shows.
        reason: String,
    },
}
