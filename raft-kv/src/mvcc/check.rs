//! What can be said against a request without looking at the store.
//!
//! The server checks before it proposes; applying checks again, because the log
//! holds what any member proposed. The limit on operations belongs to the
//! server's configuration, so applying passes none: replicas that differ in
//! configuration must not differ in state.

use super::overlap::check_no_key_is_written_twice;
use crate::command::Command;
use crate::model::{DeleteRange, KvError, Op, Put, Range, Txn};

/// For applying: what is in the log was within its proposer's limit.
pub(super) const NO_LIMIT: usize = usize::MAX;

/// Checks a write. `max_txn_ops` bounds a transaction's conditions and the
/// operations of each branch; a nested transaction has what is left of it.
///
/// # Errors
///
/// What is wrong with the command.
pub fn check(command: &Command, max_txn_ops: usize) -> Result<(), KvError> {
    match command {
        Command::Put(put) => check_put(put),
        Command::DeleteRange(delete) => check_delete(delete),
        Command::Txn(txn) => {
            check_txn(txn, max_txn_ops)?;
            check_no_key_is_written_twice(&txn.success)?;
            check_no_key_is_written_twice(&txn.failure)
        }
    }
}

/// Checks a read.
///
/// # Errors
///
/// What is wrong with the request.
pub fn check_range(range: &Range) -> Result<(), KvError> {
    check_key(&range.keys.key)
}

/// Whether no branch of a transaction holds a write, so that it needs no log entry.
pub fn is_read_only(txn: &Txn) -> bool {
    txn.success.iter().chain(&txn.failure).all(|op| match op {
        Op::Range(_) => true,
        Op::Put(_) | Op::DeleteRange(_) => false,
        Op::Txn(nested) => is_read_only(nested),
    })
}

fn check_put(put: &Put) -> Result<(), KvError> {
    check_key(&put.key)?;
    if put.ignore_value && !put.value.is_empty() {
        return Err(KvError::ValueProvided);
    }
    Ok(())
}

fn check_delete(delete: &DeleteRange) -> Result<(), KvError> {
    check_key(&delete.keys.key)
}

fn check_key(key: &[u8]) -> Result<(), KvError> {
    if key.is_empty() {
        return Err(KvError::EmptyKey);
    }
    Ok(())
}

fn check_txn(txn: &Txn, max_ops: usize) -> Result<(), KvError> {
    let widest = txn
        .compare
        .len()
        .max(txn.success.len())
        .max(txn.failure.len());
    let left = max_ops.checked_sub(widest).ok_or(KvError::TooManyOps)?;
    for compare in &txn.compare {
        check_key(&compare.keys.key)?;
    }
    for op in txn.success.iter().chain(&txn.failure) {
        match op {
            Op::Range(range) => check_range(range)?,
            Op::Put(put) => check_put(put)?,
            Op::DeleteRange(delete) => check_delete(delete)?,
            Op::Txn(nested) => check_txn(nested, left)?,
        }
    }
    Ok(())
}
