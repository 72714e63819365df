//! P13: every quorum used is one of the membership in force at that position of
//! the log; at most one change is uncommitted; what is in force is what the log
//! says, so that a truncation takes a change back (Raft §6).

use super::Check;
use crate::membership::Membership;
use crate::testing::sim::report::Violation;
use crate::types::{LogIndex, NodeId, ReplicaId, Term};

/// `node` leads `term`, having `membership` in force; `voted` says who voted for it.
pub(crate) fn elected(
    node: NodeId,
    term: Term,
    membership: &Membership,
    voted: impl Fn(ReplicaId) -> bool,
) -> Check {
    let votes = |voter: NodeId| membership.replica(voter).is_some_and(&voted);
    for voters in [Some(membership.voters()), membership.outgoing()]
        .into_iter()
        .flatten()
    {
        let count = voters.iter().filter(|&&voter| votes(voter)).count();
        if count <= voters.len() / 2 {
            let of = voters.len();
            let reason = format!("{node} leads {term} with {count} of {of} votes of {membership}");
            return Err(violation(reason));
        }
    }
    Ok(())
}

/// `node` has memberships at `positions` in its log; up to `committed` all is committed.
pub(crate) fn changes(
    node: NodeId,
    positions: impl Iterator<Item = LogIndex>,
    committed: LogIndex,
) -> Check {
    let open: Vec<_> = positions.filter(|&index| index > committed).collect();
    match open.len() {
        0 | 1 => Ok(()),
        _ => Err(violation(format!(
            "{node} holds memberships at {open:?}, and all up to {committed} is committed"
        ))),
    }
}

/// `node` shows a membership as in force, and its log says another.
pub(crate) fn in_force(node: NodeId, shown: &Membership, logged: &Membership) -> Check {
    match shown == logged {
        true => Ok(()),
        false => Err(violation(format!(
            "{node} goes by {shown}, its log says {logged}"
        ))),
    }
}

pub(crate) fn violation(reason: String) -> Violation {
    Violation::new("P13 membership safety", reason)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::membership::MemberInfo;

    fn elected_by(membership: &Membership, voters: &[u64]) -> Check {
        let voted = |voter: ReplicaId| voters.contains(&voter.node.get());
        elected(NodeId::new(1), Term::new(3), membership, voted)
    }

    #[test]
    fn an_election_by_half_of_the_voters_is_caught() {
        assert!(elected_by(&Membership::of_ids(1..=4), &[1, 2]).is_err());
        elected_by(&Membership::of_ids(1..=4), &[1, 2, 4]).unwrap();
    }

    #[test]
    fn an_election_by_one_half_of_a_joint_membership_is_caught() {
        let members = (1..=4).map(|n| (NodeId::new(n), MemberInfo::default()));
        let ids = |ids: &[u64]| {
            ids.iter()
                .copied()
                .map(NodeId::new)
                .collect::<BTreeSet<_>>()
        };
        let (new, old) = (ids(&[3, 4]), Some(ids(&[1, 2, 3])));
        let joint = Membership::from_parts(members.collect(), new, old).unwrap();
        assert!(elected_by(&joint, &[3, 4]).is_err());
        assert!(elected_by(&joint, &[1, 2, 3]).is_err());
        elected_by(&joint, &[1, 3, 4]).unwrap();
    }

    #[test]
    fn a_vote_of_another_life_does_not_count() {
        let membership = Membership::of_ids(1..=1);
        let voted = |voter: ReplicaId| voter != ReplicaId::first(1);
        assert!(elected(NodeId::new(1), Term::new(3), &membership, voted).is_err());
    }

    #[test]
    fn two_uncommitted_changes_are_caught() {
        let check = |committed| {
            let positions = [3, 7].map(LogIndex::new).into_iter();
            changes(NodeId::new(1), positions, LogIndex::new(committed))
        };
        assert!(check(2).is_err());
        check(3).unwrap();
    }

    #[test]
    fn a_membership_that_the_log_does_not_hold_is_caught() {
        let (three, four) = (Membership::of_ids(1..=3), Membership::of_ids(1..=4));
        assert!(in_force(NodeId::new(1), &four, &three).is_err());
        in_force(NodeId::new(1), &four, &four).unwrap();
    }
}
