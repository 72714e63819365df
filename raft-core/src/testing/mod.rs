//! What tests the parts: the simulator for the protocol and for state machines, suites for backends.
//!
//! Behind the feature `testing`, because no running node needs it. Names here
//! may change between minor versions.

pub mod conformance;
pub mod explore;
pub mod files;
pub mod linearizability;
mod refinement;
pub mod sim;
mod spec;
