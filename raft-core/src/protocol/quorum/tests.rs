//! The arithmetic against the definition, in groups of every size and shape.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{VoteResult, oracle, reached_by_quorum, vote_result};
use crate::membership::{MemberInfo, Membership};
use crate::types::NodeId;

/// Members `1..=size`; the bits of `incoming` and `outgoing` say who votes.
fn group(size: u64, incoming: u64, outgoing: Option<u64>) -> Option<Membership> {
    let ids_in = |mask: u64| -> BTreeSet<NodeId> {
        let ids = (1..=size).filter(|id| mask >> (id - 1) & 1 == 1);
        ids.map(NodeId::new).collect()
    };
    let members: BTreeMap<_, _> = (1..=size)
        .map(|id| (NodeId::new(id), MemberInfo::default()))
        .collect();
    Membership::from_parts(members, ids_in(incoming), outgoing.map(ids_in)).ok()
}

/// Up to ten members, one more than is counted in place, learners among them.
fn any_group() -> impl Strategy<Value = Membership> {
    let parts = (1_u64..=10, any::<u64>(), prop::option::of(any::<u64>()));
    parts.prop_filter_map("nobody votes", |(size, incoming, outgoing)| {
        group(size, incoming, outgoing)
    })
}

/// All groups of up to four members: every size, every overlap of both halves.
fn small_groups() -> impl Iterator<Item = Membership> {
    let shapes = (1_u64..=4).flat_map(|size| {
        let masks = move || 1..1_u64 << size;
        let joint = masks().flat_map(move |a| masks().map(move |b| (size, a, Some(b))));
        masks().map(move |a| (size, a, None)).chain(joint)
    });
    shapes.filter_map(|(size, incoming, outgoing)| group(size, incoming, outgoing))
}

/// What member `node` said or reached.
fn of<T: Copy>(values: &[T], node: NodeId) -> T {
    values[usize::try_from(node.get()).unwrap() - 1]
}

#[test]
fn every_vote_in_every_small_group_stands_where_the_definition_says() {
    const ANSWERS: [Option<bool>; 3] = [None, Some(false), Some(true)];
    for membership in small_groups() {
        for number in 0..3_usize.pow(4) {
            let votes = [1, 3, 9, 27].map(|power| ANSWERS[number / power % 3]);
            let vote = |node| of(&votes, node);

            assert_eq!(
                vote_result(&membership, vote),
                oracle::vote_result(&membership, vote),
                "{membership}: {votes:?}"
            );
        }
    }
}

#[test]
fn every_small_group_has_reached_what_the_definition_says() {
    for membership in small_groups() {
        for number in 0..4_usize.pow(4) {
            let values = [1, 4, 16, 64].map(|power| number / power % 4);
            let value = |node| of(&values, node);

            assert_eq!(
                reached_by_quorum(&membership, value),
                oracle::reached(&membership, value),
                "{membership}: {values:?}"
            );
        }
    }
}

/// What all safety rests on (Raft §3; §6 for the joint ones).
#[test]
fn any_two_quorums_share_a_voter_also_across_the_steps_of_a_change() {
    for joint in small_groups().filter(Membership::is_joint) {
        let members = joint.members().clone();
        let alone = |voters: &BTreeSet<NodeId>| {
            Membership::from_parts(members.clone(), voters.clone(), None).unwrap()
        };
        let (before, after) = (alone(joint.outgoing().unwrap()), alone(joint.voters()));
        for (one, other) in [(&joint, &joint), (&before, &joint), (&joint, &after)] {
            for set in oracle::quorums(one) {
                let vote = |node| Some(!set.contains(&node));
                let rest = vote_result(other, vote);

                assert_eq!(rest, VoteResult::Lost, "{one}: {set:?} leave {other} one");
            }
        }
    }
}

#[test]
fn where_nobody_votes_nothing_is_won_or_reached() {
    let nobody = Membership::default();

    assert_eq!(vote_result(&nobody, |_| Some(true)), VoteResult::Lost);
    assert_eq!(reached_by_quorum(&nobody, |_| 7), None);
}

proptest! {
    #[test]
    fn a_vote_stands_where_the_definition_says(
        membership in any_group(),
        votes in prop::collection::vec(prop::option::of(any::<bool>()), 10),
    ) {
        let vote = |node| of(&votes, node);

        prop_assert_eq!(vote_result(&membership, vote), oracle::vote_result(&membership, vote));
    }

    #[test]
    fn a_quorum_has_reached_what_the_definition_says(
        membership in any_group(),
        values in prop::collection::vec(0_u64..12, 10),
    ) {
        let value = |node| of(&values, node);

        prop_assert_eq!(
            reached_by_quorum(&membership, value),
            oracle::reached(&membership, value)
        );
    }

    /// Acknowledgements only rise, and so must what is concluded from them.
    #[test]
    fn what_is_reached_never_falls_while_values_rise(
        membership in any_group(),
        values in prop::collection::vec(0_u64..12, 10),
        who in 0_usize..10, by in 0_u64..12,
    ) {
        let mut higher = values.clone();
        higher[who] += by;

        prop_assert!(
            reached_by_quorum(&membership, |node| of(&values, node))
                <= reached_by_quorum(&membership, |node| of(&higher, node))
        );
    }
}
