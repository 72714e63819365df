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
//! column family   key                                  value
//! meta            "revision"                           the store's revision
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
//! # Durability, snapshots
//!
//! [`raft_storage_rocks::machine`] holds what has nothing to do with keys: one write
//! per batch together with the position it reaches, flushes, snapshots and restores,
//! and a column family of its own for the position.
//!
//! Not here: compaction, leases, watches.

mod apply;
mod check;
mod error;
mod keys;
mod machine;
mod overlap;
mod range;
mod record;
mod store;
mod txn;
mod view;

#[cfg(test)]
mod tests;

pub use check::{check, check_range, is_read_only};
pub use error::QueryError;
pub use machine::{Mvcc, MvccMachine};
pub use store::MvccStore;
