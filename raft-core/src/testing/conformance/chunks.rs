//! Streams of chunks, as state machines get and give them.

use async_trait::async_trait;
use bytes::Bytes;

use super::step_aside;
use crate::error::StorageError;
use crate::snapshot::SnapshotReader;

/// What a chunk may hold at most.
const MAX_CHUNK: usize = 1 << 20;

/// Given bytes in chunks.
pub(in crate::testing) struct Chunks {
    bytes: Bytes,
    size: usize,
    /// Lets others run before each chunk.
    is_slow: bool,
    /// How many chunks come before an error; without one if there is no number.
    left: Option<usize>,
}

impl Chunks {
    pub(in crate::testing) fn slow(bytes: &[u8], size: usize) -> Self {
        Self {
            bytes: Bytes::copy_from_slice(bytes),
            size,
            is_slow: true,
            left: None,
        }
    }

    /// Breaks off after so many chunks.
    pub(in crate::testing) fn broken(bytes: &[u8], size: usize, whole_chunks: usize) -> Self {
        Self {
            is_slow: false,
            left: Some(whole_chunks),
            ..Self::slow(bytes, size)
        }
    }
}

#[async_trait]
impl SnapshotReader for Chunks {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        if self.is_slow {
            step_aside().await;
        }
        if let Some(left) = &mut self.left {
            if *left == 0 {
                return Err(StorageError::io(
                    "reading a stream",
                    "it breaks, as it was meant to",
                ));
            }
            *left -= 1;
        }
        let size = self.size.min(self.bytes.len());
        Ok((size > 0).then(|| self.bytes.split_to(size)))
    }
}

/// `bytes` in chunks of `size`.
pub(in crate::testing) fn take_apart(bytes: &[u8], size: usize) -> Box<dyn SnapshotReader> {
    Box::new(Chunks {
        is_slow: false,
        ..Chunks::slow(bytes, size)
    })
}

/// All that `reader` gives.
pub(in crate::testing) async fn read_all(mut reader: Box<dyn SnapshotReader>) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let chunk = reader.next_chunk().await;
        match chunk.expect("the bytes of a sound snapshot can be read") {
            Some(chunk) => {
                let length = chunk.len();
                assert!(
                    length <= MAX_CHUNK,
                    "a chunk of {length} bytes is too large"
                );
                bytes.extend_from_slice(&chunk);
            }
            None => return bytes,
        }
    }
}
