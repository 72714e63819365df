//! The contract of a replicated state machine.
//!
//! # Duties
//!
//! 1. **Deterministic.** Equal sequences of entries give equal states and equal
//!    responses on every replica: no clock, no randomness, no iteration in random order.
//!    Replicas may run different versions of the program, so a command of a version that
//!    this one does not know is neither applied nor passed over.
//! 2. **In order, once.** Entries come in index order without gaps. After a restart
//!    they come again from `durable_applied` on, and re-applying gives the same state.
//! 3. **Atomic with its position.** The applied position becomes durable together
//!    with the effect of the entries, never apart.
//! 4. **One response per entry**, in order; empty for entries that are not commands.
//! 5. **Honest durability.** `durable_applied` never exceeds what a crash leaves;
//!    the log is purged only below it.
//! 6. **Snapshots are a moment.** A snapshot holds the effect of the entries applied
//!    before [`StateMachine::snapshot`] was called, whatever is applied while it is read.
//! 7. **Checkpoints are honest.** What the answer of [`StateMachine::checkpoint`]
//!    names is durable, and at least what was applied before the call.
//! 8. **Restore is all or nothing.** After a crash during [`StateMachine::restore`]
//!    the state is the one before or the one after.

use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;

use crate::entry::LogSlice;
use crate::error::StorageError;
use crate::membership::Membership;
use crate::snapshot::{Snapshot, SnapshotMeta, SnapshotReader};
use crate::types::{LogId, LogIndex};

/// What the log drives. See the module's numbered duties.
///
/// The node owns it and calls one method at a time. Queries are the
/// application's own affair: it keeps a handle to its data and asks the node
/// when it may read.
#[async_trait]
pub trait StateMachine: Send + 'static {
    /// Where the state stands. Asked at start.
    ///
    /// # Errors
    ///
    /// When the state cannot be read.
    async fn applied(&mut self) -> Result<AppliedState, StorageError>;

    /// Applies a run of committed entries of every kind; one response per entry.
    /// A command that makes no sense is answered with a response that says so:
    /// an error here stops the node.
    ///
    /// # Errors
    ///
    /// When the state cannot be written; [`StorageError::UnknownVersion`] for a command
    /// that a newer version of the program wrote. A version that does not know a command
    /// cannot tell what it changes, so the node stops before it, and goes on there when it
    /// is started with a version that does.
    async fn apply(&mut self, entries: LogSlice) -> Result<Vec<Bytes>, StorageError>;

    /// The position up to which a crash loses nothing. Cheap.
    fn durable_applied(&self) -> LogIndex;

    /// Prepares to make the state of this moment durable. Cheap; the work itself is
    /// done by the answer, while applies go on. Called by policy (see
    /// [`Config::checkpoint_entries`](crate::Config::checkpoint_entries)) and on
    /// request, one at a time; afterwards the log can be purged.
    ///
    /// A state machine that is durable on its own needs not implement it. One
    /// that lives in memory writes its state to a file here, and reads it back
    /// when [`StateMachine::applied`] is asked at the next start.
    ///
    /// # Errors
    ///
    /// When the state cannot be written; the node stops then.
    async fn checkpoint(&mut self) -> Result<CheckpointTask, StorageError> {
        let durable = self.durable_applied();
        Ok(Box::pin(async move { Ok(durable) }))
    }

    /// Prepares a snapshot of this moment. Cheap; the bytes are read while applies go on.
    ///
    /// # Errors
    ///
    /// When the state cannot be read.
    async fn snapshot(&mut self) -> Result<Snapshot, StorageError>;

    /// Replaces the whole state by a snapshot; durable on return.
    ///
    /// # Errors
    ///
    /// When the stream breaks or the state cannot be written; the old state stays.
    async fn restore(
        &mut self,
        meta: SnapshotMeta,
        reader: Box<dyn SnapshotReader>,
    ) -> Result<(), StorageError>;
}

/// Makes a state durable; answers the position that is durable then.
pub type CheckpointTask =
    Pin<Box<dyn Future<Output = Result<LogIndex, StorageError>> + Send + 'static>>;

/// Where a state machine stands.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AppliedState {
    /// The last entry whose effect it holds.
    pub last_applied: LogId,
    /// The membership in force at that entry; nothing before the first
    /// membership entry or snapshot.
    pub membership: Option<Membership>,
}
