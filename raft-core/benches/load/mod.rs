//! The loads that the benchmarks put on us, and that `peers` puts on others as well.
//!
//! A load knows nothing of whom it measures: that is behind a trait, so the load
//! is the same for all by construction.

pub(crate) mod group;
pub(crate) mod measure;
pub(crate) mod options;
pub(crate) mod our_group;
pub(crate) mod table;
