//! Whole runs, and that each checker is asked.

mod wiring;

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
