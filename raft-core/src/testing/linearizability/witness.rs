//! The order is given: each operation says at which log index it took effect. Only
//! whether that order explains what was seen, and respects time, is to be checked.

use std::collections::BTreeMap;

use super::Verdict;
use super::history::{Action, History, Operation};

/// Checks the order that the operations' indices give.
///
/// A write without an index never took effect, as far as anybody knows; then no
/// read may have seen it. A read is behind all writes up to its index, and all keys
/// share one log.
///
/// # Panics
///
/// When an operation that returned has no index.
pub fn check(history: &History) -> Verdict {
    let mut ordered: Vec<(u64, Operation)> = Vec::new();
    for &operation in history.operations() {
        match operation.index {
            Some(index) => ordered.push((index, operation)),
            None => assert!(
                operation.returned.is_none(),
                "it returned, and does not say where it took effect: {operation:?}"
            ),
        }
    }
    // Writes come before the reads that share their index.
    ordered.sort_by_key(|(index, operation)| (*index, !operation.is_write()));
    match replay(&ordered).and_then(|()| respects_time(&ordered)) {
        Ok(()) => Verdict::Linearizable,
        Err(why) => Verdict::Violated(why),
    }
}

/// Each read sees the last write before it in the order.
fn replay(ordered: &[(u64, Operation)]) -> Result<(), String> {
    let mut registers = BTreeMap::new();
    let mut last_write = None;
    for (index, operation) in ordered {
        match operation.action {
            Action::Write(value) => {
                if last_write.replace(index) == Some(index) {
                    return Err(format!("two writes took effect at index {index}"));
                }
                registers.insert(operation.key, value);
            }
            Action::Read(found) => {
                let expected = registers.get(&operation.key).copied();
                if found != expected {
                    return Err(format!(
                        "{operation:?} found {found:?}, and the log up to {index} says {expected:?}"
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Whoever was over before another began is before it in the order, too.
fn respects_time(ordered: &[(u64, Operation)]) -> Result<(), String> {
    let mut by_begin: Vec<_> = ordered.iter().collect();
    by_begin.sort_by_key(|(_, operation)| operation.invoked);
    let mut by_end: Vec<_> = ordered.iter().collect();
    by_end.sort_by_key(|(_, operation)| operation.end());
    let mut over = by_end.into_iter().peekable();
    // The highest of those that are over.
    let mut highest: Option<&(u64, Operation)> = None;
    for later in by_begin {
        while let Some(earlier) = over.next_if(|(_, o)| o.precedes(&later.1)) {
            highest = highest.max_by_index(earlier);
        }
        let Some(earlier) = highest else { continue };
        // A read is behind the write of its index, and a write is behind no read of it.
        let is_before = earlier.0 < later.0 || (earlier.0 == later.0 && !later.1.is_write());
        if !is_before {
            let (earlier, later) = (earlier.1, later.1);
            return Err(format!(
                "{earlier:?} was over before {later:?} began, and the log has them the other way round"
            ));
        }
    }
    Ok(())
}

trait MaxByIndex<'a> {
    fn max_by_index(self, other: &'a (u64, Operation)) -> Self;
}

impl<'a> MaxByIndex<'a> for Option<&'a (u64, Operation)> {
    fn max_by_index(self, other: &'a (u64, Operation)) -> Self {
        match self {
            Some(highest) if highest.0 >= other.0 => self,
            _ => Some(other),
        }
    }
}
