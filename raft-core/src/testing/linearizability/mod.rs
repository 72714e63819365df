//! Whether what clients saw can be explained by one register per key, changed
//! and read at one moment within each operation (Herlihy and Wing 1990).
//!
//! Record a [`History`] with the clients' own clock, then ask one of three checkers:
//!
//! | checker | needs | costs, for n operations |
//! |---|---|---|
//! | [`witness`] | the log index at which each operation took effect | n log n |
//! | [`zones`] | that no two writes to a key write the same value | n log n |
//! | [`search`] | nothing | up to exponential; gives up after so many steps |
//!
//! The first is the sharpest: it also finds a history that is linearizable by luck.
//! The other two see only what clients saw.

mod export;
mod history;
pub mod search;
#[cfg(test)]
mod tests;
pub mod witness;
pub mod zones;

pub use history::{Action, History, Operation};

/// What a checker says of a history.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It can be explained.
    Linearizable,
    /// It cannot, and why, in words.
    Violated(String),
    /// The checker ran out of steps. That is no pass.
    GaveUp,
}

impl Verdict {
    /// Whether the history can be explained.
    pub fn is_linearizable(&self) -> bool {
        *self == Self::Linearizable
    }
}
