//! Whatever happens to a replica, and whatever others say to it: no panic, no
//! broken promise, no queue without end.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| raft_core_fuzz::run(bytes));
