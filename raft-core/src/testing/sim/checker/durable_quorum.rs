//! P9: when an index counts as committed, a quorum holds its entry durably (Raft §5.3).

use super::Check;
use crate::membership::Membership;
use crate::testing::sim::report::Violation;
use crate::types::{LogIndex, NodeId};

/// `node` reports `commit` while `membership` is in force there; `holds` says who
/// has it durable, running or not.
pub(crate) fn commits(
    node: NodeId,
    commit: LogIndex,
    membership: &Membership,
    holds: impl Fn(NodeId) -> bool,
) -> Check {
    for voters in [Some(membership.voters()), membership.outgoing()]
        .into_iter()
        .flatten()
    {
        let holders = voters.iter().filter(|&&voter| holds(voter)).count();
        if holders <= voters.len() / 2 {
            let voters = voters.len();
            let reason = format!(
                "{node} reports {commit} committed, durable on {holders} of {voters} voters of {membership}"
            );
            return Err(Violation::new("P9 committed on a durable quorum", reason));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::membership::MemberInfo;

    fn commits_with(membership: &Membership, holders: &[u64]) -> Check {
        let holds = |node: NodeId| holders.contains(&node.get());
        commits(NodeId::new(1), LogIndex::new(2), membership, holds)
    }

    #[test]
    fn half_of_the_voters_is_no_quorum() {
        assert!(commits_with(&Membership::of_ids(1..=2), &[1]).is_err());
        assert!(commits_with(&Membership::of_ids(1..=4), &[1, 3]).is_err());
        commits_with(&Membership::of_ids(1..=3), &[2, 3]).unwrap();
    }

    #[test]
    fn who_does_not_vote_does_not_count() {
        assert!(commits_with(&Membership::of_ids(1..=3), &[1, 4, 5]).is_err());
    }

    #[test]
    fn a_joint_membership_needs_both_majorities() {
        let ids = |numbers: [u64; 3]| {
            numbers
                .map(NodeId::new)
                .into_iter()
                .collect::<BTreeSet<_>>()
        };
        let members = (1..=5).map(|n| (NodeId::new(n), MemberInfo::default()));
        let (incoming, outgoing) = (ids([3, 4, 5]), Some(ids([1, 2, 3])));
        let joint = Membership::from_parts(members.collect(), incoming, outgoing).unwrap();

        assert!(commits_with(&joint, &[1, 2, 3]).is_err());
        assert!(commits_with(&joint, &[3, 4, 5]).is_err());
        commits_with(&joint, &[2, 3, 4]).unwrap();
    }
}
