//! One binary for all integration tests of the transport.

#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod alone;
mod conformance;
mod duties;
mod hostile;
mod identity;
mod log;
mod metrics;
mod reconnect;
mod relay;
mod reload;
mod resume;
mod sample;
mod snapshot;
mod stranger;
mod support;
mod trust;
mod versions;
mod wire_format;
mod wire_messages;
