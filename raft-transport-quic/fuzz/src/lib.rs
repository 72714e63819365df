//! What the fuzzer drives: its bytes as a stream of frames, and as the body of
//! every kind of frame.

use raft_transport_quic::frame::{FrameBuilder, FrameKind, FrameReader};
use raft_transport_quic::hello::Hello;
use raft_transport_quic::wire::{self, SnapshotBegin, SnapshotEnd, SnapshotHave, SnapshotReply};

/// As small as no configuration allows, so that short inputs are over it too.
const LIMIT: usize = 512;

/// Feeds one input to all decoders.
pub fn run(bytes: &[u8]) {
    frames(bytes);
    bodies(bytes);
}

/// The bytes as a stream, in one portion: frames until the first error.
fn frames(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without drivers needs nothing");
    runtime.block_on(async {
        let mut reader = FrameReader::new(bytes, LIMIT);
        let mut taken = 0;
        while let Ok(Some(frame)) = reader.next().await {
            assert!(frame.body.len() <= LIMIT);
            taken += frame.body.len();
            bodies(&frame.body);
        }
        assert!(taken <= bytes.len());
        // One step of reading, beside what was asked for.
        assert!(reader.reserved() <= 4 * 64 * 1024 + LIMIT);
    });
}

/// The bytes as a body of each kind. What can be read is written and read again.
fn bodies(bytes: &[u8]) {
    if let Ok(batch) = wire::decode_batch(bytes) {
        let mut frame = FrameBuilder::new(FrameKind::Messages, bytes.len());
        wire::encode_batch(&batch, frame.body()).expect("what was read can be written");
        let frame = frame
            .finish(wire::MAX_BODY)
            .expect("it is no longer than it was");
        let again = wire::decode_batch(&frame[raft_transport_quic::frame::HEADER_LEN..]);
        assert_eq!(again.expect("what was written can be read"), batch);
    }
    comes_back::<SnapshotBegin>(bytes);
    comes_back::<SnapshotHave>(bytes);
    comes_back::<SnapshotEnd>(bytes);
    comes_back::<SnapshotReply>(bytes);
    if let Some(hello) = Hello::decode(bytes) {
        let mut body = Vec::new();
        hello.encode(&mut body);
        assert_eq!(body, bytes[..body.len()]);
        let ours = hello
            .versions
            .common(raft_transport_quic::hello::Versions::OURS);
        assert!(ours.is_none_or(|version| version == wire::WIRE_VERSION));
    }
}

fn comes_back<T>(bytes: &[u8])
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    if let Ok(value) = wire::decode::<T>(bytes) {
        let mut body = Vec::new();
        wire::encode(&value, &mut body).expect("what was read can be written");
        let again: T = wire::decode(&body).expect("what was written can be read");
        assert_eq!(again, value);
    }
}
