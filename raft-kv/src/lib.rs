//! The raft-kv server as a library.
pub mod config;
pub mod member;
pub mod model;
pub mod proto;
