//! One majority.

use std::collections::BTreeSet;

use super::VoteResult;
use crate::types::NodeId;

/// Groups are hardly ever larger.
const USUAL_VOTERS: usize = 9;

/// Where a vote among `voters` stands, when `vote` is what each has said so far.
pub(super) fn vote_result(
    voters: &BTreeSet<NodeId>,
    vote: &impl Fn(NodeId) -> Option<bool>,
) -> VoteResult {
    let needed = voters.len() / 2 + 1;
    let yes = voters
        .iter()
        .filter(|&&voter| vote(voter) == Some(true))
        .count();
    let no = voters
        .iter()
        .filter(|&&voter| vote(voter) == Some(false))
        .count();
    if yes >= needed {
        VoteResult::Won
    } else if voters.len() - no < needed {
        VoteResult::Lost
    } else {
        VoteResult::Pending
    }
}

/// The highest value that a majority of `voters` has reached; nothing without voters.
pub(super) fn reached<T: Ord + Copy>(
    voters: &BTreeSet<NodeId>,
    value: &impl Fn(NodeId) -> T,
) -> Option<T> {
    let first = value(*voters.first()?);
    // Computed with every acknowledgement: groups of the usual sizes do it in place.
    let mut here = [first; USUAL_VOTERS];
    let mut elsewhere = Vec::new();
    let values = match here.get_mut(..voters.len()) {
        Some(values) => values,
        None => {
            elsewhere.resize(voters.len(), first);
            &mut elsewhere[..]
        }
    };
    for (place, &voter) in values.iter_mut().zip(voters).skip(1) {
        *place = value(voter);
    }
    values.sort_unstable();
    // With values ascending, everything from here on makes up a majority.
    Some(values[values.len() - (values.len() / 2 + 1)])
}
