//! Identities and positions: nodes, groups, terms, indices.
//!
//! Each is a type of its own, so that a term is never passed where an index
//! belongs. Arithmetic on them is a method that checks.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number_newtype {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// The value with this number.
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The plain number, for storage and display.
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl From<u64> for $name {
            fn from(number: u64) -> Self {
                Self(number)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

number_newtype!(
    /// One member of a cluster, for as long as the cluster lives.
    NodeId,
    "n"
);
number_newtype!(
    /// One Raft group among those that share a process. A single group is group 0.
    GroupId,
    "g"
);
number_newtype!(
    /// Which life of a node this is. A node that lost its durable state comes
    /// back under a higher incarnation and is not the voter it was before.
    Incarnation,
    "#"
);
number_newtype!(
    /// A leadership period (Raft §5.1). Term 0 is before the first election.
    Term,
    "t"
);
number_newtype!(
    /// Position of an entry in the log. The first entry is at 1; 0 stands before the log.
    LogIndex,
    "i"
);

impl Term {
    /// The term that follows this one.
    ///
    /// # Panics
    ///
    /// At the end of `u64`, which no cluster reaches.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(
            self.0
                .checked_add(1)
                .expect("a cluster cannot live through 2^64 terms"),
        )
    }
}

impl LogIndex {
    /// The position before the first entry.
    pub const ZERO: Self = Self(0);

    /// The position right after this one.
    ///
    /// # Panics
    ///
    /// At the end of `u64`, which no log reaches.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// The position `count` entries further.
    ///
    /// # Panics
    ///
    /// At the end of `u64`, which no log reaches.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(
            self.0
                .checked_add(count)
                .expect("a log cannot hold 2^64 entries"),
        )
    }

    /// The position right before this one; the position before the log has none.
    #[must_use]
    pub const fn previous(self) -> Option<Self> {
        match self.0.checked_sub(1) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// How many positions lie in `other+1 ..= self`; zero when `other` is not below.
    #[must_use]
    pub const fn distance_from(self, other: Self) -> u64 {
        self.0.saturating_sub(other.0)
    }
}

/// What identifies an entry: two entries with the same term and index are the
/// same entry, and all entries before them are the same too (Raft §5.3).
///
/// Ordered by term, then index: the order of "at least as up to date" (Raft §5.4.1).
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
pub struct LogId {
    /// Term of the leader that created the entry.
    pub term: Term,
    /// Position in the log.
    pub index: LogIndex,
}

impl LogId {
    /// The position before the first entry, in term 0.
    pub const ZERO: Self = Self {
        term: Term::new(0),
        index: LogIndex::ZERO,
    };

    /// An entry's identity from its plain numbers.
    pub const fn new(term: u64, index: u64) -> Self {
        Self {
            term: Term::new(term),
            index: LogIndex::new(index),
        }
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.term, self.index)
    }
}

/// One replica of a group: a node in one of its lives.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
pub struct ReplicaId {
    /// The node.
    pub node: NodeId,
    /// Which life of the node.
    pub incarnation: Incarnation,
}

impl ReplicaId {
    /// The first life of node `node`.
    pub const fn first(node: u64) -> Self {
        Self {
            node: NodeId::new(node),
            incarnation: Incarnation::new(0),
        }
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.incarnation.get() == 0 {
            write!(f, "{}", self.node)
        } else {
            write!(f, "{}{}", self.node, self.incarnation)
        }
    }
}

/// Names one request (a proposal or a read) of one start of one node.
///
/// `boot` is drawn anew at each start, so that an answer or an entry from an
/// earlier start of the same node is never taken for an answer to this one.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
pub struct RequestId {
    /// Random number of the start that made the request.
    pub boot: u64,
    /// Counts up within one start.
    pub sequence: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_ids_order_by_term_before_index() {
        assert!(LogId::new(2, 1) > LogId::new(1, 9));
        assert!(LogId::new(2, 3) > LogId::new(2, 2));
    }

    #[test]
    fn nothing_stands_before_the_log() {
        assert_eq!(LogIndex::ZERO.previous(), None);
        assert_eq!(LogIndex::new(1).previous(), Some(LogIndex::ZERO));
    }
}
