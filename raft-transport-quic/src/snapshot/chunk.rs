//! One chunk as a frame. Its checksum covers its number, which is not sent:
//! both sides count, and a chunk that comes at another place than its own is
//! refused like a damaged one.

use bytes::{Buf, Bytes};
use crc32fast::Hasher;

use super::FRAME_LIMIT;
use crate::frame::{FrameBuilder, FrameKind};

/// Most bytes of data in one chunk.
pub(super) const MAX_CHUNK: usize = 1024 * 1024;
pub(super) const CHECKSUM_LEN: usize = 4;

/// A chunk in two parts, so that the data is not copied.
pub(super) fn encode(number: u64, data: Bytes) -> [Bytes; 2] {
    let mut head = FrameBuilder::new(FrameKind::SnapshotChunk, CHECKSUM_LEN);
    let checksum = checksum(number, &data);
    head.body().extend_from_slice(&checksum.to_be_bytes());
    let head = head
        .finish_before(data.len(), FRAME_LIMIT)
        .expect("chunks are split to fit");
    [head, data]
}

/// The data of the chunk of this number.
pub(super) fn decode(number: u64, mut body: Bytes) -> Result<Bytes, String> {
    if body.len() < CHECKSUM_LEN {
        return Err("shorter than its checksum".into());
    }
    let (expected, found) = (body.get_u32(), checksum(number, &body));
    match expected == found {
        true => Ok(body),
        false => Err(format!("checksum {found:08x}, expected {expected:08x}")),
    }
}

fn checksum(number: u64, data: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&number.to_be_bytes());
    hasher.update(data);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::HEADER_LEN;

    fn body(number: u64, data: &'static [u8]) -> Bytes {
        let [head, data] = encode(number, Bytes::from_static(data));
        let mut body = head[HEADER_LEN..].to_vec();
        body.extend_from_slice(&data);
        body.into()
    }

    #[test]
    fn a_chunk_comes_back_at_its_place_and_at_no_other() {
        for number in [0, 1, 300, u64::MAX] {
            assert_eq!(decode(number, body(number, b"state")).unwrap(), "state");
            assert!(decode(number ^ 1, body(number, b"state")).is_err());
        }
    }

    #[test]
    fn a_chunk_that_is_damaged_or_cut_is_refused() {
        let whole = body(7, b"state");
        for place in 0..whole.len() {
            let mut damaged = whole.to_vec();
            damaged[place] ^= 4;
            assert!(decode(7, damaged.into()).is_err(), "byte {place}");
            assert!(decode(7, whole.slice(..place)).is_err(), "{place} bytes");
        }
    }
}
