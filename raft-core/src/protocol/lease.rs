//! The leader's lease: linearizable reads without a round (Thesis §6.4.1).
//!
//! A voter that heard from a leader within its shortest election timeout votes
//! for nobody, not even right after a restart. How long that is, each says in its
//! answer to a round; members need not be configured alike. So from the moment a
//! leader *sent* a round that a quorum answered, nobody else can win an election
//! before the first of that quorum is free to vote.
//! The lease ends earlier by what clocks may drift, is given up before a
//! transfer, and needs the first commit of the term like any read.

use super::Raft;
use super::quorum::reached_by_quorum;
use super::role::Role;
use crate::time::Timestamp;

impl Raft {
    /// Whether no other node can have been elected by now.
    pub(super) fn lease_holds(&self) -> bool {
        let Role::Leader(leader) = &self.role else {
            return false;
        };
        let knows_commit = self.log.commit_index() >= leader.first_index;
        knows_commit
            && !self.hands_over()
            && !leader.lease_is_barred
            && self.lease_end().is_some_and(|end| self.now < end)
    }

    /// Until when a quorum votes for nobody else.
    fn lease_end(&self) -> Option<Timestamp> {
        let Role::Leader(leader) = &self.role else {
            return None;
        };
        let own = self.config.replica.node;
        reached_by_quorum(self.log.membership(), |node| {
            if node == own {
                self.now + self.config.lease_duration()
            } else {
                let progress = leader.followers.get(node);
                progress.map_or(Timestamp::ZERO, |progress| progress.promised_until)
            }
        })
    }
}
