//! Refuses a transaction branch that would write a key twice.
//!
//! Two puts of one key, or a put of a key that a delete covers, cannot both be
//! the key's state at one revision. Nested transactions count with both their
//! branches, except that a key may be put in each of the two, of which only one
//! runs.

use std::collections::BTreeSet;

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
    deletes: Vec<&'a KeyRange>,
}

impl<'a> Writes<'a> {
    /// In etcd's order: deletes of this level, then nested transactions one by
    /// one, then puts of this level. A delete in a nested transaction is
    /// therefore held against later ones only.
    fn of(ops: &'a [Op]) -> Result<Self, KvError> {
        let mut writes = Self::default();
        for op in ops {
            if let Op::DeleteRange(delete) = op {
                writes.deletes.push(&delete.keys);
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
        self.deletes.extend(success.deletes);
        self.deletes.extend(failure.deletes);
        Ok(())
    }

    fn check_new(&self, key: &[u8]) -> Result<(), KvError> {
        let deleted = self.deletes.iter().any(|range| contains(range, key));
        if deleted || self.puts.contains(key) {
            return Err(KvError::DuplicateKey);
        }
        Ok(())
    }
}

/// A delete "to the end" is held against no put: etcd accepts the two together,
/// and so do we. They take effect in their order.
fn contains(range: &KeyRange, key: &[u8]) -> bool {
    match range.range_end.as_slice() {
        [] => key == range.key,
        [0] => false,
        end => key >= range.key.as_slice() && key < end,
    }
}
