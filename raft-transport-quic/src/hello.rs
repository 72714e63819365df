//! The first words of each side on a new connection, and the version that both
//! speak from then on.
//!
//! ```text
//! byte  0..8   8..16     16      17       18..
//!       boot   renewals  lowest  highest  what later versions add
//! ```
//!
//! Numbers are big-endian. This layout holds for all versions, so that any two
//! nodes can read each other's hello, whatever else they speak: later versions
//! add at the end, and earlier ones skip it. The frame around it is of version 1
//! for ever.

use std::fmt;

use bytes::{Buf, BufMut};

use crate::wire::WIRE_VERSION;

/// Fixed part of a hello.
const LEN: usize = 18;

/// First words of each side on a new connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hello {
    /// Drawn at each start: tells a restarted peer from one that dialled twice.
    pub boot: u64,
    /// How often the sender's certificate changed since its start: a connection
    /// with a newer one takes the place of one with an older.
    pub renewals: u64,
    /// What the sender speaks.
    pub versions: Versions,
}

/// Versions of the message format, from the lowest to the highest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Versions {
    /// The oldest.
    pub lowest: u8,
    /// The newest.
    pub highest: u8,
}

impl Versions {
    /// What this crate speaks.
    pub const OURS: Self = Self {
        lowest: WIRE_VERSION,
        highest: WIRE_VERSION,
    };

    /// The highest version that both sides speak.
    pub fn common(self, other: Self) -> Option<u8> {
        let highest = self.highest.min(other.highest);
        (highest >= self.lowest.max(other.lowest)).then_some(highest)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.lowest, self.highest)
    }
}

impl Hello {
    /// Appends the bytes to `body`.
    pub fn encode(&self, body: &mut Vec<u8>) {
        body.put_u64(self.boot);
        body.put_u64(self.renewals);
        body.put_u8(self.versions.lowest);
        body.put_u8(self.versions.highest);
    }

    /// Reads a hello of this or a later version; nothing if it is too short.
    pub fn decode(mut body: &[u8]) -> Option<Self> {
        if body.len() < LEN {
            return None;
        }
        Some(Self {
            boot: body.get_u64(),
            renewals: body.get_u64(),
            versions: Versions {
                lowest: body.get_u8(),
                highest: body.get_u8(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn versions(lowest: u8, highest: u8) -> Versions {
        Versions { lowest, highest }
    }

    #[test]
    fn the_highest_common_version_is_spoken() {
        assert_eq!(versions(1, 1).common(versions(1, 2)), Some(1));
        assert_eq!(versions(1, 4).common(versions(2, 3)), Some(3));
        assert_eq!(versions(3, 5).common(versions(1, 3)), Some(3));
    }

    #[test]
    fn ranges_apart_and_ranges_upside_down_have_nothing_in_common() {
        assert_eq!(versions(1, 1).common(versions(2, 3)), None);
        assert_eq!(versions(4, 5).common(versions(1, 3)), None);
        assert_eq!(versions(1, 9).common(versions(5, 2)), None);
    }

    #[test]
    fn what_a_later_version_adds_is_skipped_and_every_truncation_is_refused() {
        let hello = Hello {
            boot: 7,
            renewals: 3,
            versions: versions(1, 2),
        };
        let mut body = Vec::new();
        hello.encode(&mut body);

        for len in 0..body.len() {
            assert_eq!(Hello::decode(&body[..len]), None, "{len} bytes");
        }
        body.extend_from_slice(b"more");
        assert_eq!(Hello::decode(&body), Some(hello));
    }
}
