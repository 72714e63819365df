//! What waited when the loop looked, as the protocol takes it in: together.

use super::driver::Driver;
use super::error::NodeError;
use super::inbound::{Completion, NewProposal, NewRead};
use crate::protocol::{Consistency, Input, Proposal};
use crate::storage_health::StorageHealth;
use crate::time::Timestamp;

impl Driver {
    /// Has the protocol take in all that waited, and then the time.
    pub(super) fn handle_turn(&mut self, now: Timestamp) -> Result<(), NodeError> {
        let mut completions = std::mem::take(&mut self.turn.completions);
        let taken = self.take_completions(&mut completions);
        self.turn.completions = completions;
        if taken.is_err() {
            // The rest of the turn stays, to be refused.
            self.handle_inputs(now);
            return taken;
        }
        let messages = self.turn.messages.drain(..).map(Input::Message);
        self.metrics
            .messages_received
            .increment(messages.len() as u64);
        self.inputs.extend(messages);
        self.take_proposals();
        self.take_reads();
        self.handle_inputs(now);

        let mut turn = std::mem::take(&mut self.turn);
        for request in turn.requests.drain(..) {
            self.handle_request(now, request);
        }
        for offered in turn.offers.drain(..) {
            self.handle_offer(now, offered);
        }
        self.turn = turn;
        self.ask_health(now);
        self.at_state_machine.expire(now);
        // Last: what was in the inbox may have made the timeout pointless.
        if self.held_up.lets_fire(self.raft.poll_timeout(), now) {
            self.raft.handle(now, Input::Tick);
        }
        Ok(())
    }

    /// Has the protocol take in what was gathered for it.
    pub(super) fn handle_inputs(&mut self, now: Timestamp) {
        if !self.inputs.is_empty() {
            self.raft.handle_all(now, self.inputs.drain(..));
        }
    }

    /// Gathers what completions say to the protocol.
    ///
    /// # Errors
    ///
    /// When one says that the node cannot go on; those after it are dropped.
    pub(super) fn take_completions(
        &mut self,
        completions: &mut Vec<Completion>,
    ) -> Result<(), NodeError> {
        let mut completions = completions.drain(..);
        completions.try_for_each(|completion| self.take_completion(completion))
    }

    fn take_completion(&mut self, completion: Completion) -> Result<(), NodeError> {
        let input = match completion {
            Completion::Persisted(token) => Input::Persisted(token),
            Completion::Repaired(log_id) => Input::Repaired(log_id),
            Completion::Damaged(log_id) => Input::EntryDamaged(log_id),
            Completion::LogRead {
                token,
                entries,
                corrupt,
            } => Input::LogRead {
                token,
                entries,
                corrupt,
            },
            Completion::Applied { index, durable } => {
                let rises = durable > self.durable_applied;
                self.durable_applied = durable;
                self.at_state_machine.end();
                self.inputs.push(Input::Applied(index));
                if !rises {
                    return Ok(());
                }
                Input::StateDurable(durable)
            }
            Completion::Checkpointed(durable) => {
                self.durable_applied = self.durable_applied.max(durable);
                self.operator.checkpointed(durable);
                self.report_checkpoint(durable);
                self.inputs.push(Input::StateDurable(durable));
                Input::CheckpointEnded
            }
            Completion::SnapshotReady { token, snapshot } => {
                self.send_snapshot(token, snapshot);
                return Ok(());
            }
            Completion::SnapshotSent { token, installed } => {
                self.outgoing.ended(token);
                Input::SnapshotSent { token, installed }
            }
            Completion::SnapshotProgress(token) => Input::SnapshotProgress(token),
            Completion::SnapshotRestored { token, ok } => Input::SnapshotRestored { token, ok },
            Completion::Failed(error) => {
                // A leader that cannot go on hands over at once if somebody is ready.
                let closed = Input::StorageHealth(StorageHealth::Closed);
                self.inputs.push(closed);
                return Err(error);
            }
        };
        self.inputs.push(input);
        Ok(())
    }

    fn take_proposals(&mut self) {
        if self.turn.proposals.is_empty() {
            return;
        }
        let proposals = self.turn.proposals.drain(..);
        self.metrics.proposals.increment(proposals.len() as u64);
        let proposals = proposals.map(|NewProposal { command, reply }| Proposal {
            ticket: self.proposals.insert(reply),
            command,
        });
        self.inputs.push(Input::Propose(proposals.collect()));
    }

    fn take_reads(&mut self) {
        if self.turn.reads.is_empty() {
            return;
        }
        self.metrics.reads.increment(self.turn.reads.len() as u64);
        let mut by_consistency = [
            (Consistency::Stale, Vec::new()),
            (Consistency::Lease, Vec::new()),
            (Consistency::Linearizable, Vec::new()),
        ];
        for NewRead { consistency, reply } in self.turn.reads.drain(..) {
            let ticket = self.reads.insert(reply);
            let group = by_consistency.iter_mut().find(|(c, _)| *c == consistency);
            group.expect("all are listed").1.push(ticket);
        }
        let reads = by_consistency.into_iter();
        let reads = reads.filter(|(_, tickets)| !tickets.is_empty());
        self.inputs
            .extend(reads.map(|(consistency, tickets)| Input::Read {
                consistency,
                tickets,
            }));
    }
}
