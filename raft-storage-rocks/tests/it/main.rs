//! One binary, because each links RocksDB.

mod concurrency;
mod conformance;
mod corruption;
mod crash;
mod failure;
mod format;
mod identity;
mod recovery;
mod support;
