//! Entries that peers do not have: what follows for a damaged one here.
//!
//! **Purged.** Who has purged an entry has applied it, so the peer's log up to the
//! purged position is committed. If our log holds that very position, so is ours up
//! to there (Raft §5.3, Log Matching), damage and all. That is true for ever, however
//! late the answer comes. It also says which membership is in force there, which is
//! all that a damaged membership keeps from us.
//!
//! **Not held.** A damaged entry that is not committed keeps two voters apart for
//! ever: the one that has it cannot send it, and the other one's log cannot win
//! against it. It may be cut off if no quorum can have committed it. That is so when
//!
//! 1. we lead a term T, and have known of the damage since before we did;
//! 2. so many voters say in T that they do not hold it, that the others of the
//!    membership in force before it are no majority.
//!
//! *In no term below T was it committed.* A quorum would have held it durably, and
//! nobody cuts what is committed; one of that quorum would be among those who answered,
//! because what is left of the voters is none. All before T is settled with that: who
//! answers in T takes nothing more from leaders of lower terms, so it does not matter
//! when in T the answer was sent, nor in which order the answers come.
//!
//! *In T it is not committed.* Only we could, and we never sent it: since before T it
//! could not be read here. Had we found the damage while leading T, it could be on its
//! way: then we only step down, and ask again in a later term.
//!
//! *After T* our copy counts for nobody before we acknowledge it again. Whoever still
//! holds the entry may win, commit it, and send it to us, as if we never had it.
//!
//! *The membership before the entry is the one to ask.* As long as the entry is not
//! committed, a log that holds it gets at most one more membership with other voters:
//! from simple to joint, or from joint to the incoming alone (Raft §6; one change at a
//! time). Every quorum of these holds a majority of the incoming voters of the former.
//!
//! We do not cut as a leader, whose log only grows (Raft figure 3), but step down
//! first; T has no leader any more then, so that no index of T gets a second entry.
//! The cut is an ordinary truncation from there on, and elections go their usual way.

use std::sync::Arc;

use super::Raft;
use super::event::{Event, StepDownReason};
use super::role::Role;
use crate::membership::Membership;
use crate::message::{Absence, EntryAbsent, Envelope, Message};
use crate::types::{LogId, LogIndex, ReplicaId};

impl Raft {
    /// We have applied and purged what a peer asks for.
    pub(super) fn answer_purged(&mut self, to: ReplicaId, log_id: LogId) {
        let up_to = self.log.purged();
        let membership = self.log.membership_at(up_to.index);
        let membership = Box::new(membership.as_ref().clone());
        let absence = Absence::Purged { up_to, membership };
        self.send(to, Message::EntryAbsent(EntryAbsent { log_id, absence }));
    }

    /// We do not have what a peer asks for. What is cut may come back with a crash
    /// until the disk is done; a peer that gets no answer asks again.
    pub(super) fn answer_not_held(&mut self, to: ReplicaId, log_id: LogId) {
        let is_durable = self.staged.is_empty() && self.durability.oldest().is_none();
        if is_durable && !self.is_installing() {
            let absence = Absence::NotHeld;
            self.send(to, Message::EntryAbsent(EntryAbsent { log_id, absence }));
        }
    }

    /// A peer does not have an entry that is damaged here.
    pub(super) fn on_entry_absent(&mut self, envelope: &Envelope, body: &EntryAbsent) {
        if self.repairs.missing_at(body.log_id).is_none() {
            // It was mended meanwhile, or is gone.
            return;
        }
        match &body.absence {
            Absence::Purged { up_to, membership } => {
                self.learn_commit(body.log_id, *up_to, membership);
            }
            Absence::NotHeld => self.note_not_held(envelope, body.log_id),
        }
    }

    fn learn_commit(&mut self, damaged: LogId, up_to: LogId, membership: &Membership) {
        let is_known = damaged.index <= self.log.commit_index();
        if up_to.index < damaged.index || !self.log.contains(up_to) {
            return;
        }
        let membership = Arc::new(membership.clone());
        let is_news = self.log.learn_membership_at(up_to.index, &membership);
        let commit = up_to.index.min(self.snapshot_allows());
        let rises = !is_known && self.log.set_commit(commit);
        if rises || is_news {
            self.emit(Event::DamageIsCommitted {
                log_id: damaged,
                up_to: up_to.index,
            });
        }
        if rises {
            self.on_commit_advanced();
        }
    }

    fn note_not_held(&mut self, envelope: &Envelope, log_id: LogId) {
        let term = self.hard_state.current_term;
        let leads = matches!(self.role, Role::Leader(_));
        if !leads || envelope.term != term || log_id.index <= self.log.commit_index() {
            return;
        }
        let before = log_id.index.previous().unwrap_or(LogIndex::ZERO);
        let membership = Arc::clone(self.log.membership_at(before));
        let Some(damaged) = self.repairs.missing_at(log_id) else {
            return;
        };
        if damaged.absent_in != term {
            damaged.absent.clear();
            damaged.absent_in = term;
        }
        damaged.absent.insert(envelope.from);
        let voters = membership.voters();
        let may_hold = voters.iter().filter(|&&voter| {
            let replica = membership.replica(voter);
            replica.is_none_or(|replica| !damaged.absent.contains(&replica))
        });
        if may_hold.count() > voters.len() / 2 {
            return;
        }
        let was_never_sent = damaged.found_in < term;
        self.become_follower(term, StepDownReason::Unfit);
        if was_never_sent {
            self.cut_damage(log_id);
        }
    }

    fn cut_damage(&mut self, log_id: LogId) {
        self.emit(Event::DamageIsCut { log_id });
        self.emit(Event::Truncated {
            from: log_id.index,
            old_last: self.log.last(),
        });
        self.log.truncate_from(log_id.index);
        self.stage_truncation(log_id.index);
    }
}
