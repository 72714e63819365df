//! From what a replica of the protocol does to actions of the specification.
//!
//! After each step of a replica, [`Refinement::explain`] names the actions that lead from
//! where the specification has it to where it shows itself now, and has each carried
//! out. A step that no allowed actions explain is a violation of P22. What a replica
//! says, and what its disk and state machine do, are actions of their own.
//!
//! A step that takes in several inputs at once hides what lay between them: that its log
//! changed, and that it led or followed somebody else meanwhile, may have happened in
//! several orders. One of them must be allowed.

mod step;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use step::{Cause, Step};
use words::{ballot_of, fact_of, item_of, role_of};

use super::spec::{Action, Counts, Group, Item, Log, Refused, Replica, Role, Write};
use crate::hard_state::HardState;
use crate::membership::Membership;
use crate::message::Envelope;
use crate::protocol::{self, Persist, RoleKind};
use crate::types::{ReplicaId, Term};

/// Keeps the specification beside the replicas that are to keep to it.
#[derive(Clone, Debug)]
pub(crate) struct Refinement {
    pub(crate) group: Group,
    /// What happened since somebody took these out.
    pub(crate) counts: Counts,
    /// What happened, one after the other, if somebody wants to know.
    pub(crate) actions: Option<Vec<(ReplicaId, Action)>>,
}

/// In which order the changes of a step may have come.
#[derive(Clone, Copy, Debug)]
struct Order {
    /// The log changed after so many turns of the role, the last of which is the one to
    /// its final term, leader and vote.
    turns_first: usize,
    /// It was in this term by then.
    in_term: Option<Term>,
}

impl Refinement {
    /// Replicas are yet to join.
    pub(crate) fn of(founders: Arc<Membership>) -> Self {
        Self {
            group: Group::new(founders),
            counts: Counts::default(),
            actions: None,
        }
    }

    fn act(&mut self, step: &Step<'_>, action: Action) -> Result<(), Refused> {
        self.carry_out(step.id(), step.patience, action)?;
        self.note_answers(step);
        Ok(())
    }

    /// What it would answer from here to those who ask for votes. It answers in the course
    /// of the step, and may have been here when it did. Where it would not, it must not say
    /// so: that is asked when it speaks.
    fn note_answers(&mut self, step: &Step<'_>) {
        let now = step.now;
        for (candidate, term, last_log) in step.pre_votes() {
            let would = Action::WouldVote {
                candidate,
                term,
                last_log,
                now,
            };
            let _ = self.carry_out(step.id(), step.patience, would);
        }
        for (candidate, term, asked) in step.passed_candidates() {
            let votes = Action::VoteInPassing {
                candidate,
                term,
                asked,
                now,
            };
            let _ = self.carry_out(step.id(), step.patience, votes);
        }
    }

    /// Something happens that is no step of the protocol's.
    pub(crate) fn happens(&mut self, id: ReplicaId, action: Action) -> Result<(), Refused> {
        self.carry_out(id, Duration::ZERO, action)
    }

    fn carry_out(
        &mut self,
        id: ReplicaId,
        patience: Duration,
        action: Action,
    ) -> Result<(), Refused> {
        self.group.step(id, patience, &action)?;
        self.counts.add(&action);
        if let Some(actions) = &mut self.actions {
            actions.push((id, action));
        }
        Ok(())
    }

    fn forget_actions_after(&mut self, count: usize) {
        if let Some(actions) = &mut self.actions {
            actions.truncate(count);
        }
    }

    fn replica(&self, id: ReplicaId) -> &Replica {
        &self.group.replicas[&id]
    }

    /// The replica took a step: names the actions it consists of.
    pub(crate) fn explain(&mut self, step: &Step<'_>) -> Result<(), Refused> {
        self.note_answers(step);
        let turns = step.events().count() + 1;
        let usual = Order {
            turns_first: turns,
            in_term: None,
        };
        if step.causes.len() < 2 || !step.changes_log_and_role() {
            return self.explain_in_order(step, usual);
        }
        let before = self.group.clone();
        let actions = self.actions.as_ref().map_or(0, Vec::len);
        let mut explained = self.explain_in_order(step, usual);
        let leaders = step.causes.iter().filter_map(|cause| cause.leader);
        let terms: BTreeSet<Term> = leaders.map(|(_, term)| term).collect();
        for in_term in [None].into_iter().chain(terms.into_iter().map(Some)) {
            for turns_first in (0..turns).rev() {
                if explained.is_ok() {
                    return explained;
                }
                self.group = before.clone();
                self.forget_actions_after(actions);
                let order = Order {
                    turns_first,
                    in_term,
                };
                explained = self.explain_in_order(step, order);
            }
        }
        explained
    }

    fn explain_in_order(&mut self, step: &Step<'_>, order: Order) -> Result<(), Refused> {
        let turns_first = order.turns_first;
        self.explain_commit(step)?;
        let mut turns = 0;
        for event in step.events().map(Some).chain([None]) {
            if turns == turns_first {
                if let Some(term) = order.in_term {
                    self.reach_term(step, term)?;
                }
                self.explain_log(step)?;
            }
            match event {
                Some(event) => self.explain_event(step, event)?,
                None => self.explain_ballot(step)?,
            }
            turns += 1;
        }
        if turns == turns_first {
            self.explain_log(step)?;
        }
        self.explain_commit(step)?;
        let commit = step.status.commit_index;
        if self.replica(step.id()).commit < commit {
            self.act(step, Action::LearnCommit { index: commit })?;
        }
        for persist in step.persists() {
            let write = self.write_of(persist);
            self.act(step, Action::Ask { write })?;
        }
        self.compare(step)
    }

    /// A leader commits by counting; where the quorum changes in between, in two steps.
    fn explain_commit(&mut self, step: &Step<'_>) -> Result<(), Refused> {
        let (id, target) = (step.id(), step.status.commit_index);
        let replica = self.replica(id);
        if replica.role != Role::Leader || replica.commit >= target {
            return Ok(());
        }
        let (commit, term) = (replica.commit, replica.term());
        let mut index = target.min(replica.log.last_index());
        while index > commit && self.replica(id).log.term_at(index) == Some(term) {
            if self.group.is_on_quorum(id, index) {
                return self.act(step, Action::Commit { index });
            }
            index = index.previous().unwrap_or_default();
        }
        Ok(())
    }

    /// Who leads from here on has learned before of what others committed.
    fn explain_learned(&mut self, step: &Step<'_>) -> Result<(), Refused> {
        let replica = self.replica(step.id());
        let committed = &self.group.history.committed;
        let index = step.status.commit_index.min(committed.last_index());
        match index > replica.commit && replica.log.agrees(committed, index) {
            true => self.act(step, Action::LearnCommit { index }),
            false => Ok(()),
        }
    }

    fn explain_event(&mut self, step: &Step<'_>, event: &protocol::Event) -> Result<(), Refused> {
        match *event {
            protocol::Event::SteppedDown { term, .. } => {
                self.reach_term(step, term)?;
                self.act(step, Action::StepDown)
            }
            protocol::Event::PreVoteStarted { .. } => self.act(step, Action::PreCampaign),
            protocol::Event::ElectionStarted { .. } => self.act(step, Action::Campaign),
            protocol::Event::BecameLeader { .. } => {
                self.explain_learned(step)?;
                self.act(step, Action::Lead)
            }
            protocol::Event::DamageIsCut { log_id } => {
                let from = log_id.index;
                self.act(step, Action::CutDamage { from })
            }
            protocol::Event::SnapshotInstalled { snapshot } => {
                let resets = step.persists().any(|persist| persist.reset.is_some());
                let at = snapshot.index;
                self.act(step, Action::Install { at, resets })
            }
            _ => Ok(()),
        }
    }

    fn reach_term(&mut self, step: &Step<'_>, term: Term) -> Result<(), Refused> {
        if self.replica(step.id()).term() >= term {
            return Ok(());
        }
        let (asked, now) = (step.is_told_by_candidates(term), step.now);
        self.act(step, Action::LearnTerm { term, asked, now })
    }

    /// Its term, its leader and its vote.
    fn explain_ballot(&mut self, step: &Step<'_>) -> Result<(), Refused> {
        let HardState {
            current_term,
            voted_for,
        } = step.status.hard_state;
        self.reach_term(step, current_term)?;
        let now = step.now;
        let candidate = voted_for.filter(|_| voted_for != self.replica(step.id()).ballot.vote);
        if let Some(candidate) = candidate {
            let asked = step.is_asked_by(candidate, current_term);
            let vote = Action::Vote {
                candidate,
                asked,
                now,
            };
            self.act(step, vote)?;
        }
        let heard = step.heard_leader(current_term);
        let follows = step.status.role != RoleKind::Leader;
        match heard.filter(|_| follows) {
            Some(leader) => self.act(step, Action::Hear { leader, now }),
            None => Ok(()),
        }
    }

    /// What became of its log.
    fn explain_log(&mut self, step: &Step<'_>) -> Result<(), Refused> {
        let items: Vec<Item> = step
            .persists()
            .flat_map(|persist| persist.entries.entries())
            .map(item_of)
            .collect();
        let cut = step.persists().find_map(|persist| persist.truncate_from);
        let is_damage =
            |event: &protocol::Event| matches!(event, protocol::Event::DamageIsCut { .. });
        match self.replica(step.id()).role {
            Role::Leader if cut.is_none() && items.is_empty() => Ok(()),
            Role::Leader if cut.is_none() => self.act(step, Action::Append { items }),
            _ if items.is_empty() && (cut.is_none() || step.events().any(is_damage)) => Ok(()),
            _ => self.act(step, Action::Accept { cut, items }),
        }
    }

    fn write_of(&self, persist: &Persist) -> Write {
        let committed = &self.group.history.committed;
        let reset = persist.reset.map(|at| committed.prefix(at.index));
        Write {
            token: persist.token.0,
            ballot: persist.hard_state.map(ballot_of),
            reset,
            cut: persist.truncate_from,
            items: persist.entries.entries().iter().map(item_of).collect(),
        }
    }

    /// Both must be in the same place now.
    fn compare(&self, step: &Step<'_>) -> Result<(), Refused> {
        let (status, replica) = (step.status, self.replica(step.id()));
        let shown = (
            role_of(status.role),
            ballot_of(status.hard_state),
            status.last_log,
            status.commit_index,
        );
        let allowed = (
            replica.role,
            replica.ballot,
            replica.log.last(),
            replica.commit,
        );
        let reason = if shown != allowed {
            format!("the rules have it at {allowed:?}, it shows {shown:?}")
        } else if status.last_applied > replica.applied {
            let (claims, applied) = (status.last_applied, replica.applied);
            format!("it claims to have applied {claims}, and has {applied}")
        } else if !self.group.has_asked_for_all(step.id()) {
            let (asked, ballot, last) = (replica.asked, replica.ballot, replica.log.last());
            format!("it acts by {ballot:?} and {last}, and asked its disk for {asked:?}")
        } else {
            return Ok(());
        };
        Err(Refused {
            replica: step.id(),
            action: "step",
            reason,
        })
    }

    /// A message leaves: it must be true.
    pub(crate) fn says(&mut self, envelope: &Envelope) -> Result<(), Refused> {
        let fact = fact_of(envelope);
        let term = envelope.term;
        self.happens(envelope.from, Action::Say { term, fact })
    }

    /// The disk did everything up to the request with this token.
    pub(crate) fn done_up_to(&mut self, id: ReplicaId, token: u64) -> Result<(), Refused> {
        let under_way = self.replica(id).writes.iter();
        let writes = under_way.take_while(|write| write.token <= token).count();
        self.happens(id, Action::Done { writes })
    }

    /// It stopped, and its disk shows `ballot` and a log that ends with `log` now.
    pub(crate) fn crashed(
        &mut self,
        id: ReplicaId,
        hard_state: HardState,
        is_log: impl Fn(&Log) -> bool,
    ) -> Result<(), Refused> {
        let (mut kept, mut disk) = (0, self.replica(id).disk.clone());
        let ballot = ballot_of(hard_state);
        let mut writes = self.replica(id).writes.iter();
        loop {
            let next = writes.next();
            let and_ballot = ballot != disk.ballot;
            let is_next = next.is_some_and(|write| write.ballot == Some(ballot));
            if is_log(&disk.log) && (!and_ballot || is_next) {
                return self.happens(id, Action::Crash { kept, and_ballot });
            }
            let Some(write) = next else { break };
            disk.save_ballot(write);
            disk.save_log(write);
            kept += 1;
        }
        Err(Refused {
            replica: id,
            action: "crash",
            reason: format!(
                "its disk holds {hard_state:?} and a log that no beginning of what was asked leaves"
            ),
        })
    }
}
