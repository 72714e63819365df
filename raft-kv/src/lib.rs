//! The raft-kv server as a library.
pub mod command;
pub mod model;
pub mod mvcc;
