//! Keeps the specification beside a run, and has every step explained by it (P22).

use super::checker::Check;
use super::report::Violation;
use super::world::World;
use crate::hard_state::HardState;
use crate::message::Envelope;
use crate::protocol::{Output, PersistToken};
use crate::testing::refinement::Step;
use crate::testing::spec::{Action, Refused};
use crate::types::{LogId, ReplicaId};

impl World {
    /// A node took a step, with these outputs.
    pub(super) fn explain(&mut self, place: usize, outputs: &[Output]) -> Check {
        let causes = std::mem::take(&mut self.causes);
        let (Some(refinement), node) = (&mut self.refinement, &self.nodes[place]) else {
            return Ok(());
        };
        let Some(raft) = &node.raft else {
            return Ok(());
        };
        let step = Step {
            now: node.clock(self.now),
            patience: node.patience,
            causes: &causes,
            status: &raft.status(),
            outputs,
        };
        refinement.explain(&step).map_err(violation)
    }

    /// A node starts; who was never seen joins first.
    pub(super) fn explain_start(&mut self, place: usize) -> Check {
        let (now, node) = (self.nodes[place].clock(self.now), &self.nodes[place]);
        let (id, founders) = (node.replica, &node.founders);
        let ends = node.disk.log.last();
        let Some(refinement) = &mut self.refinement else {
            return Ok(());
        };
        if !refinement.group.replicas.contains_key(&id) {
            let founders = std::sync::Arc::new(founders.clone());
            refinement
                .happens(id, Action::Join { founders })
                .map_err(violation)?;
        }
        self.causes.clear();
        refinement
            .happens(id, Action::Start { now })
            .map_err(violation)?;
        match refinement.group.replicas[&id].log.last() {
            last if last == ends => Ok(()),
            last => {
                let reason = format!("{id} starts with a log up to {ends}, the rules say {last}");
                Err(Violation::new(PROPERTY, reason))
            }
        }
    }

    /// Something happens beside the protocol: to a disk, a state machine, a vote.
    pub(super) fn note_action(&mut self, id: ReplicaId, action: Action) -> Check {
        match &mut self.refinement {
            Some(refinement) => refinement.happens(id, action).map_err(violation),
            None => Ok(()),
        }
    }

    /// A state machine says how far it is durable.
    pub(super) fn note_state_durable(&mut self, place: usize) -> Check {
        let node = &self.nodes[place];
        let (id, index) = (node.replica, node.machine.durable.applied());
        let known = self.refinement.as_ref();
        let known = known.and_then(|known| known.group.replicas.get(&id));
        match known.is_some_and(|known| known.disk.state == index) {
            // It says so again.
            true => Ok(()),
            false => self.note_action(id, Action::StateDurable { index }),
        }
    }

    pub(super) fn note_message(&mut self, envelope: &Envelope) -> Check {
        match &mut self.refinement {
            Some(refinement) => refinement.says(envelope).map_err(violation),
            None => Ok(()),
        }
    }

    pub(super) fn note_done(&mut self, id: ReplicaId, token: Option<PersistToken>) -> Check {
        match (&mut self.refinement, token) {
            (Some(refinement), Some(token)) => {
                refinement.done_up_to(id, token.0).map_err(violation)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn note_crash(&mut self, id: ReplicaId, kept: HardState, last: LogId) -> Check {
        match &mut self.refinement {
            Some(refinement) => refinement
                .crashed(id, kept, |log| log.last() == last)
                .map_err(violation),
            None => Ok(()),
        }
    }
}

const PROPERTY: &str = "P22 refinement";

#[allow(clippy::needless_pass_by_value, reason = "it is what maps an error")]
fn violation(refused: Refused) -> Violation {
    Violation::new(PROPERTY, refused.to_string())
}
