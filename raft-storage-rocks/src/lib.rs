//! Durable Raft log and vote storage on RocksDB.
//!
//! One [`RocksStore`] is one database directory of one node. It hands out a
//! [`LogStore`](raft_core::LogStore) and a [`StableStore`](raft_core::StableStore)
//! per Raft group; all groups share one writer and one sync.
//!
//! ```text
//! column family   key                        record
//! identity        "identity"                 format, cluster, node, incarnation
//! identity        group | 'm'                mark: a vote of which life was saved
//! state           group | 'v'                term and vote, and of which life
//! state           group | 'p'                the entry up to which the log is purged
//! meta            group | index              term and kind of an entry
//! payload         group | index              term of an entry, and what it holds
//!
//! file            WATERMARK                  how far the store has acknowledged
//! ```
//!
//! Groups and indices are big-endian, so keys sort as positions do. Every record
//! carries a version, a kind and a checksum over its key and body: a record that
//! was damaged, or moved to another key, is recognised and never returned as data.
//! Metadata lies apart from payloads and stays readable when a payload is damaged;
//! a payload names its term, so it is never paired with another entry's metadata.
//!
//! # Durability
//!
//! When an append, a purge, a reset or a save returns, its write-ahead log record
//! was synced. What queued while the last sync ran becomes the next batch: one
//! write, one sync, whatever the number of appends, votes and groups in it. After
//! a failed write the store accepts no more until it is opened again.
//!
//! After a crash the store holds what was acknowledged, and perhaps the write that
//! was under way, all of it or nothing. A store that comes up with less than it
//! had acknowledged is refused as damaged: RocksDB itself would take a record
//! damaged in the middle of its write-ahead log for the end of it.
//!
//! # Lives
//!
//! A store is made for one life of one node, and its identity says so for good. A
//! group whose vote is lost goes on in a later life of the node: its vote and its
//! mark name that life then. They lie in different column families, so that damage
//! to the vote leaves the mark, which says whose vote it was.
//!
//! The log lives in an instance of its own, apart from any state machine's.
//!
//! # Use
//!
//! Reads need a tokio runtime: they run on its threads for blocking work. Writes
//! run on a thread of the store.
//!
//! Metrics: `raft_storage_sync_seconds`, `raft_storage_batch_records` and
//! `raft_storage_batch_bytes` (histograms), `raft_storage_writes_total` and
//! `raft_storage_failures_total` (counters).
//!
//! # What is deliberately absent
//!
//! A cache of recent entries: the protocol keeps them. Scrubbing in the background.
//! Writing on after a full disk without opening the store again. Storage for state
//! machines.

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
mod watermark;
mod writer;

pub use error::StoreError;
pub use identity::Identity;
pub use log_store::RocksLogStore;
pub use options::RocksOptions;
pub use stable_store::RocksStableStore;
pub use store::RocksStore;
