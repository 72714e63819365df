//! Brings back what disks and state machines finished.

use super::checker::{Check, hard_state};
use super::disk::HardStateChanges;
use super::effects::voter;
use super::machine::Job;
use super::recording::What;
use super::world::{Event, World};
use crate::entry::LogSlice;
use crate::protocol::{Apply, Input, ReadLog};
use crate::testing::spec::Action;
use crate::types::ReplicaId;

impl World {
    /// Schedules the end of the sync under way.
    pub(crate) fn schedule_disk(&mut self, place: usize) {
        let node = &self.nodes[place];
        let life = node.life;
        let delay = self.disk_random.around(self.disk_pace);
        let at = (self.now + delay).max(node.disk.stalled_until);
        self.schedule_at(at, Event::DiskDone { node: place, life });
    }

    /// A sync returned.
    pub(crate) fn disk_done(&mut self, place: usize) -> Check {
        let node = &mut self.nodes[place];
        let id = node.replica;
        if node.disk.stalled_until > self.now {
            self.schedule_disk(place);
            return Ok(());
        }
        let (token, count, changes) = node.disk.complete(&mut self.disk_random)?;
        self.check_hard_states(id, changes)?;
        self.note_done(id, token)?;
        if count > 1 {
            self.report.mark("several writes became durable at once");
        }
        if !self.nodes[place].disk.is_idle() {
            self.schedule_disk(place);
        }
        if self.fault_random.chance(self.faults.crash_after_persist) {
            return self.crash(place, "crash after a persist");
        }
        for log_id in std::mem::take(&mut self.nodes[place].disk.mended) {
            self.checkers.corruption.whole_again(id, log_id.index);
            self.handle(place, Input::Repaired(log_id))?;
        }
        let Some(token) = token else { return Ok(()) };
        self.trace.note(&[3, place as u64, token.0]);
        self.trace
            .line(self.now, || format!("{id} persisted {token:?}"));
        self.tell(place, What::Write, || {
            format!("all up to write {} is durable", token.0)
        });
        self.handle(place, Input::Persisted(token))
    }

    /// Durable terms and votes changed.
    pub(crate) fn check_hard_states(
        &mut self,
        replica: ReplicaId,
        changes: HardStateChanges,
    ) -> Check {
        for (old, new) in changes {
            hard_state::changed(replica.node, old, new)?;
            if let Some(candidate) = new.voted_for {
                let (voter, term) = (voter(replica), new.current_term);
                self.checkers.votes.votes(voter, term, candidate.node)?;
            }
        }
        Ok(())
    }

    /// Answers a log read from what is durable now; now and then with nothing,
    /// which the contract allows.
    pub(crate) fn log_read(&mut self, place: usize, request: ReadLog) -> Check {
        let disk = &self.nodes[place].disk;
        let (entries, corrupt) = match self.disk_random.chance(200) {
            true => (LogSlice::empty(), None),
            false => disk.read(request),
        };
        let token = request.token;
        self.trace.note(&[4, place as u64, entries.len() as u64]);
        self.handle(
            place,
            Input::LogRead {
                token,
                entries,
                corrupt,
            },
        )
    }

    /// Hands a job to the state machine of a node.
    pub(crate) fn begin_job(&mut self, place: usize, job: Job) {
        if self.nodes[place].machine.begin(job) {
            self.schedule_job(place);
        }
    }

    fn schedule_job(&mut self, place: usize) {
        let life = self.nodes[place].life;
        let slowest = match self.nodes[place].machine.restores_next() {
            true => 300_000,
            false => 3000,
        };
        let delay = self.machine_random.between(10, slowest);
        self.schedule(delay, Event::ApplyDone { node: place, life });
    }

    /// The state machine finished a job.
    pub(crate) fn job_done(&mut self, place: usize) -> Check {
        let Some(job) = self.nodes[place].machine.next_job() else {
            return Ok(());
        };
        if !self.nodes[place].machine.is_idle() {
            self.schedule_job(place);
        }
        match job {
            Job::Apply(batch) => self.applied(place, batch),
            Job::Checkpoint => {
                self.begin_checkpoint(place);
                self.tell_user_machines(|machines| machines.begin_checkpoint(place))
            }
            Job::Restore(token, image) => self.restored(place, token, &image),
        }
    }

    /// The state as it is now becomes durable, some time later.
    fn begin_checkpoint(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        node.machine.checkpoint = Some(node.machine.state.clone());
        let (node, life) = (place, node.life);
        let delay = self.machine_random.between(10, 100_000);
        self.schedule(delay, Event::CheckpointDone { node, life });
    }

    /// A checkpoint is over; now and then it failed.
    pub(crate) fn checkpoint_done(&mut self, place: usize) -> Check {
        let fails = self.machine_random.chance(500);
        self.tell_user_machines(|machines| machines.finish_checkpoint(place))?;
        let machine = &mut self.nodes[place].machine;
        let state = machine.checkpoint.take().filter(|_| !fails);
        if let Some(state) = state {
            let durable = state.applied();
            if durable < machine.state.applied() {
                self.report.mark("entries were applied during a checkpoint");
            }
            machine.finish_checkpoint(state);
            self.note_state_durable(place)?;
            self.trace.note(&[6, place as u64, durable.get()]);
            self.handle(place, Input::StateDurable(durable))?;
        }
        self.handle(place, Input::CheckpointEnded)
    }

    /// The state machine becomes durable as it is.
    fn flush(&mut self, place: usize) -> Check {
        let machine = &mut self.nodes[place].machine;
        machine.flush();
        let durable = machine.durable.applied();
        self.note_state_durable(place)?;
        self.trace.note(&[6, place as u64, durable.get()]);
        self.handle(place, Input::StateDurable(durable))
    }

    /// The state machine finished a batch: clients get their answers.
    fn applied(&mut self, place: usize, batch: Apply) -> Check {
        let node = &mut self.nodes[place];
        let (id, leads) = (node.id(), node.leads());
        for entry in batch.entries.entries() {
            let previous = node.machine.state.applied();
            node.machine.apply(entry);
            let state = &node.machine.state;
            self.checkers
                .states
                .applied(id, previous, state.applied(), state.digest)?;
        }
        if let Some(index) = batch.entries.last().map(|last| last.index) {
            let id = self.nodes[place].replica;
            self.note_action(id, Action::Apply { index })?;
        }
        self.user_machine_applies(place, &batch.entries)?;
        for (index, ticket) in batch.proposals {
            let request = self.nodes[place].request(ticket);
            self.checkers.proposals.acknowledged(request, index)?;
            self.checkers.reads.acknowledged(index);
            self.checkers.register.acknowledged(request, self.now);
            self.nodes[place].has_written = true;
            self.report.acknowledged += 1;
            self.tell(place, What::Client, || {
                format!("acknowledges request {} at {index}", ticket.0)
            });
            if !leads {
                self.report.mark("a forwarded proposal was acknowledged");
            }
        }
        if self.fault_random.chance(self.faults.crash_after_apply) {
            return self.crash(place, "crash after an apply");
        }
        let applied = self.nodes[place].machine.state.applied();
        self.trace.note(&[5, place as u64, applied.get()]);
        self.trace
            .line(self.now, || format!("{id} applied {applied}"));
        self.handle(place, Input::Applied(applied))?;
        match self.machine_random.chance(2000) && self.nodes[place].raft.is_some() {
            true => self.flush(place),
            false => Ok(()),
        }
    }
}
