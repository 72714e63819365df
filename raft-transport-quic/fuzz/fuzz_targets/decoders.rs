//! Whatever a peer sends: a value or an error, never a panic, and no more memory
//! than was sent.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| raft_transport_quic_fuzz::run(bytes));
