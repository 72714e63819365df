//! One binary, because each links RocksDB.

mod conformance;
mod corruption;
mod crash;
mod identity;
mod support;
