//! Quorums, and which membership may follow which (Raft §6).

use super::group::{Ruled, require};
use super::history::Leadership;
use super::log::Log;
use crate::membership::Membership;
use crate::types::{LogIndex, NodeId, ReplicaId};

/// Whether those for whom `counts` are a majority of the voters, and of the outgoing
/// voters while there are any.
pub(super) fn is_quorum(membership: &Membership, counts: impl Fn(ReplicaId) -> bool) -> bool {
    let votes = |node: &&NodeId| membership.replica(**node).is_some_and(&counts);
    let mut halves = [Some(membership.voters()), membership.outgoing()]
        .into_iter()
        .flatten();
    let is_majority = |voters: &std::collections::BTreeSet<NodeId>| {
        voters.iter().filter(votes).count() * 2 > voters.len()
    };
    !membership.voters().is_empty() && halves.all(is_majority)
}

/// A leader with `log` appends `next`: one change at a time, none before an entry of its
/// own term is committed, and other voters only by way of a joint membership, which is
/// left for its incoming half.
pub(super) fn may_follow(
    log: &Log,
    leadership: &Leadership,
    commit: LogIndex,
    next: &Membership,
) -> Ruled {
    let (index, current) = log.membership();
    require(commit >= leadership.first, || {
        format!(
            "nothing of its own is committed, its first entry is {}",
            leadership.first
        )
    })?;
    require(index <= commit, || {
        format!("the membership at {index} is not committed")
    })?;
    // Another life of a voter is another voter.
    let mut nodes = current.members().keys().filter(|node| {
        let votes = |membership: &Membership| membership.is_voter(**node);
        votes(current) && votes(next)
    });
    require(
        nodes.all(|node| current.replica(*node) == next.replica(*node)),
        || format!("a voter of {next} is another life of one of {current}"),
    )?;
    let leaves = current.is_joint() && !next.is_joint() && next.voters() == current.voters();
    let enters = !current.is_joint() && next.outgoing() == Some(current.voters());
    let keeps = !current.is_joint() && !next.is_joint() && next.voters() == current.voters();
    require(leaves || enters || keeps, || {
        format!("{next} may not follow {current}")
    })
}
