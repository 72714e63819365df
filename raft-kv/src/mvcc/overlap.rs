//! Refuses a transaction branch that would write a key twice.
//!
//! Two puts of one key, or a put of a key that a delete covers, cannot both be
//! the key's state at one revision. Nested transactions count with both their
//! branches, except that a key may be put in each of the two, of which only one
//! runs.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{KeyRange, KvError, Op};

/// Checks the operations of one branch, nested ones included.
///
/// # Errors
///
/// [`KvError::DuplicateKey`].
pub(super) fn check_no_key_is_written_twice(ops: &[Op]) -> Result<(), KvError> {
    Writes::of(ops).map(|_| ())
}

/// What a branch may write.
#[derive(Default)]
struct Writes<'a> {
    puts: BTreeSet<&'a [u8]>,
    deletes: Deletes<'a>,
}

impl<'a> Writes<'a> {
    /// In etcd's order: deletes of this level, then nested transactions one by
    /// one, then puts of this level. A delete in a nested transaction is
    /// therefore held against later ones only.
    fn of(ops: &'a [Op]) -> Result<Self, KvError> {
        let mut writes = Self::default();
        for op in ops {
            if let Op::DeleteRange(delete) = op {
                writes.deletes.add(&delete.keys);
            }
        }
        for op in ops {
            if let Op::Txn(nested) = op {
                writes.add_alternatives(Self::of(&nested.success)?, Self::of(&nested.failure)?)?;
            }
        }
        for op in ops {
            if let Op::Put(put) = op {
                writes.check_new(&put.key)?;
                writes.puts.insert(&put.key);
            }
        }
        Ok(writes)
    }

    fn add_alternatives(&mut self, success: Self, failure: Self) -> Result<(), KvError> {
        let puts: BTreeSet<_> = success.puts.union(&failure.puts).copied().collect();
        for put in &puts {
            self.check_new(put)?;
        }
        self.puts.extend(puts);
        self.deletes.add_all(success.deletes);
        self.deletes.add_all(failure.deletes);
        Ok(())
    }

    fn check_new(&self, key: &[u8]) -> Result<(), KvError> {
        if self.deletes.contain(key) || self.puts.contains(key) {
            return Err(KvError::DuplicateKey);
        }
        Ok(())
    }
}

/// Keys that deletes cover: single ones, and ranges that neither overlap nor
/// touch, so that a look-up is quick however many deletes there are.
#[derive(Default)]
struct Deletes<'a> {
    keys: BTreeSet<&'a [u8]>,
    /// End, excluded, by start.
    ranges: BTreeMap<&'a [u8], &'a [u8]>,
}

impl<'a> Deletes<'a> {
    /// A delete "to the end" is held against no put: etcd accepts the two together,
    /// and so do we. They take effect in their order.
    fn add(&mut self, range: &'a KeyRange) {
        match range.range_end.as_slice() {
            [] => drop(self.keys.insert(&range.key)),
            [0] => {}
            end => self.add_range(&range.key, end),
        }
    }

    fn add_range(&mut self, mut start: &'a [u8], mut end: &'a [u8]) {
        if start >= end {
            return;
        }
        while let Some((&other_start, &other_end)) = self.ranges.range(..=end).next_back()
            && other_end >= start
        {
            self.ranges.remove(other_start);
            start = start.min(other_start);
            end = end.max(other_end);
        }
        self.ranges.insert(start, end);
    }

    fn add_all(&mut self, other: Self) {
        self.keys.extend(other.keys);
        for (start, end) in other.ranges {
            self.add_range(start, end);
        }
    }

    fn contain(&self, key: &[u8]) -> bool {
        let range = self.ranges.range(..=key).next_back();
        self.keys.contains(key) || range.is_some_and(|(_, end)| key < *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(key: &str, end: &str) -> KeyRange {
        KeyRange {
            key: key.into(),
            range_end: end.into(),
        }
    }

    #[test]
    fn overlapping_and_touching_deletes_are_one_range() {
        let ranges = [
            range("d", "f"),
            range("a", "c"),
            range("c", "e"),
            range("x", "b"),
        ];
        let mut deletes = Deletes::default();
        ranges.iter().for_each(|range| deletes.add(range));

        assert_eq!(deletes.ranges, BTreeMap::from([(&b"a"[..], &b"f"[..])]));
        assert!(deletes.contain(b"a") && deletes.contain(b"eee"));
        assert!(!deletes.contain(b"f") && !deletes.contain(b"x"));
    }

    #[test]
    fn a_single_key_is_covered_alone() {
        let single = range("k", "");
        let mut deletes = Deletes::default();
        deletes.add(&single);

        assert!(deletes.contain(b"k") && !deletes.contain(b"kk"));
    }
}
