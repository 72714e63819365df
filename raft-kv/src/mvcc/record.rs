//! The values of the column families: a version, a checksum over key and value, the body.
//!
//! Numbers are big-endian. Decoding damaged bytes is an error that names the record.

use raft_core::StorageError;

use super::error::corrupt;
use super::keys::Revision;
use crate::model::Bytes;

/// Key in `meta` of the store's revision.
pub(super) const REVISION_KEY: &[u8] = b"revision";

const VERSION: u8 = 1;
const HEADER_LEN: usize = 5;
const LIVE: u8 = 1;
const DELETED: u8 = 2;

/// What the index knows of a key that is there at some revision.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Lifetime {
    pub(super) create_revision: i64,
    pub(super) version: i64,
}

/// What one change made of a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Change {
    pub(super) key: Bytes,
    /// The key's new state; nothing if it was deleted.
    pub(super) written: Option<(Lifetime, Bytes)>,
}

impl Change {
    /// The part of the change that the index keeps.
    pub(super) fn lifetime(&self) -> Option<Lifetime> {
        self.written.as_ref().map(|(lifetime, _)| *lifetime)
    }

    pub(super) fn encode(&self, revision: Revision) -> Bytes {
        let mut body = encode_lifetime(self.lifetime());
        body.extend((self.key.len() as u64).to_be_bytes());
        body.extend(&self.key);
        if let Some((_, value)) = &self.written {
            body.extend(value);
        }
        seal(&revision.encode(), &body)
    }

    pub(super) fn decode(revision: Revision, bytes: &[u8]) -> Result<Self, StorageError> {
        let what = || format!("the change at revision {revision}");
        let body = open(what, &revision.encode(), bytes)?;
        Self::parse(body).ok_or_else(|| corrupt(what(), "not well formed"))
    }

    fn parse(body: &[u8]) -> Option<Self> {
        let (lifetime, rest) = take_lifetime(body)?;
        let (key_len, rest) = take_u64(rest)?;
        let (key, value) = rest.split_at_checked(usize::try_from(key_len).ok()?)?;
        Some(Self {
            key: key.to_vec(),
            written: lifetime.map(|lifetime| (lifetime, value.to_vec())),
        })
    }
}

/// Value in `keys`; nothing for a deletion.
pub(super) fn encode_index(index_key: &[u8], lifetime: Option<Lifetime>) -> Bytes {
    seal(index_key, &encode_lifetime(lifetime))
}

pub(super) fn decode_index(
    index_key: &[u8],
    bytes: &[u8],
) -> Result<Option<Lifetime>, StorageError> {
    let what = || format!("index record {}", index_key.escape_ascii());
    let body = open(what, index_key, bytes)?;
    match take_lifetime(body) {
        Some((lifetime, [])) => Ok(lifetime),
        _ => Err(corrupt(what(), "not well formed")),
    }
}

/// Value in `meta` under [`REVISION_KEY`].
pub(super) fn seal_revision(revision: i64) -> Bytes {
    seal(REVISION_KEY, &revision.to_be_bytes())
}

pub(super) fn open_revision(bytes: &[u8]) -> Result<i64, StorageError> {
    let what = || "the store's revision".to_owned();
    let body = open(what, REVISION_KEY, bytes)?;
    let revision = body.try_into().map(i64::from_be_bytes);
    revision.map_err(|_| corrupt(what(), "not well formed"))
}

fn encode_lifetime(lifetime: Option<Lifetime>) -> Bytes {
    let Some(Lifetime {
        create_revision,
        version,
    }) = lifetime
    else {
        return vec![DELETED];
    };
    let mut body = vec![LIVE];
    body.extend(create_revision.to_be_bytes());
    body.extend(version.to_be_bytes());
    body
}

fn take_lifetime(body: &[u8]) -> Option<(Option<Lifetime>, &[u8])> {
    match body.split_first()? {
        (&DELETED, rest) => Some((None, rest)),
        (&LIVE, rest) => {
            let (create_revision, rest) = take_u64(rest)?;
            let (version, rest) = take_u64(rest)?;
            let lifetime = Lifetime {
                create_revision: create_revision.cast_signed(),
                version: version.cast_signed(),
            };
            Some((Some(lifetime), rest))
        }
        _ => None,
    }
}

fn take_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*number), rest))
}

fn seal(key: &[u8], body: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(HEADER_LEN + body.len());
    bytes.push(VERSION);
    bytes.extend(checksum(key, body).to_be_bytes());
    bytes.extend(body);
    bytes
}

fn open<'a>(
    what: impl Fn() -> String,
    key: &[u8],
    bytes: &'a [u8],
) -> Result<&'a [u8], StorageError> {
    let Some((&[version, ref stored @ ..], body)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return Err(corrupt(what(), format!("only {} bytes", bytes.len())));
    };
    if version != VERSION {
        let reason = format!("record version {version}, this program knows {VERSION}");
        return Err(corrupt(what(), reason));
    }
    let (stored, computed) = (u32::from_be_bytes(*stored), checksum(key, body));
    if stored != computed {
        let reason = format!("checksum {stored:08x} stored, {computed:08x} computed");
        return Err(corrupt(what(), reason));
    }
    Ok(body)
}

/// The key is part of it, so that a record under a wrong key shows too.
fn checksum(key: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(body);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Revision = Revision { main: 7, sub: 2 };

    fn written() -> Change {
        let lifetime = Lifetime {
            create_revision: 3,
            version: 4,
        };
        Change {
            key: b"key".to_vec(),
            written: Some((lifetime, b"value".to_vec())),
        }
    }

    #[test]
    fn records_come_back_as_they_went() {
        let deleted = Change {
            written: None,
            ..written()
        };

        for change in [written(), deleted] {
            assert_eq!(Change::decode(AT, &change.encode(AT)).unwrap(), change);
            let index = encode_index(b"i", change.lifetime());
            assert_eq!(decode_index(b"i", &index).unwrap(), change.lifetime());
        }
        for revision in [1, 300, i64::MAX] {
            assert_eq!(open_revision(&seal_revision(revision)).unwrap(), revision);
        }
    }

    #[test]
    fn every_flipped_byte_of_a_record_is_noticed() {
        let bytes = written().encode(AT);

        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            let decoded = Change::decode(AT, &damaged);
            assert!(
                matches!(decoded, Err(StorageError::Corrupt { .. })),
                "byte {at}"
            );
        }
    }

    #[test]
    fn a_record_under_another_key_is_noticed() {
        let elsewhere = Revision { main: 8, sub: 0 };

        assert!(Change::decode(elsewhere, &written().encode(AT)).is_err());
        assert!(decode_index(b"b", &encode_index(b"a", None)).is_err());
    }

    #[test]
    fn an_unknown_record_version_is_named() {
        let mut bytes = written().encode(AT);
        bytes[0] = 9;

        let error = Change::decode(AT, &bytes).unwrap_err().to_string();

        assert!(
            error.contains("revision 7.2") && error.contains("version 9"),
            "{error}"
        );
    }
}
