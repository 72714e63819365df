//! Membership changes on the leader: what is refused, how voters change through
//! a joint configuration, and how the leader leaves it (Raft §6).
//!
//! A configuration is in force from the moment it is appended. Where voters
//! change, the leader first appends the joint configuration, and as soon as that
//! is committed, the target alone; so does whoever leads by then.

use super::Raft;
use super::event::{Event, StepDownReason};
use super::role::Role;
use crate::entry::{Entry, Payload};
use crate::error::ChangeMembershipError;
use crate::membership::Membership;
use crate::membership_change::MembershipChange;
use crate::types::{LogId, NodeId};

impl Raft {
    /// A leader begins `change`. Answers the entry it begins with; on an error
    /// nothing was appended.
    pub(super) fn begin_change(
        &mut self,
        change: &MembershipChange,
    ) -> Result<LogId, ChangeMembershipError> {
        self.check_may_change()?;
        let current = self.log.membership();
        let target = change.target(current, |node| self.latest_life(node))?;
        self.check_target(&target)?;
        let next = if target.voters() == current.voters() {
            target
        } else {
            current.joint_with(&target)
        };
        Ok(self.append_membership(next))
    }

    /// One change at a time, and none before the leader's first commit: until
    /// then an older leader's change may still be in the dark.
    fn check_may_change(&self) -> Result<(), ChangeMembershipError> {
        let Role::Leader(leader) = &self.role else {
            return Err(ChangeMembershipError::NoLeader);
        };
        let commit = self.log.commit_index();
        if commit < leader.first_index {
            return Err(ChangeMembershipError::LeaderNotReady);
        }
        if self.hands_over() {
            return Err(ChangeMembershipError::Transferring);
        }
        let index = self.log.membership_index();
        if index > commit || self.log.membership().is_joint() {
            return Err(ChangeMembershipError::InProgress { index });
        }
        Ok(())
    }

    /// The voters-to-be must hold (nearly) the whole log and answer, and enough of
    /// all voters do. Of a young group's log nobody lacks much, not even a node
    /// that does not run.
    fn check_target(&self, target: &Membership) -> Result<(), ChangeMembershipError> {
        let current = self.log.membership();
        for &node in target.voters().difference(current.voters()) {
            let behind = self.lag_of(node);
            let allowed = self.config.max_promotion_lag;
            if behind > allowed {
                return Err(ChangeMembershipError::NotCaughtUp {
                    node,
                    behind,
                    allowed,
                });
            }
            if !self.is_active(node) {
                return Err(ChangeMembershipError::NotAnswering { node });
            }
        }
        let voters = target.voters();
        let active = voters.iter().filter(|&&node| self.is_active(node)).count();
        if voters != current.voters() && active * 2 <= voters.len() {
            let voters = voters.len();
            return Err(ChangeMembershipError::QuorumUnavailable { active, voters });
        }
        Ok(())
    }

    /// How many entries a member lacks, as far as its leader knows.
    fn lag_of(&self, node: NodeId) -> u64 {
        let last = self.log.last().index;
        match &self.role {
            Role::Leader(leader) => leader
                .followers
                .get(node)
                .map_or(last.get(), |p| last.distance_from(p.match_index)),
            _ => last.get(),
        }
    }

    /// Whether a member answered its leader within the shortest election timeout.
    pub(super) fn is_active(&self, node: NodeId) -> bool {
        let patience = self.config.election_timeout_min;
        match &self.role {
            Role::Leader(leader) => leader
                .followers
                .get(node)
                .map_or(node == self.config.replica.node, |p| {
                    p.has_answered && self.now.since(p.last_contact) < patience
                }),
            _ => false,
        }
    }

    fn append_membership(&mut self, membership: Membership) -> LogId {
        let log_id = LogId {
            term: self.hard_state.current_term,
            index: self.log.last().index.next(),
        };
        self.append_as_leader(Entry {
            log_id,
            payload: Payload::Membership(Box::new(membership)),
        });
        // Whoever asked for it, on whichever member, learns of its commit at once.
        if let Role::Leader(leader) = &mut self.role {
            for progress in leader.followers.iter_mut() {
                progress.forwarded_up_to = log_id.index;
            }
        }
        log_id
    }

    /// A leader follows whom the membership in force names.
    pub(super) fn sync_followers(&mut self) {
        let next = self.log.last().index;
        let (own, now) = (self.config.replica.node, self.now);
        let grace = now + self.config.election_timeout_max;
        let membership = std::sync::Arc::clone(self.log.membership());
        if let Role::Leader(leader) = &mut self.role {
            let stopped = leader.followers.sync(&membership, own, next, now, grace);
            // The quorum is another one.
            leader.quorum_check_at = now;
            self.stop_snapshots(stopped);
        }
    }

    /// The commit index rose: leaves a joint configuration that is committed,
    /// and leadership if the committed configuration has no vote for us.
    pub(super) fn on_membership_committed(&mut self) {
        let Role::Leader(leader) = &self.role else {
            return;
        };
        let commit = self.log.commit_index();
        if self.log.membership_index() > commit || commit < leader.first_index {
            return;
        }
        let membership = self.log.membership();
        if membership.is_joint() {
            let target = membership.without_outgoing();
            self.append_membership(target);
        } else if !membership.votes(self.config.replica) {
            self.leave_leadership();
        }
    }

    /// Steps down from a group that this node no longer votes in, and lets the
    /// best voter take over at once.
    fn leave_leadership(&mut self) {
        // The others learn the commit of the configuration first.
        self.begin_round();
        if let Some(best) = self.best_successor() {
            self.send_timeout_now(best);
        }
        self.become_follower(self.hard_state.current_term, StepDownReason::Removed);
    }

    /// Says what changed when a configuration came into force or went.
    pub(super) fn note_membership(&mut self) {
        let (index, membership) = (self.log.membership_index(), self.log.membership());
        if self.noted_membership != index {
            let membership = std::sync::Arc::clone(membership);
            self.noted_membership = index;
            self.emit(Event::MembershipInForce { index, membership });
        }
    }

    /// Whether this replica was a member and is none in the configuration in
    /// force. While it leads, it leads the others to the end of its removal.
    pub(super) fn has_left(&self) -> bool {
        !matches!(self.role, Role::Leader(_)) && self.log.membership().has_left(self.config.replica)
    }

    /// Whether this replica votes in the configuration in force.
    pub(super) fn is_voter(&self) -> bool {
        self.log.membership().votes(self.config.replica)
    }
}
