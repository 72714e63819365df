//! A loop that is busy takes in what waits meanwhile together, as one step.
//!
//! In some runs inputs wait a moment at their node. What the checkers must tell
//! apart, and the time, is taken in alone, after what waits.

use super::checker::Check;
use super::effects::uses_lease;
use super::random::{Concern, Random};
use super::world::{Event, Phase, World};
use crate::message::Message;
use crate::protocol::Input;
use crate::testing::refinement::Cause;

/// That a disk has done something by the end of a turn that entries open, in ten thousand.
const DISK_HURRIES: u64 = 2000;

/// How often inputs wait, and for how long.
#[derive(Debug)]
pub(crate) struct Batches {
    random: Random,
    /// That an input waits, in ten thousand.
    rate: u64,
    /// For how long at most, in microseconds.
    longest: u64,
}

impl Batches {
    /// Draws them, if the plan has them.
    pub(crate) fn draw(seed: u64, has_any: bool) -> Self {
        let mut random = Random::stream(seed, Concern::Batches);
        let rate = match random.chance(4000) && has_any {
            true => random.between(1000, 9000),
            false => 0,
        };
        let longest = random.between(20, 5000);
        Self {
            random,
            rate,
            longest,
        }
    }

    /// Whether this run has any.
    pub(crate) const fn are_drawn(&self) -> bool {
        self.rate > 0
    }
}

impl World {
    /// Something is there for a node to take in: it does, at once or with what
    /// else comes in the next moment.
    pub(crate) fn handle(&mut self, place: usize, input: Input) -> Check {
        let node = &mut self.nodes[place];
        if node.raft.is_none() {
            return Ok(());
        }
        if !may_wait(&input) {
            self.take_in_waiting(place)?;
            return self.take_in(place, input);
        }
        if !node.waiting.is_empty() {
            node.waiting.push(input);
            return Ok(());
        }
        let batches = &mut self.batches;
        if !batches.random.chance(batches.rate) {
            return self.take_in(place, input);
        }
        let delay = batches.random.between(0, batches.longest);
        // What the disk had to do may be done in the very turn that makes it moot.
        let hurries = brings_entries(&input) && batches.random.chance(DISK_HURRIES);
        node.waiting.push(input);
        let life = node.life;
        if hurries && self.phase == Phase::Faults {
            self.hurry_disk(place, delay);
        }
        self.schedule(delay, Event::Turn { node: place, life });
        Ok(())
    }

    /// A node takes in all that waits, as one step.
    pub(crate) fn take_in_waiting(&mut self, place: usize) -> Check {
        let node = &mut self.nodes[place];
        let clock = node.clock(self.now);
        let inputs = std::mem::take(&mut node.waiting);
        let Some(raft) = node.raft.as_mut().filter(|_| !inputs.is_empty()) else {
            return Ok(());
        };
        self.takes_in_together = inputs.len() > 1;
        self.causes = inputs.iter().map(Cause::of).collect();
        if self.takes_in_together {
            self.report.mark("several inputs were taken in together");
        }
        raft.handle_all(clock, inputs);
        let settled = self.settle(place);
        self.takes_in_together = false;
        settled
    }
}

fn brings_entries(input: &Input) -> bool {
    match input {
        Input::Message(envelope) => match &envelope.message {
            Message::AppendEntries(body) => !body.entries.is_empty(),
            _ => false,
        },
        _ => false,
    }
}

fn may_wait(input: &Input) -> bool {
    match input {
        Input::Message(_)
        | Input::Propose(_)
        | Input::Persisted(_)
        | Input::Repaired(_)
        | Input::LogRead { .. }
        | Input::Applied(_)
        | Input::StateDurable(_)
        | Input::CheckpointEnded => !uses_lease(input),
        _ => false,
    }
}
