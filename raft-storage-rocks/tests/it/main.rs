//! One binary, because each links RocksDB.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails by panicking"
)]

mod concurrency;
mod conformance;
mod corruption;
mod crash;
mod failure;
mod flips;
mod format;
mod full;
mod identity;
mod image;
mod in_place;
mod machine;
mod machine_full;
mod merging;
mod model;
mod power_cut;
mod recovery;
mod small_disk;
mod space;
mod support;
mod survey;
