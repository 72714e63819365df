//! Who belongs to a group: voters, learners, and both halves of a joint configuration.
//!
//! A `Membership` is a value. When it takes effect and how one is changed into
//! another is the protocol's affair.

use std::collections::{BTreeMap, BTreeSet};

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
}

impl Membership {
    /// A group in which each of `members` votes.
    pub fn of_voters(members: impl IntoIterator<Item = (NodeId, MemberInfo)>) -> Self {
        let members: BTreeMap<_, _> = members.into_iter().collect();
        let voters = members.keys().copied().collect();
        Self {
            members,
            voters,
            outgoing: None,
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
            members,
            voters,
            outgoing,
        })
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

/// A membership as it is decoded, yet to be checked.
#[derive(Deserialize)]
struct Parts {
    members: BTreeMap<NodeId, MemberInfo>,
    voters: BTreeSet<NodeId>,
    outgoing: Option<BTreeSet<NodeId>>,
}

impl TryFrom<Parts> for Membership {
    type Error = MembershipError;

    fn try_from(parts: Parts) -> Result<Self, MembershipError> {
        if parts.members.is_empty() && parts.voters.is_empty() && parts.outgoing.is_none() {
            return Ok(Self::default());
        }
        Self::from_parts(parts.members, parts.voters, parts.outgoing)
    }
}

/// Why parts do not make a membership.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MembershipError {
    /// Nobody would vote.
    #[error("a membership needs at least one voter")]
    NoVoter,
    /// A voter is not among the members.
    #[error("voter {node} is not a member")]
    UnknownVoter {
        /// The voter.
        node: NodeId,
    },
}
