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
//! 6. **The life of a lost vote is known for certain, or not at all.** What
//!    [`StableState::Lost`] names is the life of the last vote whose `save`
//!    returned, or a later one. A store that keeps it nowhere but in the vote
//!    answers nothing: the node does not start then, which is safe.
//! 7. **A lost vote can be followed by another.** A store that answered `Lost`
//!    takes a `save`, and answers its value from then on.

use async_trait::async_trait;

use crate::error::StorageError;
use crate::hard_state::HardState;
use crate::types::Incarnation;

/// Where a replica's term and vote are durable. See the module's numbered duties.
///
/// It is also where a replica's life is durable: a node whose vote is lost goes
/// on in its next life, and every later start finds that here.
#[async_trait]
pub trait StableStore: Send + Sync + 'static {
    /// What was saved last.
    ///
    /// # Errors
    ///
    /// When the engine fails. Damage to the value is an answer, not an error.
    async fn load(&self) -> Result<StableState, StorageError>;

    /// Saves the vote of a life as one value; durable on return.
    ///
    /// # Errors
    ///
    /// A failure, after which the store is closed (duty 5).
    async fn save(&self, vote: SavedVote) -> Result<(), StorageError>;

    /// Whether `save` is always done when it is polled first, and never blocks the
    /// thread; see [`LogStore::is_done_at_once`](crate::LogStore::is_done_at_once).
    fn is_done_at_once(&self) -> bool {
        false
    }
}

/// Term and vote, and the life of the node whose they are: one value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SavedVote {
    /// The life that is in this term and gave this vote.
    pub incarnation: Incarnation,
    /// Term and vote.
    pub hard_state: HardState,
}

/// What a vote store knows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StableState {
    /// Nothing was ever saved: a new node.
    Empty,
    /// The last value saved.
    Saved(SavedVote),
    /// Something was saved and is gone.
    Lost {
        /// The life whose vote it was, if that is known for certain (duty 6).
        incarnation: Option<Incarnation>,
        /// How that shows.
        reason: String,
    },
}
