//! What a caller asks of a group's membership, as a value.
//!
//! A change lists steps; together they name one target configuration. How the
//! group gets there (directly or through a joint configuration) and when it may
//! is the protocol's affair.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::ChangeMembershipError;
use crate::membership::{MemberInfo, Membership, MembershipError};
use crate::types::{Incarnation, NodeId};

/// Most steps in one change; more is a mistake, and would make a message without bound.
const MAX_STEPS: usize = 1000;

/// A change of the membership in one request: any number of steps that take
/// effect together. Voters change through a joint configuration (Raft §6), so
/// every target is reached without a moment at which two majorities could decide.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct MembershipChange {
    steps: Vec<MembershipStep>,
}

/// One step of a [`MembershipChange`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum MembershipStep {
    /// A new member that receives the log and does not vote.
    AddLearner {
        /// The new member.
        node: NodeId,
        /// Its incarnation and address.
        info: MemberInfo,
    },
    /// A learner that votes from then on.
    Promote {
        /// The learner.
        node: NodeId,
    },
    /// A voter that is a learner from then on.
    Demote {
        /// The voter.
        node: NodeId,
    },
    /// A member that is none any more.
    Remove {
        /// The member.
        node: NodeId,
    },
    /// Another address or context of a member. Its incarnation stays: another
    /// life of a node is another replica, and is removed and added.
    Update {
        /// The member.
        node: NodeId,
        /// What is known of it from then on.
        info: MemberInfo,
    },
    /// The latest life of a learner, in place of an earlier one whose vote is lost.
    /// The leader knows it, because that life answers it. A voter is demoted first:
    /// its old life leaves the quorum as every voter does.
    Readmit {
        /// The learner.
        node: NodeId,
    },
}

impl MembershipStep {
    /// The node it is about.
    pub const fn node(&self) -> NodeId {
        match self {
            Self::AddLearner { node, .. }
            | Self::Promote { node }
            | Self::Demote { node }
            | Self::Remove { node }
            | Self::Update { node, .. }
            | Self::Readmit { node } => *node,
        }
    }
}

impl MembershipChange {
    /// A change without steps, to add some.
    pub const fn new() -> Self {
        Self { steps: Vec::new() }
    }

    /// Adds `node` as a learner.
    #[must_use]
    pub fn add_learner(self, node: NodeId, info: MemberInfo) -> Self {
        self.with(MembershipStep::AddLearner { node, info })
    }

    /// Makes the learner `node` a voter.
    #[must_use]
    pub fn promote(self, node: NodeId) -> Self {
        self.with(MembershipStep::Promote { node })
    }

    /// Makes the voter `node` a learner.
    #[must_use]
    pub fn demote(self, node: NodeId) -> Self {
        self.with(MembershipStep::Demote { node })
    }

    /// Removes the member `node`.
    #[must_use]
    pub fn remove(self, node: NodeId) -> Self {
        self.with(MembershipStep::Remove { node })
    }

    /// Replaces what is known of the member `node`, all but its incarnation.
    #[must_use]
    pub fn update(self, node: NodeId, info: MemberInfo) -> Self {
        self.with(MembershipStep::Update { node, info })
    }

    /// Takes the learner `node` in again in its latest life.
    #[must_use]
    pub fn readmit(self, node: NodeId) -> Self {
        self.with(MembershipStep::Readmit { node })
    }

    /// Adds a step.
    #[must_use]
    pub fn with(mut self, step: MembershipStep) -> Self {
        self.steps.push(step);
        self
    }

    /// The steps.
    pub fn steps(&self) -> &[MembershipStep] {
        &self.steps
    }

    /// The configuration that the change makes of `current`, which is not joint.
    /// `latest_life` says in which life a node answers, if not in the member's.
    ///
    /// # Errors
    ///
    /// No step, too many, two about one node, a node that is not there or is
    /// there already, or no voter left.
    pub fn target(
        &self,
        current: &Membership,
        latest_life: impl Fn(NodeId) -> Option<Incarnation>,
    ) -> Result<Membership, ChangeMembershipError> {
        if self.steps.is_empty() || self.steps.len() > MAX_STEPS {
            let steps = self.steps.len();
            return Err(ChangeMembershipError::StepCount { steps });
        }
        let mut named = BTreeSet::new();
        let mut members = current.members().clone();
        let mut voters = current.voters().clone();
        for step in &self.steps {
            let node = step.node();
            if !named.insert(node) {
                return Err(ChangeMembershipError::NamedTwice { node });
            }
            let is_voter = voters.contains(&node);
            match (step, members.get(&node).map(|known| known.incarnation)) {
                (MembershipStep::AddLearner { info, .. }, None) => {
                    members.insert(node, info.clone());
                }
                (MembershipStep::AddLearner { .. }, Some(_)) => {
                    return Err(ChangeMembershipError::AlreadyMember { node });
                }
                (_, None) => return Err(ChangeMembershipError::UnknownMember { node }),
                (MembershipStep::Promote { .. }, _) if is_voter => {
                    return Err(ChangeMembershipError::AlreadyVoter { node });
                }
                (MembershipStep::Demote { .. }, _) if !is_voter => {
                    return Err(ChangeMembershipError::NotAVoter { node });
                }
                (MembershipStep::Update { info, .. }, Some(life)) if info.incarnation != life => {
                    return Err(ChangeMembershipError::OtherIncarnation { node });
                }
                (MembershipStep::Readmit { .. }, Some(life)) => {
                    let latest = latest_life(node).filter(|latest| *latest > life);
                    let incarnation = latest.ok_or(ChangeMembershipError::SameLife { node })?;
                    if is_voter {
                        return Err(ChangeMembershipError::StillVotes { node });
                    }
                    members.entry(node).or_default().incarnation = incarnation;
                }
                (MembershipStep::Promote { .. }, _) => drop(voters.insert(node)),
                (MembershipStep::Demote { .. }, _) => drop(voters.remove(&node)),
                (MembershipStep::Update { info, .. }, _) => {
                    members.insert(node, info.clone());
                }
                (MembershipStep::Remove { .. }, _) => {
                    members.remove(&node);
                    voters.remove(&node);
                }
            }
        }
        let target = Membership::from_parts(members, voters, None);
        let target = target.map(|target| target.following(current));
        target.map_err(|error| match error {
            MembershipError::NoVoter => ChangeMembershipError::NoVoterLeft,
            MembershipError::UnknownVoter { node } | MembershipError::NotLeaving { node } => {
                ChangeMembershipError::UnknownMember { node }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u64) -> NodeId {
        NodeId::new(number)
    }

    fn target(change: &MembershipChange) -> Result<Membership, ChangeMembershipError> {
        change.target(&Membership::of_ids(1..=3), |_| None)
    }

    /// Node 3 answers in its second life.
    fn second_life_of_three(asked: NodeId) -> Option<Incarnation> {
        (asked == node(3)).then(|| Incarnation::new(1))
    }

    #[test]
    fn a_dead_voter_is_replaced_in_one_change() {
        let with_learner =
            target(&MembershipChange::new().add_learner(node(4), MemberInfo::default()));

        let replaced = MembershipChange::new()
            .promote(node(4))
            .remove(node(2))
            .target(&with_learner.unwrap(), |_| None)
            .unwrap();

        assert_eq!(replaced, Membership::of_ids([1, 3, 4]));
    }

    #[test]
    fn a_removed_number_is_remembered() {
        let smaller = target(&MembershipChange::new().remove(node(3))).unwrap();

        assert_eq!(smaller.members().len(), 2);
        assert_eq!(smaller.highest(), node(3));
    }

    #[test]
    fn a_learner_goes_on_in_its_latest_life_as_what_it_was() {
        let before = target(&MembershipChange::new().demote(node(3))).unwrap();
        let readmission = MembershipChange::new().readmit(node(3));

        let after = readmission.target(&before, second_life_of_three).unwrap();

        let life = |membership: &Membership| membership.replica(node(3)).unwrap().incarnation;
        assert_eq!([&before, &after].map(life), [0, 1].map(Incarnation::new));
        assert_eq!(after.voters(), before.voters());
        let again = readmission.target(&after, second_life_of_three);
        let error = ChangeMembershipError::SameLife { node: node(3) };
        assert_eq!(again, Err(error));
    }

    #[test]
    fn the_old_life_of_a_voter_has_to_leave_the_quorum_first() {
        let voters = Membership::of_ids(1..=3);
        let readmit = |number| {
            let change = MembershipChange::new().readmit(node(number));
            change.target(&voters, second_life_of_three).unwrap_err()
        };

        // A voter that lives on is not asked to give up its vote.
        let same = ChangeMembershipError::SameLife { node: node(2) };
        assert_eq!(readmit(2), same);
        let votes = ChangeMembershipError::StillVotes { node: node(3) };
        assert_eq!(readmit(3), votes);
    }

    #[test]
    fn impossible_steps_are_refused_by_name() {
        let info = MemberInfo::default;
        let other_life = MemberInfo {
            incarnation: Incarnation::new(1),
            ..info()
        };
        let change = MembershipChange::new;
        let refusals = [
            change(),
            change().add_learner(node(1), info()),
            change().promote(node(1)),
            change().promote(node(9)),
            change().demote(node(9)),
            change().remove(node(9)),
            change().remove(node(1)).add_learner(node(1), info()),
            change().update(node(1), other_life),
            change().remove(node(1)).remove(node(2)).demote(node(3)),
        ]
        .map(|change| target(&change).unwrap_err());

        use ChangeMembershipError as Error;
        assert_eq!(
            refusals,
            [
                Error::StepCount { steps: 0 },
                Error::AlreadyMember { node: node(1) },
                Error::AlreadyVoter { node: node(1) },
                Error::UnknownMember { node: node(9) },
                Error::UnknownMember { node: node(9) },
                Error::UnknownMember { node: node(9) },
                Error::NamedTwice { node: node(1) },
                Error::OtherIncarnation { node: node(1) },
                Error::NoVoterLeft,
            ]
        );
    }
}
