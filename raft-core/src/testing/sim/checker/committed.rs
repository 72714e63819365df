//! P8: an entry that any replica reported committed stays, and no other is ever
//! reported in its place.
//!
//! This is also the run's committed history, which other checkers consult.

use super::Check;
use crate::entry::Entry;
use crate::testing::sim::image::LogImage;
use crate::testing::sim::report::Violation;
use crate::types::{LogId, LogIndex, NodeId};

const PROPERTY: &str = "P8 committed is immutable";

/// The committed history, as far as any replica reported it.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    history: Vec<(LogId, u64)>,
}

impl Committed {
    /// The last entry of the history.
    pub(crate) fn last(&self) -> LogId {
        self.history.last().map_or(LogId::ZERO, |(id, _)| *id)
    }

    /// The digest of the whole history.
    pub(crate) fn digest(&self) -> u64 {
        self.history.last().map_or(0, |(_, digest)| *digest)
    }

    fn digest_at(&self, index: LogIndex) -> Option<u64> {
        let Some(before) = index.previous() else {
            return Some(0);
        };
        let place = usize::try_from(before.get()).ok()?;
        self.history.get(place).map(|(_, digest)| *digest)
    }

    /// `node` reports everything up to `commit` as committed, and its log is
    /// `log`. Answers the entries that nobody reported before.
    pub(crate) fn reported<'log>(
        &mut self,
        node: NodeId,
        commit: LogIndex,
        log: &'log LogImage,
    ) -> Result<Vec<&'log Entry>, Violation> {
        let common = commit.min(self.last().index);
        if log.digest_at(common) != self.digest_at(common) {
            let reason = format!("{node} reports another history up to {common} as committed");
            return Err(Violation::new(PROPERTY, reason));
        }
        let mut new = Vec::new();
        while self.last().index < commit {
            let index = self.last().index.next();
            let (Some(entry), Some(digest)) = (log.entry(index), log.digest_at(index)) else {
                let reason = format!("{node} reports {index} as committed and does not hold it");
                return Err(Violation::new(PROPERTY, reason));
            };
            self.history.push((entry.log_id, digest));
            new.push(entry);
        }
        Ok(new)
    }

    /// Whether `log` holds the whole history, at the end of a run.
    pub(crate) fn held_by(&self, node: NodeId, log: &LogImage) -> Check {
        let last = self.last();
        if log.digest_at(last.index) == Some(self.digest()) {
            return Ok(());
        }
        let reason = format!("the log of {node} lacks committed {last} in the end");
        Err(Violation::new(PROPERTY, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sim::image::tests::image;

    fn after(log: &LogImage) -> Committed {
        let mut committed = Committed::default();
        committed
            .reported(NodeId::new(1), log.last().index, log)
            .unwrap();
        committed
    }

    #[test]
    fn another_entry_in_the_place_of_a_committed_one_is_caught() {
        let mut committed = after(&image(&[1, 1], 5));
        for other in [image(&[1, 2], 5), image(&[1, 1, 2], 6)] {
            let commit = other.last().index;
            assert!(committed.reported(NodeId::new(2), commit, &other).is_err());
        }
    }

    #[test]
    fn a_commit_index_beyond_the_log_is_caught() {
        let log = image(&[1], 5);
        let mut committed = after(&log);
        assert!(
            committed
                .reported(NodeId::new(2), LogIndex::new(2), &log)
                .is_err()
        );
    }

    #[test]
    fn a_committed_entry_that_is_gone_in_the_end_is_caught() {
        let committed = after(&image(&[1, 1], 5));
        assert!(committed.held_by(NodeId::new(3), &image(&[1], 5)).is_err());
        committed
            .held_by(NodeId::new(3), &image(&[1, 1, 2], 5))
            .unwrap();
    }

    #[test]
    fn only_what_is_new_is_answered() {
        let mut committed = after(&image(&[1, 1], 5));
        let log = image(&[1, 1, 1], 5);
        let new = committed
            .reported(NodeId::new(2), LogIndex::new(3), &log)
            .unwrap();
        assert_eq!(new.len(), 1);
    }
}
