//! What the server keeps about a member in Raft's membership, and what clients see of it.
//!
//! Raft knows a member's address and an opaque context. The context is a
//! protobuf message, so that fields can be added while old nodes still read it:
//!
//! | field | number | type |
//! |---|---|---|
//! | name | 1 | string |
//! | client URLs | 2 | repeated string |
//! | vote when caught up | 3 | bool |

use bytes::Bytes;
use prost::Message;
use raft_core::protocol::Status;
use raft_core::{Incarnation, MemberInfo, Membership, NodeId};

use crate::config::{Config, InitialMember};
use crate::proto::etcdserverpb::Member;

/// The server's part of [`MemberInfo`].
#[derive(Clone, Eq, PartialEq, Message)]
pub struct MemberContext {
    /// The member's name, for people.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Where clients reach it.
    #[prost(string, repeated, tag = "2")]
    pub client_urls: Vec<String>,
    /// A learner that is to vote as soon as it has caught up.
    #[prost(bool, tag = "3")]
    pub promote: bool,
}

impl MemberContext {
    /// The context of a member; empty if it is none of ours.
    pub fn of(info: &MemberInfo) -> Self {
        Self::decode(info.context.clone()).unwrap_or_default()
    }

    /// As it stands in the membership.
    pub fn to_bytes(&self) -> Bytes {
        self.encode_to_vec().into()
    }
}

/// The membership that a cluster begins with: all are voters in their first life.
pub fn initial_membership(members: &[InitialMember]) -> Membership {
    Membership::of_voters(members.iter().map(|member| {
        let context = MemberContext {
            name: member.name.clone(),
            client_urls: vec![member.client.clone()],
            promote: false,
        };
        let info = MemberInfo {
            incarnation: Incarnation::default(),
            address: member.peer.clone(),
            context: context.to_bytes(),
        };
        (NodeId::new(member.id), info)
    }))
}

/// What this node wants the membership to say of it.
pub fn own_info(config: &Config) -> MemberInfo {
    let context = MemberContext {
        name: config.name.clone(),
        client_urls: vec![config.advertise_client.clone()],
        promote: false,
    };
    MemberInfo {
        incarnation: Incarnation::default(),
        address: config.advertise_peer.clone(),
        context: context.to_bytes(),
    }
}

/// Whether the group goes on without this node, for good. What is applied is
/// known to be committed after a restart, too, when nobody tells this node any more.
pub(crate) fn is_removed(raft: &Status) -> bool {
    raft.membership.has_left(raft.replica) && raft.membership_index <= raft.last_applied
}

/// The members as clients see them, by number.
pub fn list(membership: &Membership) -> Vec<Member> {
    let members = membership.members().iter();
    members
        .map(|(&node, info)| {
            let context = MemberContext::of(info);
            Member {
                id: node.get(),
                name: context.name,
                // Peers speak QUIC, which is always encrypted; clients expect a URL.
                peer_urls: vec![format!("https://{}", info.address)],
                client_urls: context.client_urls,
                is_learner: !membership.is_voter(node),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_see_the_name_and_addresses_of_each_member() {
        let member = InitialMember {
            id: 7,
            name: "seven".to_owned(),
            peer: "h:2380".to_owned(),
            client: "http://h:2379".to_owned(),
        };

        let listed = list(&initial_membership(&[member]));

        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].id, listed[0].name.as_str()), (7, "seven"));
        assert_eq!(listed[0].client_urls, ["http://h:2379"]);
        assert_eq!(listed[0].peer_urls, ["https://h:2380"]);
        assert!(!listed[0].is_learner);
    }

    /// It stands in the log of every cluster.
    #[test]
    fn a_context_keeps_its_bytes_for_good() {
        let context = MemberContext {
            name: "a".to_owned(),
            client_urls: vec!["b".to_owned()],
            promote: false,
        };

        assert_eq!(context.to_bytes().as_ref(), b"\x0a\x01a\x12\x01b");
    }

    #[test]
    fn a_context_that_is_none_of_ours_reads_as_empty() {
        let info = MemberInfo {
            context: Bytes::from_static(b"\xff\xff"),
            ..MemberInfo::default()
        };

        assert_eq!(MemberContext::of(&info), MemberContext::default());
    }
}
