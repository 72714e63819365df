//! Raft consensus as a deterministic machine, with pluggable storage, transport and state machine.
//!
//! # Layers
//!
//! | layer | what it is | needs |
//! |---|---|---|
//! | values | [`types`], [`entry`], [`message`], [`membership`], … | nothing |
//! | [`protocol`] | one replica as a pure value: inputs in, outputs out, time as an argument | values |
//! | contract | the four traits [`LogStore`], [`StableStore`], [`Network`], [`StateMachine`], with numbered duties | values |
//! | `node` | the driver: one protocol value on tokio, around your backends | feature `tokio` |
//! | `memory` | in-memory backends for tests and examples | feature `memory` |
//! | `testing` | conformance suites for your backends, and the simulator | feature `testing` |
//!
//! Features only add. With `default-features = false` there are the values, the
//! protocol and the traits, and no runtime.
//!
//! # What is promised
//!
//! In this order: an acknowledged write is never lost; a linearizable read is
//! never stale; a group whose majority is healthy makes progress; then speed.
//!
//! Safety assertions are on in release builds. A replica whose state
//! contradicts Raft's safety properties stops; it does not go on.
//!
//! # Where to start
//!
//! To run a group: `node::Node` with backends from `memory`, then your own in
//! their place. To write a backend: the module of its trait, and the suite in
//! `testing::conformance`. To drive the protocol by hand: [`protocol`].

#![deny(missing_docs)]

pub mod config;
pub mod entry;
pub mod error;
pub mod hard_state;
pub mod log_store;
pub mod membership;
pub mod membership_change;
#[cfg(feature = "memory")]
pub mod memory;
pub mod message;
pub mod network;
#[cfg(feature = "tokio")]
pub mod node;
pub mod protocol;
pub mod snapshot;
pub mod stable_store;
pub mod state_machine;
pub mod storage_health;
#[cfg(feature = "testing")]
pub mod testing;
pub mod time;
pub mod types;

pub use async_trait::async_trait;
pub use config::{Config, ConfigError};
pub use entry::{Entry, EntryKind, EntryMeta, LogSlice, NotARun, Payload};
pub use error::{
    ChangeMembershipError, ProposeError, ReadError, RestoreError, StorageError, TransferError,
};
pub use hard_state::HardState;
pub use log_store::{AppendBatch, LogBounds, LogStore, StorageHealth, StoredEntry};
pub use membership::{MemberInfo, Membership, MembershipError};
pub use membership_change::{MembershipChange, MembershipStep};
pub use message::{Envelope, Message, MessageClass};
pub use network::{Inbox, Network, NetworkError, SnapshotHeader};
pub use protocol::{Consistency, Raft};
pub use snapshot::{Snapshot, SnapshotMeta, SnapshotReader};
pub use stable_store::{SavedVote, StableState, StableStore};
pub use state_machine::{AppliedState, CheckpointTask, StateMachine};
pub use time::Timestamp;
pub use types::{GroupId, Incarnation, LogId, LogIndex, NodeId, ReplicaId, RequestId, Term};
