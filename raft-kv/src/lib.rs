//! A replicated key-value server that speaks the etcd v3 API, as a library.
//!
//! Most people run the binary: `raft-kv server --config FILE`. The library is
//! the same server for embedding and tests: load a [`config::Config`], start a
//! [`server::Server`] or [`server::run`] it until a future of yours completes.
//!
//! How a request travels: a gRPC service of [`api`] turns a message into a
//! request of [`model`]; a write is encoded as a [`command`] and goes through
//! Raft's log to every member, where the state machine of [`mvcc`] applies it; a
//! read asks Raft how fresh the local store must be and then reads there.

#![deny(missing_docs)]

pub mod api;
mod certificates;
pub mod command;
pub mod config;
mod founders;
mod http;
pub mod member;
pub mod model;
pub mod mvcc;
pub mod proto;
mod scrub;
pub mod server;
pub mod shutdown;
mod upkeep;
