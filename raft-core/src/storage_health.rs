//! How a store says it is doing.

use std::time::Duration;

/// How a store is doing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum StorageHealth {
    /// Writes complete.
    #[default]
    Healthy,
    /// A write has not completed for this long.
    Stalled {
        /// Age of the oldest unfinished sync.
        since: Duration,
    },
    /// No space; reads work.
    Full,
    /// A write failed; the store is closed for writing.
    Closed,
}
