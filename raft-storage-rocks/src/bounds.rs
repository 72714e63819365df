//! What a group's log spans after a change.

use raft_core::{AppendBatch, LogBounds, LogId, LogIndex, StorageError};

/// The bounds after an append. Duty 4: no gap, no overlap, no cut below what was purged.
///
/// `term_at` tells the identity of an entry that is durable; it is asked when a
/// cut leaves an older entry at the end.
pub(crate) fn after_append(
    before: LogBounds,
    batch: &AppendBatch,
    term_at: impl FnOnce(LogIndex) -> Result<LogId, StorageError>,
) -> Result<LogBounds, StorageError> {
    let mut end = before.last.index;
    if let Some(cut) = batch.truncate_from {
        if cut <= before.purged.index {
            let purged = before.purged;
            return misuse(format!("cut at {cut}, the log is purged up to {purged}"));
        }
        end = end.min(cut.previous().unwrap_or_default());
    }
    let last = match (batch.entries.first(), batch.entries.last()) {
        (Some(first), _) if first.index != end.next() => {
            return misuse(format!("append at {first}, the log ends at {end}"));
        }
        (_, Some(last)) => last,
        _ if end == before.last.index => before.last,
        _ if end == before.purged.index => before.purged,
        _ => term_at(end)?,
    };
    Ok(LogBounds { last, ..before })
}

/// The bounds after a purge; the same if it was purged that far already.
pub(crate) fn after_purge(before: LogBounds, up_to: LogId) -> Result<LogBounds, StorageError> {
    if up_to.index > before.last.index {
        let last = before.last;
        return misuse(format!("purge up to {up_to}, the log ends at {last}"));
    }
    if up_to.index <= before.purged.index {
        return Ok(before);
    }
    let last = if up_to.index == before.last.index {
        up_to
    } else {
        before.last
    };
    Ok(LogBounds {
        purged: up_to,
        last,
    })
}

/// The bounds after a reset.
pub(crate) fn after_reset(snapshot: LogId) -> Result<LogBounds, StorageError> {
    if snapshot.index.get() == u64::MAX {
        return misuse(format!("reset to {snapshot}, behind which no entry fits"));
    }
    Ok(LogBounds {
        purged: snapshot,
        last: snapshot,
    })
}

fn misuse<T>(reason: String) -> Result<T, StorageError> {
    Err(StorageError::Misuse { reason })
}

#[cfg(test)]
mod tests {
    use raft_core::{Entry, LogSlice};

    use super::*;

    fn bounds(purged: LogId, last: LogId) -> LogBounds {
        LogBounds { purged, last }
    }

    fn cut(from: u64) -> AppendBatch {
        AppendBatch {
            truncate_from: Some(LogIndex::new(from)),
            entries: LogSlice::empty(),
        }
    }

    fn never(index: LogIndex) -> Result<LogId, StorageError> {
        panic!("the term at {index} is not needed")
    }

    #[test]
    fn a_cut_alone_asks_for_the_term_of_the_entry_before_it() {
        let before = bounds(LogId::new(1, 2), LogId::new(3, 9));

        let after = after_append(before, &cut(6), |index| {
            assert_eq!(index, LogIndex::new(5));
            Ok(LogId::new(2, 5))
        });

        assert_eq!(after.unwrap(), bounds(LogId::new(1, 2), LogId::new(2, 5)));
    }

    #[test]
    fn a_cut_of_everything_leaves_the_purged_position() {
        let before = bounds(LogId::new(1, 2), LogId::new(3, 9));
        let after = after_append(before, &cut(3), never).unwrap();
        assert_eq!(after, bounds(LogId::new(1, 2), LogId::new(1, 2)));
    }

    #[test]
    fn a_cut_behind_the_end_changes_nothing() {
        let before = bounds(LogId::ZERO, LogId::new(3, 9));
        assert_eq!(after_append(before, &cut(10), never).unwrap(), before);
    }

    #[test]
    fn a_run_after_a_cut_must_follow_it() {
        let before = bounds(LogId::ZERO, LogId::new(1, 9));
        let entries = LogSlice::new(vec![Entry::blank(LogId::new(2, 9))]).unwrap();
        let batch = AppendBatch { entries, ..cut(5) };
        let refusal = after_append(before, &batch, never);
        assert!(matches!(refusal, Err(StorageError::Misuse { .. })));
    }

    /// The order of log ids puts the term first; the order of positions does not.
    #[test]
    fn a_purge_never_goes_back_even_with_a_higher_term() {
        let before = bounds(LogId::new(2, 10), LogId::new(2, 12));
        assert_eq!(after_purge(before, LogId::new(3, 5)).unwrap(), before);
    }

    #[test]
    fn a_log_purged_to_its_end_is_empty() {
        let before = bounds(LogId::ZERO, LogId::new(2, 12));
        let all = LogId::new(2, 12);
        assert_eq!(after_purge(before, all).unwrap(), bounds(all, all));
    }
}
