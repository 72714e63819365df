//! Keys and column families.

use raft_core::{GroupId, LogIndex};
use rocksdb::{ColumnFamily, DB};

pub(crate) const IDENTITY: &str = "identity";
pub(crate) const STATE: &str = "state";
pub(crate) const META: &str = "meta";
pub(crate) const PAYLOAD: &str = "payload";
pub(crate) const REPAIRED: &str = "repaired";

/// All column families but RocksDB's own default one, which stays empty.
pub(crate) const COLUMN_FAMILIES: [&str; 5] = [IDENTITY, STATE, META, PAYLOAD, REPAIRED];

/// RocksDB's own column family, which every database has.
pub(crate) const DEFAULT: &str = "default";

pub(crate) const IDENTITY_KEY: &[u8] = b"identity";

/// A column family of an open store.
pub(crate) fn family<'a>(db: &'a DB, name: &str) -> &'a ColumnFamily {
    db.cf_handle(name)
        .expect("a store is opened with all column families")
}

/// What a group keeps in the `state` column family.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StateKey {
    Purged,
    Vote,
    VoteMark,
}

impl StateKey {
    pub(crate) fn of(self, group: GroupId) -> [u8; 9] {
        let mut key = [0; 9];
        key[..8].copy_from_slice(&group.get().to_be_bytes());
        key[8] = match self {
            Self::Purged => b'p',
            Self::Vote => b'v',
            Self::VoteMark => b'm',
        };
        key
    }
}

/// A position in the log of a group: key of the run that begins there in `meta` and
/// `payload`, and of the entry there in `repaired`.
pub(crate) fn log_key(group: GroupId, index: LogIndex) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&group.get().to_be_bytes());
    key[8..].copy_from_slice(&index.get().to_be_bytes());
    key
}

/// The index in a key of `group`; nothing for a key of another group or shape.
pub(crate) fn index_of(group: GroupId, key: &[u8]) -> Option<LogIndex> {
    let (prefix, index) = key.split_at_checked(8)?;
    let index: [u8; 8] = index.try_into().ok()?;
    (prefix == group.get().to_be_bytes()).then(|| LogIndex::new(u64::from_be_bytes(index)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_positions_do() {
        let key = |group, index| log_key(GroupId::new(group), LogIndex::new(index));
        assert!(key(0, 255) < key(0, 256));
        assert!(key(0, u64::MAX) < key(1, 0));
    }

    #[test]
    fn a_key_of_another_group_has_no_index_here() {
        let key = log_key(GroupId::new(1), LogIndex::new(7));
        assert_eq!(index_of(GroupId::new(1), &key), Some(LogIndex::new(7)));
        assert_eq!(index_of(GroupId::new(2), &key), None);
    }
}
