//! What the bodies of frames mean: a version byte, then bincode.
//!
//! The only file of this crate that knows bincode (`docs/adr/0004-bincode.md`).
//! The encoding is bincode's standard one: integers of variable length,
//! little-endian, enum variants by number, sequences and byte strings after
//! their length. `tests/it/wire_format.rs` pins the bytes of every kind of message.
//!
//! Decoding is total: any bytes give a value or an error, a claimed length
//! beyond [`MAX_BODY`] is refused before it is allocated, and bytes left over
//! are an error.
//!
//! A command of 16 KiB or more is not copied: it goes out as a part of its frame
//! that lies where the command does, and comes in as a slice of its frame. A
//! smaller one is copied on each side, which costs less than a part of its own,
//! and keeps no frame in memory for longer than it is read.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bytes::Bytes;
use raft_core::{Envelope, GroupId, ReplicaId, SnapshotHeader, SnapshotMeta, Term};
use serde::{Deserialize, Serialize};

use crate::frame::FrameBuilder;
use crate::in_place::EnvelopeInPlace;
use crate::parts::PartsWriter;

/// The message format this crate writes and the only one it reads.
pub const WIRE_VERSION: u8 = 1;

/// No body is larger, whatever the configuration says.
pub const MAX_BODY: usize = 64 * 1024 * 1024;

/// Why a body could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Written by a version we do not speak.
    #[error("message format version {found}, expected {WIRE_VERSION}")]
    Version {
        /// The byte found.
        found: u8,
    },
    /// Not even a version byte.
    #[error("an empty body")]
    Empty,
    /// More bytes than the value takes.
    #[error("{extra} bytes after the end of the value")]
    Trailing {
        /// How many.
        extra: usize,
    },
    /// The bytes are no such value.
    #[error("malformed body")]
    Malformed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The value cannot be written.
    #[error("the value cannot be encoded")]
    Unencodable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Names the transfer of one snapshot, over however many streams it takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct TransferId {
    /// The sender's start; see [`Hello`](crate::hello::Hello).
    pub boot: u64,
    /// Rises with each transfer of that start.
    pub sequence: u64,
}

/// First words of a snapshot's stream: which transfer begins, or goes on.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SnapshotBegin {
    /// Which transfer.
    pub transfer: TransferId,
    /// How many chunks the receiver was heard to hold: the sender has them no more.
    pub acknowledged: u64,
    group: GroupId,
    from: ReplicaId,
    to: ReplicaId,
    term: Term,
    /// What the snapshot stands for.
    pub meta: SnapshotMeta,
}

impl SnapshotBegin {
    /// The beginning of a transfer.
    pub fn new(transfer: TransferId, header: SnapshotHeader, meta: SnapshotMeta) -> Self {
        let SnapshotHeader {
            group,
            from,
            to,
            term,
        } = header;
        Self {
            transfer,
            acknowledged: 0,
            group,
            from,
            to,
            term,
            meta,
        }
    }

    /// The header in it.
    pub const fn header(&self) -> SnapshotHeader {
        SnapshotHeader {
            group: self.group,
            from: self.from,
            to: self.to,
            term: self.term,
        }
    }
}

/// How much of a snapshot the receiver holds: its answer to the beginning of a
/// stream, and its acknowledgement from then on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SnapshotHave {
    /// The chunks before this one.
    pub chunks: u64,
}

/// What goes after the chunks of a snapshot.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct SnapshotEnd {
    /// How many chunks were sent.
    pub chunks: u64,
    /// How many bytes were in them.
    pub bytes: u64,
}

/// What the receiver made of a snapshot.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum SnapshotReply {
    /// It is installed.
    Installed,
    /// It is not wanted, or could not be installed; why.
    Refused(String),
}

/// Appends a batch of envelopes to `body`.
///
/// # Errors
///
/// None that a value of these types causes; kept for the encoder's contract.
pub fn encode_batch(batch: &[Envelope], body: &mut Vec<u8>) -> Result<(), WireError> {
    encode(batch, body)
}

/// As [`encode_batch`], but large commands become parts of the frame.
///
/// # Errors
///
/// As [`encode_batch`].
pub fn encode_batch_in(batch: &[Envelope], frame: &mut FrameBuilder) -> Result<(), WireError> {
    frame.body().push(WIRE_VERSION);
    let mut writer = PartsWriter::new(batch, frame);
    bincode::serde::encode_into_std_write(batch, &mut writer, encoding())
        .map(|_written| ())
        .map_err(|error| WireError::Unencodable(error.into()))
}

/// The envelopes of a body.
///
/// # Errors
///
/// When the body is of another version, malformed, or longer than the batch in it.
pub fn decode_batch(body: &[u8]) -> Result<Vec<Envelope>, WireError> {
    decode_batch_of(&Bytes::copy_from_slice(body))
}

/// As [`decode_batch`], but large commands are slices of the body.
///
/// # Errors
///
/// As [`decode_batch`].
pub fn decode_batch_of(body: &Bytes) -> Result<Vec<Envelope>, WireError> {
    let batch: Vec<EnvelopeInPlace<'_>> = decode(body)?;
    let envelopes = batch.into_iter().map(|read| read.into_envelope(body));
    let whole: Result<_, _> = envelopes.collect();
    whole.map_err(|error| WireError::Malformed(error.into()))
}

/// Appends one of this module's values to `body`.
///
/// # Errors
///
/// As [`encode_batch`].
pub fn encode<T: Serialize + ?Sized>(value: &T, body: &mut Vec<u8>) -> Result<(), WireError> {
    body.push(WIRE_VERSION);
    bincode::serde::encode_into_std_write(value, body, encoding())
        .map(|_written| ())
        .map_err(|error| WireError::Unencodable(error.into()))
}

/// Reads one of this module's values from a whole body.
///
/// # Errors
///
/// As [`decode_batch`].
pub fn decode<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, WireError> {
    let (&version, bytes) = body.split_first().ok_or(WireError::Empty)?;
    if version != WIRE_VERSION {
        return Err(WireError::Version { found: version });
    }
    let (value, read) = bincode::serde::borrow_decode_from_slice(bytes, encoding())
        .map_err(|error| WireError::Malformed(error.into()))?;
    match bytes.len() - read {
        0 => Ok(value),
        extra => Err(WireError::Trailing { extra }),
    }
}

type Encoding = Configuration<LittleEndian, Varint, Limit<MAX_BODY>>;

const fn encoding() -> Encoding {
    bincode::config::standard().with_limit::<MAX_BODY>()
}
