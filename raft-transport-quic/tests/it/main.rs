//! One binary for all integration tests of the transport.

#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod bulk;
mod conformance;
mod duties;
mod ether;
mod identity;
#[cfg(target_os = "linux")]
mod namespaces;
mod reconnect;
mod relay;
mod resume;
mod sample;
mod snapshot;
mod support;
mod weather;
mod wire_format;
mod wire_messages;
