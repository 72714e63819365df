//! P5: two logs with an entry of the same index and term are equal up to it,
//! payloads included (Raft figure 3, Log Matching).
//!
//! Each entry appended anywhere must continue the one history of its identity,
//! which costs one look-up an entry.

use std::collections::BTreeMap;

use super::Check;
use crate::testing::sim::image::LogImage;
use crate::testing::sim::report::Violation;
use crate::types::{LogId, LogIndex, NodeId};

/// The digest of everything up to each entry that ever was in a log.
#[derive(Debug, Default)]
pub(crate) struct LogMatching {
    digests: BTreeMap<LogId, u64>,
}

impl LogMatching {
    /// `node` appended the entries of `log` from `first` on.
    pub(crate) fn appended(&mut self, node: NodeId, log: &LogImage, first: LogIndex) -> Check {
        let mut index = first;
        while let (Some(entry), Some(digest)) = (log.entry(index), log.digest_at(index)) {
            let known = *self.digests.entry(entry.log_id).or_insert(digest);
            if known != digest {
                let reason = format!("{node} holds another log up to {}", entry.log_id);
                return Err(Violation::new("P5 log matching", reason));
            }
            index = index.next();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sim::image::tests::image;

    fn second_log_of(first: &LogImage, second: &LogImage) -> Check {
        let mut checker = LogMatching::default();
        checker.appended(NodeId::new(1), first, LogIndex::new(1))?;
        checker.appended(NodeId::new(2), second, LogIndex::new(1))
    }

    #[test]
    fn another_payload_under_the_same_identity_is_caught() {
        assert!(second_log_of(&image(&[1, 1], 5), &image(&[1, 1], 6)).is_err());
    }

    #[test]
    fn another_history_below_the_same_identity_is_caught() {
        assert!(second_log_of(&image(&[1, 1, 3], 5), &image(&[1, 2, 3], 5)).is_err());
    }

    #[test]
    fn logs_may_part() {
        second_log_of(&image(&[1, 1, 2], 5), &image(&[1, 1, 3], 5)).unwrap();
    }
}
