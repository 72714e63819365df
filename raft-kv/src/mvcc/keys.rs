//! Keys of the column families, in an order that makes reads a seek.

use std::fmt;

use raft_core::StorageError;

use super::error::corrupt;
use crate::model::{Bytes, KeyRange};

/// Where in history a change stands: `main` counts write requests, `sub` the
/// changes within one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Revision {
    pub(super) main: i64,
    pub(super) sub: u64,
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.main, self.sub)
    }
}

const REVISION_LEN: usize = 16;
/// Ends an escaped key; sorts before every escaped byte, so that a key sorts
/// before the longer keys it begins.
const TERMINATOR: [u8; 2] = [0, 1];
/// Stands for a zero byte inside a key.
const ESCAPED_ZERO: [u8; 2] = [0, 0xff];

impl Revision {
    /// The key in `revisions`: in the order of history.
    pub(super) fn encode(self) -> [u8; REVISION_LEN] {
        (u128::from(self.main.cast_unsigned()) << 64 | u128::from(self.sub)).to_be_bytes()
    }

    fn decode(bytes: [u8; REVISION_LEN]) -> Self {
        let [main, sub] = [&bytes[..8], &bytes[8..]]
            .map(|half| u64::from_be_bytes(half.try_into().expect("half of sixteen is eight")));
        Self {
            main: main.cast_signed(),
            sub,
        }
    }
}

/// The key in `keys`: in the order of keys, the newest change of each first.
pub(super) fn index_key(key: &[u8], revision: Revision) -> Bytes {
    let mut bytes = prefix(key);
    bytes.extend(revision.encode().map(|byte| !byte));
    bytes
}

/// Where the search for the state of `key` at `revision` begins.
pub(super) fn seek_key(key: &[u8], revision: i64) -> Bytes {
    let newest = Revision {
        main: revision,
        sub: u64::MAX,
    };
    index_key(key, newest)
}

/// Behind all changes of `key` and before those of any other.
pub(super) fn after_key(key: &[u8]) -> Bytes {
    let mut bytes = prefix(key);
    let last = bytes.last_mut().expect("a prefix ends with the terminator");
    *last += 1;
    bytes
}

/// Key and revision of a key in `keys`.
pub(super) fn parse_index_key(bytes: &[u8]) -> Result<(Bytes, Revision), StorageError> {
    let damaged = || {
        corrupt(
            format!("index key {}", bytes.escape_ascii()),
            "not well formed",
        )
    };
    let at = bytes.len().checked_sub(REVISION_LEN).ok_or_else(damaged)?;
    let (escaped, inverted) = bytes.split_at(at);
    let key = unescape(escaped).ok_or_else(damaged)?;
    let inverted: [u8; REVISION_LEN] = inverted.try_into().map_err(|_| damaged())?;
    Ok((key, Revision::decode(inverted.map(|byte| !byte))))
}

/// The part of `keys` that a range spans, read at `revision`: where to begin, and
/// the end if there is one. Nothing if the range holds no key at all.
pub(super) fn bounds(keys: &KeyRange, revision: i64) -> Option<(Bytes, Option<Bytes>)> {
    let start = seek_key(&keys.key, revision);
    let end = match keys.range_end.as_slice() {
        [] => Some(after_key(&keys.key)),
        [0] => None,
        end => Some(prefix(end)),
    };
    let holds_some = end.as_ref().is_none_or(|end| start < *end);
    holds_some.then_some((start, end))
}

fn prefix(key: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(key.len() + TERMINATOR.len() + REVISION_LEN);
    for &byte in key {
        match byte {
            0 => bytes.extend(ESCAPED_ZERO),
            other => bytes.push(other),
        }
    }
    bytes.extend(TERMINATOR);
    bytes
}

fn unescape(escaped: &[u8]) -> Option<Bytes> {
    let mut rest = escaped.strip_suffix(&TERMINATOR)?;
    let mut key = Vec::with_capacity(rest.len());
    while let Some((&byte, tail)) = rest.split_first() {
        key.push(byte);
        rest = match byte {
            0 => tail.strip_prefix(&ESCAPED_ZERO[1..])?,
            _ => tail,
        };
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const R5: Revision = Revision { main: 5, sub: 1 };

    #[test]
    fn an_index_key_comes_back_as_it_went() {
        for key in [
            &b"a"[..],
            b"",
            b"\0",
            b"\0\0",
            b"a\0",
            b"a\0\x01b",
            b"\xff\xff",
        ] {
            assert_eq!(
                parse_index_key(&index_key(key, R5)).unwrap(),
                (key.to_vec(), R5)
            );
        }
    }

    #[test]
    fn index_keys_sort_like_keys() {
        let keys = [
            &b""[..],
            b"\0",
            b"\0\0",
            b"\0\x01",
            b"a",
            b"a\0",
            b"a\0b",
            b"a\x01",
            b"aa",
            b"b",
        ];

        let encoded: Vec<_> = keys.iter().map(|key| index_key(key, R5)).collect();

        assert!(encoded.is_sorted(), "{encoded:?}");
    }

    #[test]
    fn the_newest_change_of_a_key_comes_first() {
        let older = index_key(b"a", Revision { main: 4, sub: 9 });
        let newer = index_key(b"a", R5);

        assert!(seek_key(b"a", 5) < newer && newer < older && older < after_key(b"a"));
        assert!(seek_key(b"a", 4) > newer);
        assert!(after_key(b"a") < seek_key(b"a\0", i64::MAX));
    }

    #[test]
    fn a_range_that_ends_before_it_starts_holds_nothing() {
        let range = |key: &[u8], end: &[u8]| KeyRange {
            key: key.to_vec(),
            range_end: end.to_vec(),
        };

        assert!(bounds(&range(b"b", b"a"), 5).is_none());
        assert!(bounds(&range(b"b", b"b"), 5).is_none());
        assert!(bounds(&range(b"b", b"\0"), 5).is_some());
        assert!(bounds(&range(b"b", b""), 5).is_some());
    }

    #[test]
    fn damaged_index_keys_are_errors() {
        let mut no_terminator = index_key(b"abc", R5);
        no_terminator[4] = 7;

        for bad in [&b""[..], b"short", &no_terminator] {
            assert!(matches!(
                parse_index_key(bad),
                Err(StorageError::Corrupt { .. })
            ));
        }
    }
}
