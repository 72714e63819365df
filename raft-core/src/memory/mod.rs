//! In-memory backends, for tests, examples and trying things out.
//!
//! Nothing here survives the process. The stores keep their content while a
//! clone of them lives, so that a node can be stopped and started again.

mod log_store;
mod network;
mod stable_store;
mod state_machine;

pub use log_store::MemoryLogStore;
pub use network::{MemoryHub, MemoryNetwork};
pub use stable_store::MemoryStableStore;
pub use state_machine::MemoryStateMachine;
