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
//! asks the `checker`s, `user_machine` takes a user's own state machine along.

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
mod image;
#[cfg(test)]
mod lab;
mod lost_votes;
mod machine;
mod network;
mod node;
mod observe;
mod operator;
pub mod plan;
mod random;
mod recovery;
pub mod report;
mod shrink;
mod snapshots;
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
    let mut report = world.report;
    report.simulated = std::time::Duration::from_micros(world.now);
    report.violation = violation;
    if let Some(machines) = &world.user_machines {
        report.machine = machines.counts();
        report.violation = report.violation.map(|found| machines.cause(found));
    }
    report.trace_hash = world.trace.hash;
    report.trace = world.trace.lines;
    report
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_goes_the_same_way() {
        for seed in 0..6 {
            let (first, second) = (run(seed, Plan::default()), run(seed, Plan::default()));
            assert_eq!(first.trace_hash, second.trace_hash, "seed {seed}");
            assert_eq!(first.steps, second.steps, "seed {seed}");
        }
    }

    #[test]
    fn two_seeds_go_different_ways() {
        let hash = |seed| run(seed, Plan::default()).trace_hash;
        assert_ne!(hash(1), hash(2));
    }

    #[test]
    fn a_calm_run_commits_and_keeps_one_leader() {
        let plan = Plan {
            replicas: Some(3),
            calm: true,
            ..Plan::default()
        };
        let report = run(5, plan);
        assert_eq!(report.violation, None);
        assert_eq!(report.leaders, 1);
        assert!(report.acknowledged > 10 && report.faults.is_empty());
    }
}
