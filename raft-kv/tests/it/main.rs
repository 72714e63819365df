//! The server from outside: real nodes on loopback, driven by the generated client.
//!
//! One binary, because each one links RocksDB.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used, clippy::panic)]

mod api;
mod certificates;
mod cluster;
mod config;
mod http;
mod membership;
mod support;
