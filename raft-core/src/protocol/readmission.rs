//! Nodes that lost their vote: another life of the node than the member's.
//!
//! Such a node is another replica, which no membership names: it has no vote, and
//! nothing of what it says counts. It answers the leader's heartbeats to its
//! earlier life all the same, so that the leader knows in which life the node can
//! be readmitted, and operators see it there.

use std::time::Duration;

use super::Raft;
use super::event::Event;
use super::role::Role;
use crate::message::{Envelope, HeartbeatReply, Message};
use crate::types::{Incarnation, LogId, NodeId, ReplicaId};

impl Raft {
    /// At start: says so if the group knows this node by an earlier life.
    pub(super) fn report_lost_life(&mut self) {
        let own = self.config.replica;
        let known = self.log.membership().replica(own.node);
        if let Some(earlier) = known.filter(|known| known.incarnation < own.incarnation) {
            self.emit(Event::AwaitsReadmission { earlier });
        }
    }

    /// A message to another replica than this one. A leader that takes this node
    /// for its earlier life learns that it is over.
    pub(super) fn on_message_to_another(&mut self, envelope: &Envelope) {
        let (from, to, own) = (envelope.from, envelope.to, self.config.replica);
        let is_to_earlier_life = to.node == own.node && to.incarnation < own.incarnation;
        let is_heartbeat = matches!(envelope.message, Message::Heartbeat(_));
        if envelope.group == self.config.group && is_to_earlier_life && is_heartbeat {
            // Names no session and no round, so that it acknowledges nothing.
            let nothing = HeartbeatReply {
                session: 0,
                round: 0,
                received: LogId::ZERO,
                durable: LogId::ZERO,
                promise: Duration::ZERO,
            };
            self.send(from, Message::HeartbeatReply(nothing));
        }
        self.drop_message(from, "addressed to another replica");
    }

    /// Whether a heartbeat was answered by a later life of the member that it went
    /// to. Such an answer says nothing else, and its term is nobody's business: a
    /// replica without a vote deposes no leader.
    pub(super) fn is_from_later_life(&mut self, from: ReplicaId) -> bool {
        let known = self.log.membership().replica(from.node);
        let is_later = known.is_some_and(|known| known.incarnation < from.incarnation);
        if let Role::Leader(leader) = &mut self.role
            && let Some(progress) = leader.followers.get_mut(from.node)
            && is_later
            && progress.latest_life < Some(from.incarnation)
        {
            progress.latest_life = Some(from.incarnation);
            self.emit(Event::LaterLifeHeard { replica: from });
        }
        is_later
    }

    /// The later life in which a member's node answers, as far as a leader knows.
    pub(super) fn latest_life(&self, node: NodeId) -> Option<Incarnation> {
        match &self.role {
            Role::Leader(leader) => leader.followers.get(node)?.latest_life,
            _ => None,
        }
    }
}
