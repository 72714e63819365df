//! In-memory backends, for tests and examples. Needs no runtime.

pub mod network;
pub mod state_machine;

pub use network::{MemoryHub, MemoryNetwork};
pub use state_machine::CommandLog;
