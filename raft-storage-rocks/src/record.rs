//! The on-disk format of records, and the only use of bincode in this crate.
//!
//! ```text
//! version  u8      1
//! kind     u8      see `Kind`
//! checksum u32 le  CRC-32 of key, version, kind and body
//! body             bincode 2, standard configuration
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;

const VERSION: u8 = 1;
const HEADER: usize = 6;

/// What a record is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Identity = 1,
    Purged = 2,
    Vote = 3,
    VoteMark = 4,
    Meta = 5,
    Payload = 6,
}

/// Encodes `body` as the record that stands under `key`.
pub(crate) fn encode(key: &[u8], kind: Kind, body: &impl Serialize) -> Vec<u8> {
    let mut record = vec![VERSION, kind as u8, 0, 0, 0, 0];
    bincode::serde::encode_into_std_write(body, &mut record, bincode::config::standard())
        .expect("these types always encode, and memory does not fail");
    let checksum = checksum(key, &record);
    record[2..HEADER].copy_from_slice(&checksum.to_le_bytes());
    record
}

/// Decodes the record found under `key`, or says how the damage shows.
pub(crate) fn decode<T: DeserializeOwned>(
    key: &[u8],
    kind: Kind,
    record: &[u8],
) -> Result<T, String> {
    let Some(body) = record.get(HEADER..) else {
        return Err(format!("{} bytes are too few for a record", record.len()));
    };
    let stored = u32::from_le_bytes([record[2], record[3], record[4], record[5]]);
    let found = checksum(key, record);
    if stored != found {
        return Err(format!("checksum {found:08x} instead of {stored:08x}"));
    }
    if record[0] != VERSION {
        return Err(format!("record version {} is not known", record[0]));
    }
    if record[1] != kind as u8 {
        return Err(format!(
            "a record of kind {} instead of {}",
            record[1], kind as u8
        ));
    }
    match bincode::serde::decode_from_slice(body, bincode::config::standard()) {
        Ok((value, used)) if used == body.len() => Ok(value),
        Ok((_, used)) => Err(format!("{} bytes behind the body", body.len() - used)),
        Err(error) => Err(format!("the body does not decode: {error}")),
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
    use raft_core::{HardState, Payload, ReplicaId, RequestId, Term};

    use super::*;

    fn vote() -> HardState {
        HardState {
            current_term: Term::new(300),
            voted_for: Some(ReplicaId::first(2)),
        }
    }

    /// Format 1 is for ever: these bytes must decode, and be what is written.
    #[test]
    fn a_vote_has_its_golden_bytes() {
        let record = encode(b"key", Kind::Vote, &vote());
        assert_eq!(record, [1, 3, 38, 68, 210, 126, 251, 44, 1, 1, 2, 0]);
        assert_eq!(decode::<HardState>(b"key", Kind::Vote, &record), Ok(vote()));
    }

    #[test]
    fn a_command_has_its_golden_bytes() {
        let request = RequestId {
            boot: 7,
            sequence: 1,
        };
        let payload = Payload::Command {
            request,
            data: bytes::Bytes::from_static(b"abc"),
        };
        let record = encode(b"key", Kind::Payload, &payload);
        assert_eq!(
            record,
            [1, 6, 7, 162, 28, 134, 1, 7, 1, 3, b'a', b'b', b'c']
        );
        assert_eq!(
            decode::<Payload>(b"key", Kind::Payload, &record),
            Ok(payload)
        );
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let record = encode(b"key", Kind::Vote, &vote());
        for bit in 0..record.len() * 8 {
            let mut damaged = record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(
                decode::<HardState>(b"key", Kind::Vote, &damaged).is_err(),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn every_torn_record_is_noticed() {
        let record = encode(b"key", Kind::Vote, &vote());
        for length in 0..record.len() {
            assert!(decode::<HardState>(b"key", Kind::Vote, &record[..length]).is_err());
        }
    }

    #[test]
    fn a_record_under_another_key_is_noticed() {
        let record = encode(b"key", Kind::Vote, &vote());
        assert!(decode::<HardState>(b"kez", Kind::Vote, &record).is_err());
    }
}
