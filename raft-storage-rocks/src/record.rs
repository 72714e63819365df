//! The frame of all records, and the only use of bincode in this crate.
//!
//! ```text
//! version  u8      1
//! kind     u8      see `Kind`
//! checksum u32 le  CRC-32 of key, version, kind and body
//! body             bincode 2, standard configuration; but see `run` for runs
//! ```
//!
//! The key is part of the checksum but not of the record: a record that was moved
//! to another key is recognised.

use raft_core::{HardState, Incarnation, LogId, Membership};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::identity::Identity;

/// The newest format this version reads and writes.
pub(crate) const FORMAT: u16 = 1;

/// Far more than the largest body has, which is a membership.
const MOST_DECODED: usize = 16 << 20;

const VERSION: u8 = 1;
const HEADER: usize = 6;

/// What a record is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Identity = 1,
    Purged = 2,
    Vote = 3,
    VoteMark = 4,
    LaterVote = 5,
    LaterVoteMark = 6,
    Run = 7,
    Repaired = 8,
    Applied = 9,
    AppliedMembership = 10,
}

/// What a record holds; each body belongs to one kind.
pub(crate) trait Body: Serialize + DeserializeOwned {
    const KIND: Kind;
}

/// Whose the store is, and the format of everything else in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct IdentityBody {
    pub(crate) format: u16,
    pub(crate) identity: Identity,
}

/// The entry up to which a log is purged.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct PurgedBody(pub(crate) LogId);

/// That a vote was saved once.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct VoteMarkBody;

/// Term and vote of another life of the node than the one the store was made for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct LaterVoteBody {
    pub(crate) incarnation: Incarnation,
    pub(crate) hard_state: HardState,
}

/// That a vote of such a life was saved once.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct LaterVoteMarkBody(pub(crate) Incarnation);

/// The last entry whose effect a state holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct AppliedBody(pub(crate) LogId);

/// The membership in force there.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct AppliedMembershipBody(pub(crate) Membership);

impl Body for IdentityBody {
    const KIND: Kind = Kind::Identity;
}

impl Body for PurgedBody {
    const KIND: Kind = Kind::Purged;
}

impl Body for HardState {
    const KIND: Kind = Kind::Vote;
}

impl Body for VoteMarkBody {
    const KIND: Kind = Kind::VoteMark;
}

impl Body for LaterVoteBody {
    const KIND: Kind = Kind::LaterVote;
}

impl Body for LaterVoteMarkBody {
    const KIND: Kind = Kind::LaterVoteMark;
}

impl Body for AppliedBody {
    const KIND: Kind = Kind::Applied;
}

impl Body for AppliedMembershipBody {
    const KIND: Kind = Kind::AppliedMembership;
}

/// How a record shows that it is not what was written.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("{length} bytes are too few for a record")]
    TooShort { length: usize },
    #[error("its checksum is {found:08x}, {stored:08x} was stored")]
    Checksum { stored: u32, found: u32 },
    #[error("record version {version} is not known, only {VERSION}")]
    Version { version: u8 },
    #[error("it is a record of kind {found}, {expected:?} belongs here")]
    Kind { found: u8, expected: Kind },
    #[error("its body does not decode: {reason}")]
    Body { reason: String },
}

/// Encodes `body` as the record that stands under `key`.
pub(crate) fn encode<T: Body>(key: &[u8], body: &T) -> Vec<u8> {
    let mut record = Vec::new();
    begin(&mut record, T::KIND);
    put_body(&mut record, body);
    seal(key, &mut record);
    record
}

/// Decodes the record found under `key`.
pub(crate) fn decode<T: Body>(key: &[u8], record: &[u8]) -> Result<T, RecordError> {
    body_from(open(key, record, T::KIND)?)
}

/// Begins a record, which its body and then [`seal`] are to follow.
pub(crate) fn begin(record: &mut Vec<u8>, kind: Kind) {
    record.extend_from_slice(&[VERSION, kind as u8, 0, 0, 0, 0]);
}

/// Puts the checksum into the record that is to stand under `key`.
pub(crate) fn seal(key: &[u8], record: &mut [u8]) {
    let checksum = checksum(key, record);
    record[2..HEADER].copy_from_slice(&checksum.to_le_bytes());
}

/// Verifies the record found under `key`; answers its body.
pub(crate) fn open<'a>(
    key: &[u8],
    record: &'a [u8],
    expected: Kind,
) -> Result<&'a [u8], RecordError> {
    let Some((header, body)) = record.split_first_chunk::<HEADER>() else {
        let length = record.len();
        return Err(RecordError::TooShort { length });
    };
    let [version, kind, ..] = *header;
    let stored = u32::from_le_bytes([header[2], header[3], header[4], header[5]]);
    let found = checksum(key, record);
    if stored != found {
        return Err(RecordError::Checksum { stored, found });
    }
    if version != VERSION {
        return Err(RecordError::Version { version });
    }
    if kind != expected as u8 {
        return Err(RecordError::Kind {
            found: kind,
            expected,
        });
    }
    Ok(body)
}

/// The bytes of a membership, as an entry holds it.
pub(crate) fn put_membership(bytes: &mut Vec<u8>, membership: &Membership) {
    put_body(bytes, membership);
}

/// The membership of which these are the bytes.
pub(crate) fn membership_from(bytes: &[u8]) -> Result<Membership, RecordError> {
    body_from(bytes)
}

fn put_body<T: Serialize>(bytes: &mut Vec<u8>, body: &T) {
    bincode::serde::encode_into_std_write(body, bytes, bincode::config::standard())
        .expect("these types always encode, and memory does not fail");
}

fn body_from<T: DeserializeOwned>(body: &[u8]) -> Result<T, RecordError> {
    // The checksum holds, so lengths in the body are those that were written. Should they
    // be nonsense all the same, bincode would take memory for what they announce.
    let bounded = bincode::config::standard().with_limit::<MOST_DECODED>();
    match bincode::serde::decode_from_slice(body, bounded) {
        Ok((value, used)) if used == body.len() => Ok(value),
        Ok((_, used)) => Err(RecordError::Body {
            reason: format!("{} bytes are left over", body.len() - used),
        }),
        Err(error) => Err(RecordError::Body {
            reason: error.to_string(),
        }),
    }
}

fn checksum(key: &[u8], record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(&record[..2]);
    hasher.update(&record[HEADER..]);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use raft_core::{ReplicaId, Term};

    use super::*;

    fn vote() -> HardState {
        HardState {
            current_term: Term::new(300),
            voted_for: Some(ReplicaId::first(2)),
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let record = encode(b"key", &vote());
        for bit in 0..record.len() * 8 {
            let mut damaged = record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<HardState>(b"key", &damaged).is_err(), "bit {bit}");
        }
    }

    /// The fuzzer found it: a context of 2^59 bytes was announced, and memory taken for it.
    #[test]
    fn a_length_beyond_all_sense_is_refused_before_memory_is_taken() {
        let body = [57, 0, 0, 0, 0, 0, 0, 4, 253, 245, 0, 0, 0, 0, 113, 61, 7];
        assert!(membership_from(&body).is_err());
    }

    #[test]
    fn every_torn_record_is_noticed() {
        let record = encode(b"key", &vote());
        for length in 0..record.len() {
            assert!(decode::<HardState>(b"key", &record[..length]).is_err());
        }
    }

    #[test]
    fn a_record_under_another_key_is_noticed() {
        let record = encode(b"key", &vote());
        assert!(decode::<HardState>(b"kez", &record).is_err());
    }

    #[test]
    fn a_record_of_another_kind_is_noticed() {
        let record = encode(b"key", &VoteMarkBody);
        let found = Kind::VoteMark as u8;
        let expected = Kind::Vote;
        let refusal = RecordError::Kind { found, expected };
        assert_eq!(decode::<HardState>(b"key", &record), Err(refusal));
    }

    #[test]
    fn a_record_of_a_later_version_is_named_as_such() {
        let mut record = encode(b"key", &vote());
        record[0] = 9;
        let checksum = checksum(b"key", &record);
        record[2..HEADER].copy_from_slice(&checksum.to_le_bytes());
        let refusal = RecordError::Version { version: 9 };
        assert_eq!(decode::<HardState>(b"key", &record), Err(refusal));
    }
}
