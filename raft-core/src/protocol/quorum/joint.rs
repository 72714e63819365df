//! Majorities of a whole membership: of one set of voters, or of both while joint.

use super::{VoteResult, majority};
use crate::membership::Membership;
use crate::types::NodeId;

/// Where a vote stands; while joint, both halves must be won (Raft §6).
pub(crate) fn vote_result(
    membership: &Membership,
    vote: impl Fn(NodeId) -> Option<bool>,
) -> VoteResult {
    let incoming = majority::vote_result(membership.voters(), &vote);
    let Some(outgoing) = membership.outgoing() else {
        return incoming;
    };
    match (incoming, majority::vote_result(outgoing, &vote)) {
        (VoteResult::Won, VoteResult::Won) => VoteResult::Won,
        (VoteResult::Lost, _) | (_, VoteResult::Lost) => VoteResult::Lost,
        _ => VoteResult::Pending,
    }
}

/// The highest value that a quorum has reached; while joint, the lower of both halves.
pub(crate) fn reached_by_quorum<T: Ord + Copy>(
    membership: &Membership,
    value: impl Fn(NodeId) -> T,
) -> Option<T> {
    let incoming = majority::reached(membership.voters(), &value)?;
    match membership.outgoing() {
        None => Some(incoming),
        Some(outgoing) => Some(incoming.min(majority::reached(outgoing, &value)?)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::membership::MemberInfo;

    fn ids(numbers: &BTreeSet<u64>) -> BTreeSet<NodeId> {
        numbers.iter().map(|&n| NodeId::new(n)).collect()
    }

    fn membership(incoming: &BTreeSet<u64>, outgoing: Option<&BTreeSet<u64>>) -> Membership {
        let members: BTreeMap<_, _> = (0..8)
            .map(|n| (NodeId::new(n), MemberInfo::default()))
            .collect();
        Membership::from_parts(members, ids(incoming), outgoing.map(ids)).unwrap()
    }

    /// The definition, by trying every subset of the voters.
    fn some_majority(voters: &BTreeSet<u64>, holds: impl Fn(u64) -> bool) -> bool {
        voters.iter().filter(|&&v| holds(v)).count() * 2 > voters.len()
    }

    fn voters() -> impl Strategy<Value = BTreeSet<u64>> {
        prop::collection::btree_set(0u64..8, 1..=7)
    }

    proptest! {
        #[test]
        fn reached_is_the_highest_value_that_a_majority_of_each_half_has(
            incoming in voters(), outgoing in prop::option::of(voters()),
            values in prop::collection::vec(0u64..12, 8),
        ) {
            let value = |n: u64| values[usize::try_from(n).unwrap()];
            let naive = (0..12).filter(|&candidate| {
                some_majority(&incoming, |n| value(n) >= candidate)
                    && outgoing.as_ref().is_none_or(|o| some_majority(o, |n| value(n) >= candidate))
            }).max();

            let found = reached_by_quorum(&membership(&incoming, outgoing.as_ref()), |id| value(id.get()));

            prop_assert_eq!(found, naive);
        }

        #[test]
        fn a_vote_is_won_or_lost_exactly_when_nothing_can_change_that(
            incoming in voters(), outgoing in prop::option::of(voters()),
            votes in prop::collection::vec(prop::option::of(any::<bool>()), 8),
        ) {
            let vote = |n: u64| votes[usize::try_from(n).unwrap()];
            let wins = |yes: &dyn Fn(u64) -> bool| {
                some_majority(&incoming, yes) && outgoing.as_ref().is_none_or(|o| some_majority(o, yes))
            };
            let naive = if wins(&|n| vote(n) == Some(true)) {
                VoteResult::Won
            } else if !wins(&|n| vote(n) != Some(false)) {
                VoteResult::Lost
            } else {
                VoteResult::Pending
            };

            let found = vote_result(&membership(&incoming, outgoing.as_ref()), |id| vote(id.get()));

            prop_assert_eq!(found, naive);
        }
    }
}
