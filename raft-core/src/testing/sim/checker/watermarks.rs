//! P11: purged ≤ applied ≤ commit ≤ last and durable ≤ last, and none of commit
//! and applied falls while a replica runs. What it calls durable is durable.

use super::{Check, Seen};
use crate::testing::sim::image::LogImage;
use crate::testing::sim::report::Violation;
use crate::types::LogIndex;

/// A replica stands at `after`; `before` is the step before, if it was running.
///
/// `state` is what the state machine durably holds: the entries up to there need
/// not be durable in the log.
pub(crate) fn step(
    before: Option<&Seen>,
    after: &Seen,
    state: LogIndex,
    disk: &LogImage,
    log: &LogImage,
) -> Check {
    let ordered = after.purged <= after.last_applied
        && after.last_applied <= after.commit_index
        && after.commit_index <= after.last_log.index
        && after.durable_index <= after.last_log.index;
    if !ordered {
        return Err(violation("out of order", after));
    }
    let falls = before.is_some_and(|before| {
        after.commit_index < before.commit_index || after.last_applied < before.last_applied
    });
    if falls {
        return Err(violation("fallen", after));
    }
    if log.last() != after.last_log {
        return Err(violation("not those of the entries persisted", after));
    }
    let durable = after.durable_index;
    if durable > state && disk.digest_at(durable) != log.digest_at(durable) {
        return Err(violation("ahead of the disk", after));
    }
    Ok(())
}

fn violation(what: &str, seen: &Seen) -> Violation {
    let reason = format!(
        "watermarks of {} are {what}: purged {}, applied {}, commit {}, durable {}, last {}",
        seen.replica.node,
        seen.purged,
        seen.last_applied,
        seen.commit_index,
        seen.durable_index,
        seen.last_log
    );
    Violation::new("P11 watermarks in order", reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sim::checker::tests::seen;
    use crate::testing::sim::image::tests::image;

    /// A replica with three entries, all durable, and these watermarks.
    fn at(applied: u64, commit: u64, durable: u64) -> Seen {
        let log = image(&[1, 1, 1], 5);
        Seen {
            last_applied: LogIndex::new(applied),
            commit_index: LogIndex::new(commit),
            durable_index: LogIndex::new(durable),
            last_log: log.last(),
            ..seen(1, 1)
        }
    }

    fn check(before: Option<Seen>, after: Seen) -> Check {
        let log = image(&[1, 1, 1], 5);
        step(before.as_ref(), &after, LogIndex::ZERO, &log, &log)
    }

    #[test]
    fn watermarks_out_of_order_are_caught() {
        assert!(check(None, at(2, 1, 3)).is_err());
        assert!(check(None, at(1, 4, 3)).is_err());
        assert!(check(None, at(1, 2, 4)).is_err());
        check(None, at(1, 2, 3)).unwrap();
    }

    #[test]
    fn falling_watermarks_are_caught() {
        assert!(check(Some(at(2, 2, 3)), at(1, 2, 3)).is_err());
        assert!(check(Some(at(1, 3, 3)), at(1, 2, 3)).is_err());
    }

    #[test]
    fn a_durable_index_ahead_of_the_disk_is_caught() {
        let (disk, log) = (image(&[1, 1], 5), image(&[1, 1, 1], 5));
        assert!(step(None, &at(0, 0, 3), LogIndex::ZERO, &disk, &log).is_err());
        step(None, &at(0, 0, 2), LogIndex::ZERO, &disk, &log).unwrap();
    }
}
