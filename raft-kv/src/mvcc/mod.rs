//! The replicated state: keys with all their revisions, on RocksDB.
//!
//! [`MvccMachine`] is what the log drives; [`MvccStore`] is a cheap handle for
//! reads. Semantics are etcd's: the empty store is at revision 1, a write
//! request or transaction is one revision with ordered sub-revisions, and one
//! that changes nothing does not advance the revision.
//!
//! # On disk
//!
//! ```text
//! <data directory>/
//!   ACTIVE            names the state in use, replaced by an atomic rename
//!   state-<n>/        one RocksDB; a restore writes state-<n+1> beside it
//!
//! column family   key                                  value
//! meta            "applied"                            last applied log id, revision
//!                 "membership"                         membership in force there
//! keys            escaped key . ^main . ^sub           live or deleted, create revision, version
//! revisions       main . sub                           what changed: key, value, create revision, version
//! ```
//!
//! `keys` is the index: for each key its changes, newest first (`^` inverts the
//! bits), so that a read at revision *r* seeks to `(key, r)` and the first record
//! there is the answer. It lies on disk like the rest; memory does not grow with
//! the number of keys. `revisions` holds the data in the order of history. All
//! numbers are big-endian, and every value starts with a version and a checksum
//! over key and value.
//!
//! # Durability
//!
//! Nothing is written to RocksDB's own log: the Raft log is that log. Each batch
//! of entries is one write that also holds the position it reaches, and all
//! column families are flushed as one, so a crash leaves data and position of the
//! same moment. What was applied after the last flush is applied again from the
//! Raft log.
//!
//! Not here: compaction, leases, watches.

mod apply;
mod check;
mod error;
mod flush;
mod keys;
mod machine;
mod overlap;
mod range;
mod record;
mod restore;
mod snapshot;
mod state;
mod store;
mod txn;
mod view;

#[cfg(test)]
mod tests;

pub use check::{check, check_range, is_read_only};
pub use error::QueryError;
pub use machine::MvccMachine;
pub use store::MvccStore;
