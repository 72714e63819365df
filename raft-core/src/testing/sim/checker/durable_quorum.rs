//! P9: when an index counts as committed, a quorum holds its entry durably (Raft §5.3).

use super::Check;
use crate::testing::sim::image::LogImage;
use crate::testing::sim::report::Violation;
use crate::types::{LogIndex, NodeId};

/// `node` reports `commit`, and its log up to there has `digest`; `disks` are
/// the durable logs of all voters, running or not.
pub(crate) fn commits<'disk>(
    node: NodeId,
    commit: LogIndex,
    digest: Option<u64>,
    disks: impl Iterator<Item = &'disk LogImage>,
) -> Check {
    let (mut voters, mut holders) = (0, 0);
    for disk in disks {
        voters += 1;
        holders += usize::from(disk.digest_at(commit) == digest);
    }
    if digest.is_some() && holders > voters / 2 {
        return Ok(());
    }
    let reason =
        format!("{node} reports {commit} committed, durable on {holders} of {voters} voters");
    Err(Violation::new("P9 committed on a durable quorum", reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sim::image::tests::image;

    fn commit_two(disks: &[LogImage]) -> Check {
        let digest = image(&[1, 2], 5).digest();
        commits(NodeId::new(1), LogIndex::new(2), Some(digest), disks.iter())
    }

    #[test]
    fn half_of_the_voters_is_no_quorum() {
        let (with, without) = (image(&[1, 2, 2], 5), image(&[1], 5));
        assert!(commit_two(&[with.clone(), without.clone()]).is_err());
        assert!(
            commit_two(&[with.clone(), with.clone(), without.clone(), without.clone()]).is_err()
        );
        commit_two(&[with.clone(), with, without]).unwrap();
    }

    #[test]
    fn another_entry_at_the_index_does_not_count() {
        let (with, other) = (image(&[1, 2], 5), image(&[1, 1], 5));
        assert!(commit_two(&[with, other.clone(), other]).is_err());
    }
}
