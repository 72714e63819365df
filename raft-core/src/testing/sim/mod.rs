//! A deterministic simulator of a whole group under faults.
//!
//! [`run`] takes a seed through warm-up, faults, healing and a last audit, in
//! virtual time, and checks the safety properties after every step. The
//! protocol runs unchanged; disks, network, clients and clocks are simulated,
//! so that every order of flush, send, apply and crash can occur. The same seed
//! always goes the same way.
//!
//! The rooms: [`plan`] draws what a seed goes through, `world` holds the time
//! and the events, `effects` carries out what replicas ask for, `completions`
//! brings back what came of it, `clients` ask, `faults` breaks things, `observe`
//! asks the `checker`s. `recording` keeps what `page` shows, `user_machine`
//! takes a user's own state machine along.
//!
//! Deliberately absent: bandwidth of links, sessions of clients (P18 comes with them), and
//! disks that lose what they called durable, but for votes.

mod aim;
mod batches;
mod checker;
mod clients;
mod completions;
mod cut_offs;
mod disk;
mod disk_faults;
mod effects;
mod events;
mod faults;
pub(crate) mod image;
#[cfg(test)]
mod lab;
mod lost_votes;
mod machine;
mod network;
mod node;
mod observe;
mod operator;
mod page;
pub mod plan;
mod random;
mod recording;
mod recovery;
mod refined;
pub mod report;
mod shrink;
mod snapshots;
#[cfg(test)]
mod tests;
mod trace;
mod user_machine;
mod workload;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use aim::Aim;
pub use plan::{FAULTS, Plan};
pub use report::{MARKS, Report, Violation};
pub use shrink::shrink;
pub use user_machine::{check_state_machine, run_with};

use world::World;

use crate::testing::spec;

/// Runs `seed` through `plan`.
///
/// A panic of the protocol counts as a violation of what it asserts.
pub fn run(seed: u64, plan: Plan) -> Report {
    conclude(World::new(seed, plan))
}

/// Runs a world to its end.
fn conclude(mut world: World) -> Report {
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()));
    let violation = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(violation)) => Some(violation),
        Err(panic) => Some(Violation::new("the protocol's assertions", words(&*panic))),
    };
    world.record();
    let mut report = world.report;
    report.simulated = std::time::Duration::from_micros(world.now);
    let actions = world.refinement.iter();
    let actions = actions.flat_map(|refinement| refinement.counts.happened());
    report.actions = actions.collect();
    let kept = world.refinement.iter().flat_map(|r| r.actions.as_deref());
    let lines = kept.map(|actions| spec::lines(&world.founders, actions));
    report.action_lines = lines.flatten().collect();
    report.violation = violation;
    report.recording = world.recording;
    if let Some(machines) = &world.user_machines {
        report.machine = machines.counts();
        report.violation = report.violation.map(|found| machines.cause(found));
    }
    report.trace_hash = world.trace.hash;
    report.trace = world.trace.lines;
    report
}

pub(crate) fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").to_owned()
}
