//! What a quorum is, word for word: any set of nodes with more than half of the
//! voters in it, and while joint with more than half of the outgoing ones, too
//! (Raft §5.2, §6). Tries every set, so it is slow, and too simple to be wrong.

use super::VoteResult;
use crate::membership::Membership;
use crate::types::NodeId;

/// All quorums of `membership`.
pub(in crate::protocol) fn quorums(membership: &Membership) -> Vec<Vec<NodeId>> {
    let members: Vec<NodeId> = membership.members().keys().copied().collect();
    let sets = (0_u32..1 << members.len()).map(|set| {
        let chosen = members.iter().enumerate();
        let chosen = chosen.filter(|(at, _)| set >> at & 1 == 1);
        chosen.map(|(_, &node)| node).collect::<Vec<_>>()
    });
    sets.filter(|set| is_quorum(membership, set)).collect()
}

fn is_quorum(membership: &Membership, set: &[NodeId]) -> bool {
    let halves = [Some(membership.voters()), membership.outgoing()];
    halves.into_iter().flatten().all(|voters| {
        let inside = set.iter().filter(|node| voters.contains(node)).count();
        let outside = voters.len() - inside;
        inside > outside
    })
}

/// Won if all of some quorum said yes; lost if that can never be.
pub(in crate::protocol) fn vote_result(
    membership: &Membership,
    vote: impl Fn(NodeId) -> Option<bool>,
) -> VoteResult {
    let quorums = quorums(membership);
    let all_of_one = |may: &dyn Fn(NodeId) -> bool| {
        let mut sets = quorums.iter();
        sets.any(|set| set.iter().all(|&node| may(node)))
    };
    if all_of_one(&|node| vote(node) == Some(true)) {
        VoteResult::Won
    } else if all_of_one(&|node| vote(node) != Some(false)) {
        VoteResult::Pending
    } else {
        VoteResult::Lost
    }
}

/// The highest value that every node of some quorum has, or more.
pub(in crate::protocol) fn reached<T: Ord>(
    membership: &Membership,
    value: impl Fn(NodeId) -> T,
) -> Option<T> {
    let lowest = |set: Vec<NodeId>| set.into_iter().map(&value).min();
    quorums(membership).into_iter().filter_map(lowest).max()
}
