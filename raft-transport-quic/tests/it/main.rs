//! One binary for all integration tests of the transport.

mod duties;
mod identity;
mod reconnect;
mod snapshot;
mod support;
mod wire_format;
