//! The state of a group, and how an action is carried out or refused.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::action::Action;
use super::history::History;
use super::log::Log;
use super::replica::Replica;
use crate::membership::Membership;
use crate::types::ReplicaId;

/// All replicas that ever were, and what was ever said.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Group {
    pub(crate) replicas: BTreeMap<ReplicaId, Replica>,
    pub(crate) history: History,
}

/// An action that no rule allows.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) replica: ReplicaId,
    pub(crate) action: &'static str,
    /// The rule, and what speaks against it.
    pub(crate) reason: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            replica,
            action,
            reason,
        } = self;
        write!(f, "{replica} may not {action}: {reason}")
    }
}

/// What a rule answers: nothing, or why not.
pub(super) type Ruled = Result<(), String>;

/// Refuses with `reason` unless `holds`.
pub(super) fn require(holds: bool, reason: impl FnOnce() -> String) -> Ruled {
    match holds {
        true => Ok(()),
        false => Err(reason()),
    }
}

impl Group {
    /// A group of `founders` that nobody has joined yet.
    pub(crate) fn new(founders: Arc<Membership>) -> Self {
        Self {
            replicas: BTreeMap::new(),
            history: History {
                committed: Log::founded_by(founders),
                ..History::default()
            },
        }
    }

    /// Something happens to `id`, or is refused. Votes are refused for `patience` after
    /// a leader was heard.
    pub(crate) fn step(
        &mut self,
        id: ReplicaId,
        patience: Duration,
        action: &Action,
    ) -> Result<(), Refused> {
        self.carry_out(id, patience, action)
            .map_err(|reason| Refused {
                replica: id,
                action: action.name(),
                reason,
            })
    }

    fn carry_out(&mut self, id: ReplicaId, patience: Duration, action: &Action) -> Ruled {
        match action {
            Action::Join { founders } => self.join(id, founders),
            Action::NextLife { next } => self.next_life(id, *next),
            Action::Start { now } => self.start(id, *now),
            Action::Crash { kept, and_ballot } => self.crash(id, *kept, *and_ballot),
            Action::LearnTerm { term, asked, now } => {
                self.learn_term(id, *term, asked.then_some((*now, patience)))
            }
            Action::Hear { leader, now } => self.hear(id, *leader, *now),
            Action::PreCampaign => self.pre_campaign(id),
            Action::Campaign => self.campaign(id),
            Action::Vote {
                candidate,
                asked,
                now,
            } => self.vote(id, *candidate, asked.then_some((*now, patience))),
            Action::VoteInPassing {
                candidate,
                term,
                asked,
                now,
            } => {
                let asked = asked.then_some((*now, patience));
                self.vote_in_passing(id, (*term, *candidate), asked)
            }
            Action::WouldVote {
                candidate,
                term,
                last_log,
                now,
            } => self.would_vote(id, (*term, *candidate), *last_log, (*now, patience)),
            Action::Lead => self.lead(id),
            Action::StepDown => self.step_down(id),
            Action::Append { items } => self.append(id, items),
            Action::Accept { cut, items } => self.accept(id, *cut, items),
            Action::CutDamage { from } => self.cut_damage(id, *from),
            Action::Restore { at } => self.restore(id, *at),
            Action::Install { at, resets } => self.install(id, *at, *resets),
            Action::Commit { index } => self.commit(id, *index),
            Action::LearnCommit { index } => self.learn_commit(id, *index),
            Action::Apply { index } => self.apply(id, *index),
            Action::StateDurable { index } => self.state_durable(id, *index),
            Action::Ask { write } => self.ask(id, write),
            Action::Done { writes } => self.done(id, *writes),
            Action::Say { term, fact } => self.say(id, *term, *fact),
        }
    }

    /// `id`, whether it runs or not.
    pub(super) fn known(&mut self, id: ReplicaId) -> Result<&mut Replica, String> {
        let replica = self.replicas.get_mut(&id);
        let replica = replica.ok_or_else(|| "nobody knows it".to_owned())?;
        match replica.has_ended {
            true => Err("its vote is lost, and its node goes on as a later replica".to_owned()),
            false => Ok(replica),
        }
    }

    /// `id`, which runs.
    pub(super) fn running(&mut self, id: ReplicaId) -> Result<&mut Replica, String> {
        let replica = self.known(id)?;
        match replica.role {
            super::Role::Down => Err("it does not run".to_owned()),
            _ => Ok(replica),
        }
    }
}
