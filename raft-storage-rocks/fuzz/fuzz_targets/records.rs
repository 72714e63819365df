//! Whatever lies on the disk: no decoder panics, or takes memory out of proportion.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| raft_storage_rocks::fuzzing::decode(bytes));
