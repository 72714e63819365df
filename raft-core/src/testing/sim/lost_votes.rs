//! Votes that are lost with the disk they were on, and the operator who readmits
//! the nodes that lost them.

use super::checker::Check;
use super::image::LogImage;
use super::node::Node;
use super::recording::What;
use super::world::{Phase, World};
use crate::hard_state::HardState;
use crate::membership::Membership;
use crate::membership_change::MembershipChange;
use crate::testing::spec::Action;
use crate::types::{Incarnation, LogIndex, NodeId, ReplicaId};

impl World {
    /// A node that starts finds its vote gone, now and then.
    pub(crate) fn perhaps_lose_vote(&mut self, place: usize) -> Check {
        let is_drawn =
            self.phase == Phase::Faults && self.fault_random.chance(self.faults.lose_vote);
        if !is_drawn || !self.can_do_without(place) {
            return Ok(());
        }
        let node = &mut self.nodes[place];
        let former = node.replica;
        node.lose_vote();
        self.checkers.amnesia.lost(former);
        let replica = node.replica;
        self.trace
            .line(self.now, || format!("{replica} begins, its vote is lost"));
        self.tell(place, What::LostVote, || {
            format!("its vote is lost, {replica} begins")
        });
        self.report.mark("a node lost its vote");
        self.note_action(former, Action::NextLife { next: replica })
    }

    /// Whether the others are a quorum of every membership that may be in force,
    /// and need nothing of what this one has.
    fn can_do_without(&self, place: usize) -> bool {
        let is_damaged = self.nodes.iter().any(|node| !node.disk.damaged.is_empty());
        if is_damaged || self.change_is_under_way() {
            return false;
        }
        let lives = |membership: &Membership, node: NodeId| {
            let other = self.place(node);
            other != place && membership.contains(self.nodes[other].replica)
        };
        let own = self.nodes[place].replica;
        let memberships = self.memberships_that_may_be_in_force();
        memberships.iter().all(|membership| {
            let sets = [Some(membership.voters()), membership.outgoing()];
            let mut sets = sets.into_iter().flatten();
            let is_quorum = sets.all(|voters| {
                let left = voters.iter().filter(|&&voter| lives(membership, voter));
                left.count() > voters.len() / 2
            });
            is_quorum && membership.contains(own)
        })
    }

    /// The next step towards a vote for a node that lost it, as `membership` has it.
    pub(crate) fn next_readmission(&self, membership: &Membership) -> Option<MembershipChange> {
        self.nodes.iter().find_map(|node| {
            let id = node.id();
            let member = membership.replica(id)?;
            let change = MembershipChange::new();
            match (member == node.replica, membership.is_voter(id)) {
                (true, true) => None,
                (true, false) => Some(change.promote(id)),
                (false, true) => Some(change.demote(id)),
                (false, false) => Some(change.readmit(id)),
            }
        })
    }
}

impl Node {
    /// It goes on in its next life, in the term of what it holds.
    fn lose_vote(&mut self) {
        self.past_lives.push(PastLife {
            replica: self.replica,
            log: self.disk.log.clone(),
            applied: self.machine.durable.applied(),
        });
        let incarnation = self.replica.incarnation.get() + 1;
        self.replica.incarnation = Incarnation::new(incarnation);
        self.disk.hard_state = HardState {
            current_term: self
                .disk
                .log
                .last()
                .term
                .max(self.machine.durable.last.term),
            voted_for: None,
        };
    }

    /// Whether `replica`, a life of this node, had the log with this digest durable
    /// up to `index`.
    pub(crate) fn held(&self, replica: ReplicaId, index: LogIndex, digest: Option<u64>) -> bool {
        let has = |log: &LogImage, applied: LogIndex| {
            (digest.is_some() && log.digest_at(index) == digest) || applied >= index
        };
        if replica == self.replica {
            return has(&self.disk.log, self.machine.durable.applied());
        }
        let mut past = self.past_lives.iter();
        past.any(|life| life.replica == replica && has(&life.log, life.applied))
    }
}

/// What a life of a node had durable when it ended.
#[derive(Debug)]
pub(crate) struct PastLife {
    replica: ReplicaId,
    log: LogImage,
    applied: LogIndex,
}
