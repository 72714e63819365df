//! The raft-kv server as a library.
pub mod model;
