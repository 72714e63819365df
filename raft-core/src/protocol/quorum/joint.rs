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
