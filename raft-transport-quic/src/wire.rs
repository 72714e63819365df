//! What the bodies of frames mean: a version byte, then bincode.
//!
//! The only file of this crate that knows bincode (`docs/adr/0004-bincode.md`).
//! The encoding is bincode's standard one: integers of variable length,
//! little-endian, enum variants by number, sequences and byte strings after
//! their length. `tests/it/wire_format.rs` pins the bytes of every kind of message.
//!
//! Decoding is total: any bytes give a value or an error, a claimed length
//! beyond what such a body can hold is refused before it is allocated, and bytes
//! left over are an error. What a body becomes in memory is bounded too; see
//! [`MAX_BODY`].
//!
//! A command of 16 KiB or more is not copied: it goes out as a part of its frame
//! that lies where the command does, and comes in as a slice of its frame. A
//! smaller one is copied on each side, which costs less than a part of its own,
//! and keeps no frame in memory for longer than it is read.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bytes::Bytes;
use raft_core::{Envelope, GroupId, Message, ReplicaId, SnapshotHeader, SnapshotMeta, Term};
use serde::{Deserialize, Serialize};

use crate::frame::FrameBuilder;
use crate::in_place::EnvelopeInPlace;
use crate::parts::PartsWriter;

/// The message format this crate writes and the only one it reads.
pub const WIRE_VERSION: u8 = 1;

/// No body is larger, whatever the configuration says.
///
/// Commands take as much memory as they have bytes. All else takes more: a message of
/// eight bytes becomes one of some two hundred. So that a peer cannot make much of
/// little, only a message that carries entries or commands, or refuses commands, is
/// longer than [`MAX_SHARED_BODY`]; it is alone in its body, and has at most [`MAX_ITEMS`]
/// of them. Both sides keep to that. So what is not commands becomes 32 MiB at most;
/// only entries with memberships of many MiB, which no group has, become seven times as
/// much as they have bytes.
pub const MAX_BODY: usize = 64 * MIB;

/// No body is longer that has more than one message, or one without entries or commands.
/// A writer ends a batch well before it, and sends messages one by one that do not fit
/// together.
pub const MAX_SHARED_BODY: usize = 512 * 1024;

/// Most entries, commands or refused commands in one message; twice as many as
/// `raft-core` lets wait for commit by default.
pub const MAX_ITEMS: usize = 131_072;

const MIB: usize = 1024 * 1024;

/// Bincode's limit counts a number with its full width, however few bytes it was written
/// in. The numbers of [`MAX_ITEMS`] entries come to so much more than their bytes.
const UNWRITTEN: usize = 8 * MIB;

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
    /// Long, and yet more than one message.
    #[error("{messages} messages in a body of {len} bytes, which may hold one")]
    Crowded {
        /// How many, or how many are claimed.
        messages: u64,
        /// Length of the body.
        len: usize,
    },
    /// One message, and longer than such a one may be.
    #[error("a body of {len} bytes without entries or commands, at most {MAX_SHARED_BODY}")]
    Long {
        /// Length of the body.
        len: usize,
    },
    /// A message of too many parts.
    #[error("{items} entries or commands in one message, at most {MAX_ITEMS} are possible")]
    Items {
        /// How many.
        items: usize,
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
/// Several messages that are too long for one body, or one of too many parts.
/// `body` is of no use then.
pub fn encode_batch(batch: &[Envelope], body: &mut Vec<u8>) -> Result<(), WireError> {
    let before = body.len();
    check_items(batch)?;
    encode(batch, body)?;
    check_room(batch, body.len() - before)
}

/// As [`encode_batch`], but large commands become parts of the frame.
///
/// # Errors
///
/// As [`encode_batch`].
pub fn encode_batch_in(batch: &[Envelope], frame: &mut FrameBuilder) -> Result<(), WireError> {
    check_items(batch)?;
    frame.body().push(WIRE_VERSION);
    let mut writer = PartsWriter::new(batch, frame);
    bincode::serde::encode_into_std_write(batch, &mut writer, encoding::<MAX_BODY>())
        .map_err(|error| WireError::Unencodable(error.into()))?;
    check_room(batch, frame.body_len())
}

/// The envelopes of a body.
///
/// # Errors
///
/// When the body is of another version, malformed, longer than the batch in it, or holds
/// more than a body may; see [`MAX_BODY`].
pub fn decode_batch(body: &[u8]) -> Result<Vec<Envelope>, WireError> {
    decode_batch_of(&Bytes::copy_from_slice(body))
}

/// As [`decode_batch`], but large commands are slices of the body.
///
/// # Errors
///
/// As [`decode_batch`].
pub fn decode_batch_of(body: &Bytes) -> Result<Vec<Envelope>, WireError> {
    let bytes = versioned(body)?;
    if body.len() > MAX_SHARED_BODY {
        let (begin, _): (Beginning, _) = read(bytes)?;
        may_be_long(begin.messages, LONG_KINDS.contains(&begin.kind), body.len())?;
    }
    let batch: Vec<EnvelopeInPlace<'_>> = decode(body)?;
    let envelopes = batch.into_iter().map(|read| read.into_envelope(body));
    let whole: Result<_, _> = envelopes.collect();
    whole.map_err(|error| WireError::Malformed(error.into()))
}

/// Appends one of this module's values to `body`.
///
/// # Errors
///
/// None that a value of these types causes; kept for the encoder's contract.
pub fn encode<T: Serialize + ?Sized>(value: &T, body: &mut Vec<u8>) -> Result<(), WireError> {
    body.push(WIRE_VERSION);
    bincode::serde::encode_into_std_write(value, body, encoding::<MAX_BODY>())
        .map(|_written| ())
        .map_err(|error| WireError::Unencodable(error.into()))
}

/// Reads one of this module's values from a whole body.
///
/// # Errors
///
/// As [`decode_batch`].
pub fn decode<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, WireError> {
    let bytes = versioned(body)?;
    let (value, read) = read(bytes)?;
    match bytes.len() - read {
        0 => Ok(value),
        extra => Err(WireError::Trailing { extra }),
    }
}

/// What comes after the version.
fn versioned(body: &[u8]) -> Result<&[u8], WireError> {
    match body.split_first() {
        None => Err(WireError::Empty),
        Some((&WIRE_VERSION, bytes)) => Ok(bytes),
        Some((&found, _)) => Err(WireError::Version { found }),
    }
}

/// The value that `bytes` begin with, and how many of them it takes. It takes no more
/// memory than values of so many bytes can: the limit is a constant for bincode,
/// so there are some to choose from.
fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, usize), WireError> {
    use bincode::serde::borrow_decode_from_slice as read;
    let value = match bytes.len() {
        // No number is written in less than an eighth of its width.
        len if len <= MAX_SHARED_BODY => read(bytes, encoding::<{ 8 * MAX_SHARED_BODY }>()),
        len if len <= MAX_MIDDLE => read(bytes, encoding::<{ MAX_MIDDLE + UNWRITTEN }>()),
        len if len <= MAX_DEFAULT => read(bytes, encoding::<{ MAX_DEFAULT + UNWRITTEN }>()),
        _ => read(bytes, encoding::<{ MAX_BODY + UNWRITTEN }>()),
    };
    value.map_err(|error| WireError::Malformed(error.into()))
}

const MAX_MIDDLE: usize = 4 * MIB;
const MAX_DEFAULT: usize = 16 * MIB;

/// How many messages a body has, and what the first one is.
#[derive(Deserialize)]
struct Beginning {
    messages: u64,
    _group: GroupId,
    _from: ReplicaId,
    _to: ReplicaId,
    _term: Term,
    kind: u32,
}

/// Appends, proposals, refusals of them, and fetched entries, by their numbers on the wire.
const LONG_KINDS: [u32; 4] = [4, 11, 12, 17];

/// Refuses a long body that nobody would read.
fn check_room(batch: &[Envelope], len: usize) -> Result<(), WireError> {
    if len <= MAX_SHARED_BODY {
        return Ok(());
    }
    let is_long_kind = |envelope: &Envelope| {
        matches!(
            envelope.message,
            Message::AppendEntries(_)
                | Message::Propose(_)
                | Message::ProposeRefused(_)
                | Message::FetchedEntry(_)
        )
    };
    may_be_long(batch.len() as u64, batch.iter().all(is_long_kind), len)
}

/// Whether a body may be longer than most.
const fn may_be_long(messages: u64, is_long_kind: bool, len: usize) -> Result<(), WireError> {
    match (messages, is_long_kind) {
        (..=1, true) => Ok(()),
        (..=1, false) => Err(WireError::Long { len }),
        _ => Err(WireError::Crowded { messages, len }),
    }
}

/// Refuses messages that nobody would read.
fn check_items(batch: &[Envelope]) -> Result<(), WireError> {
    let items = |envelope: &Envelope| match &envelope.message {
        Message::AppendEntries(append) => append.entries.entries().len(),
        Message::Propose(propose) => propose.commands.len(),
        Message::ProposeRefused(refused) => refused.sequences.len(),
        _ => 0,
    };
    match batch.iter().map(items).find(|&items| items > MAX_ITEMS) {
        Some(items) => Err(WireError::Items { items }),
        None => Ok(()),
    }
}

type Encoding<const LIMIT: usize> = Configuration<LittleEndian, Varint, Limit<LIMIT>>;

const fn encoding<const LIMIT: usize>() -> Encoding<LIMIT> {
    bincode::config::standard().with_limit::<LIMIT>()
}
