//! One binary, because each links RocksDB.

// Clippy knows tests, but not the helpers beside them.
#![allow(clippy::unwrap_used)]

mod concurrency;
mod conformance;
mod corruption;
mod crash;
mod failure;
mod format;
mod identity;
mod recovery;
mod support;
