//! Durable Raft log and vote storage on RocksDB.
//!
//! One [`RocksStore`] is one database directory of one node. It hands out a
//! [`LogStore`](raft_core::LogStore) and a [`StableStore`](raft_core::StableStore)
//! per Raft group; all groups share one writer and one sync.
//!
//! ```text
//! column family   key                        record
//! identity        "identity"                 format, cluster, node, incarnation
//! state           group | 'p'                the entry up to which the log is purged
//! state           group | 'v'                term and vote
//! state           group | 'm'                mark: a vote was saved here once
//! meta            group | index              term and kind of an entry
//! payload         group | index              what the entry holds
//! ```
//!
//! Groups and indices are big-endian, so keys sort as positions do. Every record
//! carries a version, a kind and a checksum over its key and body: a record that
//! was damaged, or moved to another key, is recognised and never returned as data.
//! Metadata lies apart from payloads and stays readable when a payload is damaged.
//!
//! # Durability
//!
//! When an append or a save returns, its write-ahead log record was synced. What
//! queued while the last sync ran becomes the next batch: one write, one sync,
//! whatever the number of appends, votes and groups in it. After a failed write
//! the store accepts no more until it is opened again.
//!
//! The log lives in an instance of its own, apart from any state machine's.
//!
//! # What is deliberately absent
//!
//! A cache of recent entries (the protocol keeps them), and a durable watermark
//! that tells a torn tail from damage inside the write-ahead log.

mod bounds;
mod error;
mod identity;
mod keys;
mod log_store;
mod options;
mod read;
mod record;
mod stable_store;
mod store;
mod writer;

pub use error::StoreError;
pub use identity::Identity;
pub use log_store::RocksLogStore;
pub use options::RocksOptions;
pub use stable_store::RocksStableStore;
pub use store::RocksStore;
