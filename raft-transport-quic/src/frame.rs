//! How bytes of a stream fall into frames: version, kind, length, body.
//!
//! ```text
//! byte  0        1     2..6                 6..
//!       version  kind  length of the body   body
//!       1        u8    u32, big-endian
//! ```
//!
//! A header is checked in full before a byte is reserved for its body, so that
//! a frame of absurd length costs nothing. What a body means is the business
//! of [`wire`](crate::wire) and of the snapshot stream.

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The framing this crate writes and the only one it reads.
pub const FRAME_VERSION: u8 = 1;

/// Bytes before the body.
pub const HEADER_LEN: usize = 6;

/// How much room a reader makes at once while it waits for a header.
const READ_STEP: usize = 64 * 1024;
/// A longer frame has its room for itself.
const LARGE: usize = 512 * 1024;

/// What a frame holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum FrameKind {
    /// First frame of a connection in either direction.
    Hello = 1,
    /// A batch of envelopes.
    Messages = 2,
    /// A checksum and bytes of a snapshot.
    SnapshotChunk = 4,
    /// All chunks were sent; how many, and how many bytes.
    SnapshotEnd = 5,
    /// What the receiver made of a snapshot.
    SnapshotReply = 6,
    /// What a snapshot is, and which transfer of it begins or goes on. In the
    /// place of number 3, which knew no transfers and is not used again.
    SnapshotBegin = 7,
    /// How many chunks of a snapshot the receiver holds.
    SnapshotHave = 8,
}

impl FrameKind {
    const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Hello,
            2 => Self::Messages,
            4 => Self::SnapshotChunk,
            5 => Self::SnapshotEnd,
            6 => Self::SnapshotReply,
            7 => Self::SnapshotBegin,
            8 => Self::SnapshotHave,
            _ => return None,
        })
    }
}

/// One frame as it was read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    /// What it holds.
    pub kind: FrameKind,
    /// Its bytes.
    pub body: Bytes,
}

/// Why bytes are no frame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Another framing, or not one of ours at all.
    #[error("frame version {found}, expected {FRAME_VERSION}")]
    Version {
        /// The byte found.
        found: u8,
    },
    /// A kind this version does not have.
    #[error("unknown frame kind {found}")]
    Kind {
        /// The byte found.
        found: u8,
    },
    /// Longer than agreed; nothing was allocated for it.
    #[error("frame of {len} bytes is over the limit of {limit}")]
    TooLong {
        /// Length that the header claims, or that the body has.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// The stream ended inside a frame.
    #[error("the stream ended {have} bytes into a frame")]
    Truncated {
        /// How much of the frame had arrived.
        have: usize,
    },
    /// The stream broke.
    #[error("the stream broke")]
    Io(#[from] std::io::Error),
}

/// A frame being written: the header stands, the body is appended, the length
/// is filled in at the end. The body is written once, in place.
#[derive(Debug)]
pub struct FrameBuilder {
    bytes: Vec<u8>,
    /// What lies elsewhere, with the number of `bytes` before it.
    shared: Vec<(usize, Bytes)>,
}

impl FrameBuilder {
    /// A frame of `kind` with room for about `capacity` bytes of body.
    pub fn new(kind: FrameKind, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEADER_LEN + capacity);
        bytes.extend_from_slice(&[FRAME_VERSION, kind as u8, 0, 0, 0, 0]);
        let shared = Vec::new();
        Self { bytes, shared }
    }

    /// Where the body goes; append only.
    pub fn body(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends bytes without copying them. The frame has to be finished by
    /// [`FrameBuilder::finish_parts`] then.
    pub fn share(&mut self, bytes: Bytes) {
        self.shared.push((self.bytes.len(), bytes));
    }

    /// How long the body is so far, with what lies elsewhere.
    pub(crate) fn body_len(&self) -> usize {
        let elsewhere: usize = self.shared.iter().map(|(_, part)| part.len()).sum();
        self.bytes.len() - HEADER_LEN + elsewhere
    }

    /// The frame, as parts to be written one after the other.
    ///
    /// # Errors
    ///
    /// A body over `limit`.
    pub fn finish_parts(mut self, limit: usize) -> Result<Vec<Bytes>, FrameError> {
        let shared = std::mem::take(&mut self.shared);
        let elsewhere = shared.iter().map(|(_, part)| part.len()).sum();
        let mut rest = self.finish_before(elsewhere, limit)?;
        let mut parts = Vec::with_capacity(1 + 2 * shared.len());
        let mut taken = 0;
        for (before, part) in shared {
            parts.push(rest.split_to(before - taken));
            parts.push(part);
            taken = before;
        }
        if !rest.is_empty() {
            parts.push(rest);
        }
        Ok(parts)
    }

    /// The frame with its length filled in; `follows` bytes of its body are
    /// written by the caller right after it.
    ///
    /// # Errors
    ///
    /// A body over `limit`.
    ///
    /// # Panics
    ///
    /// When parts of it lie elsewhere.
    pub fn finish_before(mut self, follows: usize, limit: usize) -> Result<Bytes, FrameError> {
        assert!(self.shared.is_empty(), "a frame in parts ends as parts");
        let len = self.bytes.len() - HEADER_LEN + follows;
        let too_long = FrameError::TooLong { len, limit };
        if len > limit {
            return Err(too_long);
        }
        let Ok(length) = u32::try_from(len) else {
            return Err(too_long);
        };
        self.bytes[2..HEADER_LEN].copy_from_slice(&length.to_be_bytes());
        Ok(self.bytes.into())
    }

    /// The whole frame.
    ///
    /// # Errors
    ///
    /// A body over `limit`.
    ///
    /// # Panics
    ///
    /// When parts of it lie elsewhere.
    pub fn finish(self, limit: usize) -> Result<Bytes, FrameError> {
        self.finish_before(0, limit)
    }
}

/// Cuts a stream into frames. Bytes may come in any portions.
#[derive(Debug)]
pub struct FrameReader<R> {
    source: R,
    buffer: BytesMut,
    limit: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads `source`; no body may be longer than `limit`.
    pub fn new(source: R, limit: usize) -> Self {
        Self {
            source,
            buffer: BytesMut::new(),
            limit,
        }
    }

    /// The same reader with another limit from the next frame on.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// The next frame, or nothing when the stream ended between two frames.
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// When what comes is no frame, or the stream breaks. The reader is of no
    /// use after that.
    pub async fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some(frame) = self.cut()? {
                return Ok(Some(frame));
            }
            if self.source.read_buf(&mut self.buffer).await? == 0 {
                return match self.buffer.len() {
                    0 => Ok(None),
                    have => Err(FrameError::Truncated { have }),
                };
            }
        }
    }

    /// How many bytes the reader holds room for.
    pub fn reserved(&self) -> usize {
        self.buffer.capacity()
    }

    /// Takes a whole frame off the buffer, or makes room for what is missing.
    fn cut(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(header) = self.buffer.first_chunk::<HEADER_LEN>() else {
            self.buffer.reserve(READ_STEP);
            return Ok(None);
        };
        let (kind, len) = read_header(*header, self.limit)?;
        let whole = HEADER_LEN + len;
        if self.buffer.len() < whole {
            // Room grows with what came: a length that is only announced takes none.
            let missing = whole - self.buffer.len();
            self.buffer
                .reserve(missing.min(self.buffer.len().max(READ_STEP)));
            return Ok(None);
        }
        self.buffer.advance(HEADER_LEN);
        let body = self.buffer.split_to(len).freeze();
        if whole > LARGE {
            // What follows must not keep the room of this one, nor this one's reader.
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
        Ok(Some(Frame { kind, body }))
    }
}

/// Kind and length, checked before anything is done with them.
fn read_header(header: [u8; HEADER_LEN], limit: usize) -> Result<(FrameKind, usize), FrameError> {
    let [version, kind, length @ ..] = header;
    if version != FRAME_VERSION {
        return Err(FrameError::Version { found: version });
    }
    let kind = FrameKind::from_byte(kind).ok_or(FrameError::Kind { found: kind })?;
    let len = u32::from_be_bytes(length) as usize;
    if len > limit {
        return Err(FrameError::TooLong { len, limit });
    }
    Ok((kind, len))
}
