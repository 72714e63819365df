//! A few hundred seeds of the simulator in the ordinary test run.
//!
//! `cargo xtask sim --seeds N` runs more of them, and faster.

use raft_core::testing::sim::{Plan, Report, run};

/// Runs these seeds, and panics at the first violation with what replays it.
fn all_hold(seeds: std::ops::Range<u64>, plan: &Plan) -> Report {
    let mut total = Report::default();
    for seed in seeds {
        let report = run(seed, plan.clone());
        if let Some(violation) = &report.violation {
            panic!(
                "seed {seed} violates {violation}\n  replay: cargo xtask sim --seeds 1 --seed {seed}"
            );
        }
        total.add(&report);
    }
    total
}

#[test]
fn a_few_hundred_seeds_hold_every_property_and_meet_most_situations() {
    let total = all_hold(0..200, &Plan::default());
    assert!(
        total.acknowledged > 10_000,
        "only {} writes",
        total.acknowledged
    );
    let missed = total.marks_missed();
    assert!(missed.len() < 4, "never met: {missed:?}");
}

#[test]
fn groups_without_faults_elect_once_and_never_again() {
    for replicas in 1..=7 {
        let plan = Plan {
            replicas: Some(replicas),
            calm: true,
            ..Plan::default()
        };
        let total = all_hold(1000..1003, &plan);
        assert_eq!(total.leaders, 3, "{replicas} replicas, three runs");
    }
}
