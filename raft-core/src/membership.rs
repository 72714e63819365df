//! Who belongs to a group: voters, learners, and both halves of a joint configuration.
//!
//! A `Membership` is a value. When it takes effect and how one is changed into
//! another is the protocol's affair.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::types::{Incarnation, NodeId, ReplicaId};

/// What the group knows of one member.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct MemberInfo {
    /// Which life of the node is the member; messages from another life do not count.
    pub incarnation: Incarnation,
    /// Where the transport reaches the node, as `host:port`.
    pub address: String,
    /// What the application wants to know of the member (a name, client addresses); opaque here.
    pub context: Bytes,
}

/// The configuration of a group (Raft §6).
///
/// Decoding checks what [`Membership::from_parts`] checks, but lets the empty
/// membership pass, which stands for "none yet".
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Membership {
    members: BTreeMap<NodeId, MemberInfo>,
    voters: BTreeSet<NodeId>,
    /// The voters that are on their way out while the configuration is joint.
    outgoing: Option<BTreeSet<NodeId>>,
    /// Members that leave the group together with the outgoing configuration.
    leaving: BTreeSet<NodeId>,
    /// The highest number that any member ever had.
    highest: NodeId,
}

impl Membership {
    /// A group in which each of `members` votes.
    pub fn of_voters(members: impl IntoIterator<Item = (NodeId, MemberInfo)>) -> Self {
        let members: BTreeMap<_, _> = members.into_iter().collect();
        let voters = members.keys().copied().collect();
        Self {
            highest: highest_of(&members),
            members,
            voters,
            outgoing: None,
            leaving: BTreeSet::new(),
        }
    }

    /// A group of first-life voters with these numbers and no addresses; for tests and simulation.
    pub fn of_ids(ids: impl IntoIterator<Item = u64>) -> Self {
        Self::of_voters(
            ids.into_iter()
                .map(|id| (NodeId::new(id), MemberInfo::default())),
        )
    }

    /// A configuration from its parts: all members, those of them that vote,
    /// and the outgoing voters if it is joint.
    ///
    /// # Errors
    ///
    /// A voter that is no member, or a set of voters that is empty.
    pub fn from_parts(
        members: BTreeMap<NodeId, MemberInfo>,
        voters: BTreeSet<NodeId>,
        outgoing: Option<BTreeSet<NodeId>>,
    ) -> Result<Self, MembershipError> {
        if voters.is_empty() || outgoing.as_ref().is_some_and(BTreeSet::is_empty) {
            return Err(MembershipError::NoVoter);
        }
        let stranger = voters
            .iter()
            .chain(outgoing.iter().flatten())
            .find(|id| !members.contains_key(id));
        if let Some(&node) = stranger {
            return Err(MembershipError::UnknownVoter { node });
        }
        Ok(Self {
            highest: highest_of(&members),
            members,
            voters,
            outgoing,
            leaving: BTreeSet::new(),
        })
    }

    /// As it is, but knowing of the members that `former` ever had.
    #[must_use]
    pub(crate) fn following(self, former: &Self) -> Self {
        Self {
            highest: self.highest.max(former.highest),
            ..self
        }
    }

    /// The highest number that any member of the group ever had, removed ones
    /// included. A higher one was never used: a node without its old disk must
    /// not come back as who it was.
    pub const fn highest(&self) -> NodeId {
        self.highest
    }

    /// The configuration between this one, which is not joint, and `target`, in
    /// which both must agree (Raft §6).
    #[must_use]
    pub(crate) fn joint_with(&self, target: &Self) -> Self {
        let mut members = target.members.clone();
        for (node, info) in &self.members {
            if self.voters.contains(node) {
                members.entry(*node).or_insert_with(|| info.clone());
            }
        }
        let leaving = members
            .keys()
            .copied()
            .filter(|node| !target.members.contains_key(node))
            .collect();
        Self {
            highest: self.highest.max(target.highest),
            members,
            voters: target.voters.clone(),
            outgoing: Some(self.voters.clone()),
            leaving,
        }
    }

    /// What remains when the outgoing configuration is left; itself if it is not joint.
    #[must_use]
    pub(crate) fn without_outgoing(&self) -> Self {
        let mut members = self.members.clone();
        members.retain(|node, _| !self.leaving.contains(node));
        Self {
            highest: self.highest,
            members,
            voters: self.voters.clone(),
            outgoing: None,
            leaving: BTreeSet::new(),
        }
    }

    /// All members with what is known of them, learners and outgoing voters included.
    pub fn members(&self) -> &BTreeMap<NodeId, MemberInfo> {
        &self.members
    }

    /// The voters; while joint, the incoming ones.
    pub fn voters(&self) -> &BTreeSet<NodeId> {
        &self.voters
    }

    /// The voters of the configuration being left, while joint.
    pub fn outgoing(&self) -> Option<&BTreeSet<NodeId>> {
        self.outgoing.as_ref()
    }

    /// Whether two majorities are needed (Raft §6).
    pub fn is_joint(&self) -> bool {
        self.outgoing.is_some()
    }

    /// Whether `node` votes, in either half.
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.outgoing.as_ref().is_some_and(|o| o.contains(&node))
    }

    /// Whether exactly this life of the node votes, in either half.
    pub fn votes(&self, replica: ReplicaId) -> bool {
        self.contains(replica) && self.is_voter(replica.node)
    }

    /// Members that leave the group when the joint configuration is left.
    pub fn leaving(&self) -> &BTreeSet<NodeId> {
        &self.leaving
    }

    /// Members that receive the log and do not vote.
    pub fn learners(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.members
            .keys()
            .copied()
            .filter(|&id| !self.is_voter(id))
    }

    /// The replica that `node` is in this configuration.
    pub fn replica(&self, node: NodeId) -> Option<ReplicaId> {
        let info = self.members.get(&node)?;
        Some(ReplicaId {
            node,
            incarnation: info.incarnation,
        })
    }

    /// Whether the replica is no member, and its number was given out: it was
    /// removed, or replaced by a later life of its node. False for one that the
    /// group has not added yet, and for a later life that it may readmit.
    pub fn has_left(&self, replica: ReplicaId) -> bool {
        match self.replica(replica.node) {
            Some(member) => replica.incarnation < member.incarnation,
            None => replica.node <= self.highest,
        }
    }

    /// Whether exactly this life of the node is a member.
    pub fn contains(&self, replica: ReplicaId) -> bool {
        self.replica(replica.node) == Some(replica)
    }

    /// All replicas of the configuration.
    pub fn replicas(&self) -> impl Iterator<Item = ReplicaId> + '_ {
        self.members.iter().map(|(&node, info)| ReplicaId {
            node,
            incarnation: info.incarnation,
        })
    }
}

impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |ids: Vec<NodeId>| {
            let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
            names.join(" ")
        };
        write!(f, "voters {}", list(self.voters.iter().copied().collect()))?;
        if let Some(outgoing) = &self.outgoing {
            write!(f, " and {}", list(outgoing.iter().copied().collect()))?;
        }
        let learners: Vec<NodeId> = self.learners().collect();
        match learners.is_empty() {
            true => Ok(()),
            false => write!(f, ", learners {}", list(learners)),
        }
    }
}

fn highest_of(members: &BTreeMap<NodeId, MemberInfo>) -> NodeId {
    members.keys().next_back().copied().unwrap_or_default()
}

/// A membership as it is decoded, yet to be checked.
#[derive(Deserialize)]
struct Parts {
    members: BTreeMap<NodeId, MemberInfo>,
    voters: BTreeSet<NodeId>,
    outgoing: Option<BTreeSet<NodeId>>,
    leaving: BTreeSet<NodeId>,
    highest: NodeId,
}

impl TryFrom<Parts> for Membership {
    type Error = MembershipError;

    fn try_from(parts: Parts) -> Result<Self, MembershipError> {
        let Parts {
            members,
            voters,
            outgoing,
            leaving,
            highest,
        } = parts;
        if members.is_empty() && voters.is_empty() && outgoing.is_none() && leaving.is_empty() {
            return Ok(Self::default());
        }
        let membership = Self::from_parts(members, voters, outgoing)?;
        let stays = leaving.iter().find(|node| {
            let is_outgoing = membership
                .outgoing
                .as_ref()
                .is_some_and(|o| o.contains(node));
            !is_outgoing || membership.voters.contains(node)
        });
        match stays {
            Some(&node) => Err(MembershipError::NotLeaving { node }),
            None => Ok(Self {
                leaving,
                highest: highest.max(membership.highest),
                ..membership
            }),
        }
    }
}

/// Why parts do not make a membership.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MembershipError {
    /// Nobody would vote.
    #[error("a membership needs at least one voter")]
    NoVoter,
    /// Only an outgoing voter that is no voter any more can be on its way out.
    #[error("{node} cannot leave: it is not merely an outgoing voter")]
    NotLeaving {
        /// The node.
        node: NodeId,
    },
    /// A voter is not among the members.
    #[error("voter {node} is not a member")]
    UnknownVoter {
        /// The voter.
        node: NodeId,
    },
}
