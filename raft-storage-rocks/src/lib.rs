//! Durable Raft log and vote storage on RocksDB, and state machines on it.
//!
//! One [`RocksStore`] is one database directory of one node. It hands out a
//! [`LogStore`](raft_core::LogStore) and a [`StableStore`](raft_core::StableStore)
//! per Raft group; all groups share one queue and one sync.
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
//! but a payload carries a version, a kind and a checksum over its key and body: a
//! record that was damaged, or moved to another key, is recognised and never
//! returned as data. The page on the format in the book has every byte.
//!
//! The entries of an append share records: it is cut into runs of up to 64 KiB. The
//! run with the largest first index up to `i` governs `i`, so a new run shadows the
//! rest of an older one, and nothing is read to be changed. Each entry has a checksum
//! of its own, over who it is and what it holds: one damaged entry is one damaged
//! entry, and metadata and payload that were not written together never pair.
//! Metadata lies apart from payloads and stays readable when a payload is damaged.
//!
//! # Durability
//!
//! When an append, a purge, a reset or a save returns, its write-ahead log record
//! was synced. What queued while the last sync ran becomes the next batch: one
//! write, one sync, whatever the number of appends, votes and groups in it. After
//! a failed write the store accepts no more until it is opened again. A full disk is
//! no failure: below a reserve of free space health says so, and below half of it
//! appends wait until there is more, while votes, purges and reads go on; a write that
//! finds no space all the same is tried again, and succeeds within seconds once there is
//! space for a write buffer. If RocksDB does not go on within a minute of that, as when
//! it lacked an inode, the store closes.
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
//! Reads of the entries appended last are answered from memory, at once. Others need
//! a tokio runtime: they run on its threads for blocking work. Writes run on a thread
//! of the store, or with [`RocksOptions::writes_in_place`] where they are handed in.
//!
//! A purge notes where the log begins. What lies before is deleted with the next
//! write or when there is none, and a second thread removes table files that hold
//! nothing else.
//!
//! # Metrics
//!
//! | counters | |
//! |---|---|
//! | `raft_storage_writes_total` | changes that are durable, of any kind |
//! | `raft_storage_appends_total` | of these, appends |
//! | `raft_storage_appended_entries_total` | entries in these |
//! | `raft_storage_appended_bytes_total` | their bytes |
//! | `raft_storage_failures_total` | writes that failed and closed the store |
//! | `raft_storage_corruptions_total` | findings of damaged or missing records |
//! | `raft_storage_recent_hits_total` | reads that memory answered |
//! | `raft_storage_recent_misses_total` | reads that went to the database |
//!
//! Histograms, per sync: `raft_storage_batch_writes`, `raft_storage_batch_entries`,
//! `raft_storage_batch_bytes`, `raft_storage_sync_seconds`. Gauges:
//! `raft_storage_purge_lag`, entries purged whose bytes are not deleted yet, and
//! `raft_storage_free_bytes`, free on the disk.
//!
//! A recorder is installed before a store is opened, or sees nothing of it.
//!
//! # State machines
//!
//! [`machine`] holds what a state machine on RocksDB needs: an application supplies
//! what its commands mean. Its database is another one than the log's.

mod answers;
mod bounds;
mod change;
mod condition;
mod desk;
mod disk;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod group;
mod identity;
mod intake;
mod keeper;
mod keys;
mod log_store;
pub mod machine;
mod manifest;
mod merging;
mod metrics;
mod options;
mod plan;
mod read;
mod recent;
mod record;
mod refused;
mod room;
mod run;
mod space;
mod stable_store;
mod store;
mod stored_log;
mod survey;
mod unreadable;
mod vote;
mod walk;
mod watermark;
mod writer;

pub use error::StoreError;
pub use identity::Identity;
pub use log_store::RocksLogStore;
pub use options::RocksOptions;
pub use stable_store::RocksStableStore;
pub use store::RocksStore;
pub use stored_log::StoredLog;
pub use survey::{DamagedPart, Finding, Pace, Surveyed};
