//! Transactions: which branches run, whether they can, and running them.
//!
//! As in etcd, all conditions, those of nested transactions included, are decided
//! on the state before the transaction; so are the revisions that its reads name
//! and the keys whose value its puts keep. Its operations then run in order, and
//! each sees the changes of those before it.

use raft_core::StorageError;

use super::apply::Executor;
use super::error::QueryError;
use super::range::check_revision;
use super::view::Live;
use crate::model::{Compare, CompareResult, CompareTarget, KvError, Op, OpResult, Txn, TxnResult};

/// Most bytes of keys and values that the reads of one transaction may answer.
///
/// Every member answers while it applies, so without a bound one small request
/// could exhaust the memory of all of them, again at each restart. The bound is
/// part of the state machine: members that differed in it would differ in state.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// The branch that a transaction takes, and those of the transactions inside
/// that branch, in their order.
struct Path<'t> {
    succeeded: bool,
    ops: &'t [Op],
    nested: Vec<Path<'t>>,
}

impl Executor<'_> {
    /// Runs a transaction. On refusal the caller undoes what it changed.
    pub(super) fn txn(&mut self, txn: &Txn) -> Result<TxnResult, QueryError> {
        let path = self.choose(txn)?;
        self.check_puts(&path)?;
        self.check_ranges(&path)?;
        self.run_path(&path, &mut { MAX_ANSWER_BYTES })
    }

    fn choose<'t>(&self, txn: &'t Txn) -> Result<Path<'t>, StorageError> {
        let mut succeeded = true;
        for compare in &txn.compare {
            succeeded = succeeded && self.holds(compare)?;
        }
        let ops = if succeeded {
            &txn.success
        } else {
            &txn.failure
        };
        let mut nested = Vec::new();
        for op in ops {
            if let Op::Txn(txn) = op {
                nested.push(self.choose(txn)?);
            }
        }
        Ok(Path {
            succeeded,
            ops,
            nested,
        })
    }

    fn check_puts(&self, path: &Path<'_>) -> Result<(), QueryError> {
        for op in path.ops {
            if let Op::Put(put) = op
                && put.ignore_value
                && self.view().find(&put.key, self.newest())?.is_none()
            {
                return Err(KvError::KeyNotFound.into());
            }
        }
        path.nested
            .iter()
            .try_for_each(|nested| self.check_puts(nested))
    }

    fn check_ranges(&self, path: &Path<'_>) -> Result<(), KvError> {
        for op in path.ops {
            if let Op::Range(range) = op {
                check_revision(range, self.newest())?;
            }
        }
        path.nested
            .iter()
            .try_for_each(|nested| self.check_ranges(nested))
    }

    /// `room` is what the answers may still take.
    fn run_path(&mut self, path: &Path<'_>, room: &mut usize) -> Result<TxnResult, QueryError> {
        let mut nested = path.nested.iter();
        let mut results = Vec::with_capacity(path.ops.len());
        for op in path.ops {
            let result = match op {
                Op::Range(range) => OpResult::Range(self.range(range)?),
                Op::Put(put) => OpResult::Put(self.put(put)?),
                Op::DeleteRange(delete) => OpResult::DeleteRange(self.delete_range(delete)?),
                Op::Txn(_) => {
                    let path = nested
                        .next()
                        .expect("a path was chosen for each nested txn");
                    OpResult::Txn(self.run_path(path, room)?)
                }
            };
            let size = size_of_answer(&result);
            *room = room.checked_sub(size).ok_or(KvError::AnswerTooLarge)?;
            results.push(result);
        }
        Ok(TxnResult {
            succeeded: path.succeeded,
            results,
        })
    }

    /// Whether every key of the range satisfies the condition. A range without
    /// keys counts as one key that was never written; its value compares as
    /// nothing, not even as different.
    fn holds(&self, compare: &Compare) -> Result<bool, StorageError> {
        let mut keys = Vec::new();
        self.view()
            .walk(&compare.keys, self.newest(), |live| keys.push(live))?;
        if keys.is_empty() {
            return Ok(number_of(&compare.target, None)
                .is_some_and(|(stored, given)| relates(compare.result, &stored, &given)));
        }
        for live in keys {
            if !self.key_satisfies(compare, live)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn key_satisfies(&self, compare: &Compare, live: Live) -> Result<bool, StorageError> {
        if let CompareTarget::Value(given) = &compare.target {
            let stored = self.view().with_value(live)?.value;
            return Ok(relates(compare.result, &stored, given));
        }
        let numbers = number_of(&compare.target, Some(&live));
        Ok(numbers.is_some_and(|(stored, given)| relates(compare.result, &stored, &given)))
    }
}

/// Bytes of keys and values in an answer; those of a nested transaction are counted there.
fn size_of_answer(result: &OpResult) -> usize {
    let kvs = match result {
        OpResult::Range(range) => range.kvs.as_slice(),
        OpResult::DeleteRange(delete) => delete.prev_kvs.as_slice(),
        OpResult::Put(put) => put.prev_kv.as_slice(),
        OpResult::Txn(_) => &[],
    };
    kvs.iter().map(|kv| kv.key.len() + kv.value.len()).sum()
}

/// Stored and given number; nothing for a value, which is no number.
fn number_of(target: &CompareTarget, live: Option<&Live>) -> Option<(i64, i64)> {
    let stored = |of: fn(&Live) -> i64| live.map_or(0, of);
    match target {
        CompareTarget::Version(given) => Some((stored(|live| live.lifetime.version), *given)),
        CompareTarget::Create(given) => {
            Some((stored(|live| live.lifetime.create_revision), *given))
        }
        CompareTarget::Mod(given) => Some((stored(|live| live.modified.main), *given)),
        // No key has a lease yet, and none is lease 0.
        CompareTarget::Lease(given) => Some((0, *given)),
        CompareTarget::Value(_) => None,
    }
}

fn relates<T: Ord + ?Sized>(result: CompareResult, stored: &T, given: &T) -> bool {
    match result {
        CompareResult::Equal => stored == given,
        CompareResult::NotEqual => stored != given,
        CompareResult::Greater => stored > given,
        CompareResult::Less => stored < given,
    }
}
