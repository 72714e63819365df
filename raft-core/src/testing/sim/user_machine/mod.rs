//! A user's state machine under the simulator's faults.
//!
//! Each node runs one beside the simulator's own, which is only a digest: it is
//! given the same entries, checkpoints, snapshots and crashes, and its calls are
//! carried out at once. Commands are the user's: the simulator's say only which.
//! The protocol sees nothing of it, so that a seed goes the same way with and
//! without.
//!
//! What a crash takes is the user's affair, too. A node whose own state machine is
//! behind the digest after a restart is given what it lacks from the history of the
//! run, as its log would.

mod executor;
mod history;
mod hooks;
mod machines;
mod replica;

use std::collections::BTreeMap;
use std::fmt;

use self::machines::Machines;
use super::checker::Check;
use super::conclude;
use super::machine::Job;
use super::plan::Plan;
use super::report::{Report, Violation};
use super::world::World;
use crate::entry::LogSlice;
use crate::testing::conformance::state_machine::StateMachineHarness;
use crate::types::LogIndex;

/// Runs `seed` through `plan` like [`run`](super::run), with a state machine of
/// `harness` on each node.
///
/// The report counts in [`Report::machine`] what it went through. See
/// [`check_state_machine`] for what is checked.
pub fn run_with<H>(seed: u64, plan: Plan, harness: &H) -> Report
where
    H: StateMachineHarness + 'static,
{
    let mut world = World::new(seed, plan);
    let (nodes, founders) = (world.nodes.len(), world.founders.clone());
    let machines = Machines::new(seed, nodes, founders, harness.another());
    world.user_machines = Some(Box::new(machines));
    conclude(world)
}

/// Runs a state machine through these seeds, and panics at the first duty that it
/// breaks, with its number and words, the seed, the index, who differs and where.
///
/// The harness is the one of
/// [`state_machine_conformance!`](crate::state_machine_conformance). What that suite
/// checks one by one happens here together, and to several replicas:
///
/// - every replica gives the same answer to an entry, and holds the same state after
///   it, whatever batches it got and however often it crashed in between (1, 2, 4);
/// - after a crash, in an apply too, the state is what the log up to its position
///   makes, and the position is not below what it called durable (3, 5, 7);
/// - a state restored from a snapshot is what the log up to there makes; a broken
///   stream changes nothing, and a crash in a restore leaves the one or the other
///   (6, 8).
///
/// A state machine whose calls need a runtime needs one with threads of its own,
/// entered around this call.
///
/// # Panics
///
/// At the first duty broken, with what repeats it; and if no seed was given, because
/// then nothing was checked.
pub fn check_state_machine<H>(harness: &H, seeds: impl IntoIterator<Item = u64>) -> Report
where
    H: StateMachineHarness + 'static,
{
    let mut total = Report::default();
    for seed in seeds {
        let report = run_with(seed, Plan::default(), harness);
        if let Some(violation) = &report.violation {
            panic!(
                "seed {seed} breaks {violation}\n  repeat: \
                 raft_core::testing::sim::run_with({seed}, Plan::default(), &harness)"
            );
        }
        total.add(&report);
    }
    assert!(
        total.runs > 0,
        "no seed was given, so nothing was checked; give some, like 0..20"
    );
    total
}

/// What happens to the user's state machines, one on each node.
pub(crate) trait UserMachines: fmt::Debug {
    /// The node's state machine opens, and is brought to where the digest stands.
    fn start(&mut self, place: usize, applied: LogIndex) -> Check;

    /// The node stops, perhaps in the middle of this job.
    fn crash(&mut self, place: usize, job: Option<&Job>) -> Check;

    /// The node lost all it had.
    fn wipe(&mut self, place: usize);

    fn apply(&mut self, place: usize, entries: &LogSlice) -> Check;

    fn begin_checkpoint(&mut self, place: usize) -> Check;

    fn finish_checkpoint(&mut self, place: usize) -> Check;

    /// Begins a snapshot; answers its number.
    fn snapshot(&mut self, place: usize) -> Result<usize, Violation>;

    /// Restores a snapshot, or is given a stream that breaks.
    fn restore(&mut self, place: usize, snapshot: usize, is_whole: bool) -> Check;

    /// A last look.
    fn audit(&mut self) -> Check;

    /// What broke first, if this was found: a state machine that is not deterministic
    /// seems to break other duties, too.
    fn cause(&self, found: Violation) -> Violation;

    /// What they went through.
    fn counts(&self) -> BTreeMap<&'static str, u64>;
}
