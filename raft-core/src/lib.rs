//! Raft consensus as a deterministic machine, with pluggable storage, transport and state machine.

#![deny(missing_docs)]

pub mod config;
pub mod entry;
pub mod error;
pub mod hard_state;
pub mod log_store;
pub mod membership;
pub mod message;
pub mod network;
pub mod protocol;
pub mod snapshot;
pub mod stable_store;
pub mod state_machine;
pub mod time;
pub mod types;

pub use async_trait::async_trait;
pub use config::{Config, ConfigError};
pub use entry::{Entry, EntryKind, EntryMeta, LogSlice, NotARun, Payload};
pub use error::{ProposeError, ReadError, RestoreError, StorageError};
pub use hard_state::HardState;
pub use log_store::{AppendBatch, LogBounds, LogStore, StorageHealth, StoredEntry};
pub use membership::{MemberInfo, Membership, MembershipError};
pub use message::{Envelope, Message, MessageClass};
pub use network::{Inbox, Network, NetworkError, SnapshotHeader};
pub use protocol::Raft;
pub use snapshot::{Snapshot, SnapshotMeta, SnapshotReader};
pub use stable_store::{StableState, StableStore};
pub use state_machine::{AppliedState, StateMachine};
pub use time::Timestamp;
pub use types::{GroupId, Incarnation, LogId, LogIndex, NodeId, ReplicaId, RequestId, Term};
