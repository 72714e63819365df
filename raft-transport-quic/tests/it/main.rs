//! One binary for all integration tests of the transport.

#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod alone;
mod at_once;
mod bulk;
mod conformance;
mod duties;
mod ether;
mod hostile;
mod identity;
mod log;
mod metrics;
#[cfg(target_os = "linux")]
mod namespaces;
mod reconnect;
mod relay;
mod reload;
mod removed;
mod resume;
mod sample;
mod snapshot;
mod stranger;
mod support;
mod trust;
mod versions;
mod weather;
mod wire_bounds;
mod wire_format;
mod wire_messages;
