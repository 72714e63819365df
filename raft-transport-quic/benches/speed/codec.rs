//! What encoding and decoding cost, which all ways pay alike.

use std::hint::black_box;
use std::time::Duration;

use raft_transport_quic::frame::{FrameBuilder, FrameKind, HEADER_LEN};
use raft_transport_quic::wire;

use crate::figures::Meter;
use crate::load;

/// Microseconds for a message of so many bytes in a batch of 64, there and back.
pub(crate) fn cost(size: usize, turn: Duration) -> f64 {
    let batch = load::batch(size, 64);
    let meter = Meter::start();
    let mut messages = 0;
    while meter.seconds() < turn.as_secs_f64() {
        let mut frame = FrameBuilder::new(FrameKind::Messages, 0);
        wire::encode_batch_in(black_box(&batch), &mut frame).expect("it can be encoded");
        let body = frame.finish(usize::MAX).expect("it is small");
        let decoded = wire::decode_batch_of(&body.slice(HEADER_LEN..));
        messages += black_box(decoded.expect("what it wrote itself")).len();
    }
    meter.cpu_seconds() * 1e6 / messages as f64
}
