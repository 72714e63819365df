//! A user's state machine under the simulator: a right one passes, and one that
//! breaks a duty is caught by its number.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails by panicking"
)]

mod ledger;

use std::collections::BTreeSet;

use ledger::{Flaw, Harness};
use raft_core::testing::sim::{Plan, Violation, check_state_machine, run, run_with};

#[test]
fn a_right_one_passes_and_goes_through_everything() {
    let report = check_state_machine(&Harness::with(None), 0..25);

    let met: BTreeSet<_> = report.machine.keys().copied().collect();
    let expected = [
        "checkpoints",
        "crashes in a restore",
        "crashes in an apply",
        "entries applied",
        "restores",
        "restores of a broken stream",
        "snapshots",
        "starts",
        "starts that applied again",
        "states compared",
    ];
    assert_eq!(met, BTreeSet::from(expected), "{:?}", report.machine);
}

#[test]
fn a_seed_goes_the_same_way_with_and_without() {
    for seed in 0..4 {
        let alone = run(seed, Plan::default());
        let together = run_with(seed, Plan::default(), &Harness::with(None));
        assert_eq!(alone.trace_hash, together.trace_hash, "seed {seed}");
        assert!(alone.machine.is_empty() && !together.machine.is_empty());
    }
}

/// What the first of a few seeds finds that finds anything.
fn caught(flaw: Flaw) -> Violation {
    let found = (0..40).find_map(|seed| {
        let report = run_with(seed, Plan::default(), &Harness::with(Some(flaw)));
        report.violation
    });
    found.unwrap_or_else(|| panic!("{flaw:?} is not caught"))
}

/// Each flaw is caught, and each as the duty that it breaks.
macro_rules! each_is_caught {
    ($($name:ident: $flaw:ident breaks $duty:literal;)*) => {
        $(#[test]
        fn $name() {
            let violation = caught(Flaw::$flaw);
            assert_eq!(violation.property, $duty, "{violation}");
        })*
    };
}

each_is_caught! {
    an_answer_by_chance_is_caught: AnswersByChance breaks "duty 1, deterministic";
    a_state_in_random_order_is_caught: HoldsInRandomOrder breaks "duty 1, deterministic";
    an_answer_by_batch_is_caught: AnswersByBatch breaks "duty 1, deterministic";
    what_skips_after_a_crash_is_caught: SkipsAfterACrash breaks "duty 2, in order and once";
    a_position_without_its_effect_is_caught:
        WritesThePositionFirst breaks "duty 3, atomic with its position";
    an_effect_without_its_position_is_caught:
        WritesThePositionLast breaks "duty 3, atomic with its position";
    a_missing_answer_is_caught: AnswersCommandsAlone breaks "duty 4, one response per entry";
    pretended_durability_is_caught: PretendsToBeDurable breaks "duty 5, honest durability";
    a_snapshot_of_a_later_moment_is_caught: SnapshotsLater breaks "duty 6, snapshots are a moment";
    a_snapshot_that_lacks_something_is_caught:
        SnapshotsTooLittle breaks "duty 6, snapshots are a moment";
    a_checkpoint_that_names_too_much_is_caught:
        CheckpointsTooMuch breaks "duty 7, checkpoints are honest";
    a_checkpoint_that_names_too_little_is_caught:
        CheckpointsTooLittle breaks "duty 7, checkpoints are honest";
    a_state_emptied_for_a_broken_stream_is_caught:
        EmptiesItselfFirst breaks "duty 8, restore is all or nothing";
    a_restore_that_a_crash_takes_back_is_caught:
        RestoresInMemory breaks "duty 8, restore is all or nothing";
    a_restore_that_a_crash_leaves_half_done_is_caught:
        RestoresPieceByPiece breaks "duty 8, restore is all or nothing";
    a_call_that_never_ends_is_caught: NeverEnds breaks "calls end";
    a_panic_is_caught: Panics breaks "calls do not panic";
}

#[test]
fn a_difference_names_the_index_and_both_replicas() {
    let violation = caught(Flaw::AnswersByChance);

    assert!(
        violation.reason.starts_with("the answer to the entry at "),
        "{violation}"
    );
    assert_eq!(
        violation.reason.matches(" has \"").count(),
        2,
        "{violation}"
    );
}

#[test]
#[should_panic(expected = "breaks duty 5, honest durability")]
fn the_panic_names_the_duty() {
    let flawed = Harness::with(Some(Flaw::PretendsToBeDurable));
    check_state_machine(&flawed, 0..40);
}

#[test]
#[should_panic(expected = "no seed was given, so nothing was checked")]
fn to_check_nothing_is_refused() {
    check_state_machine(&Harness::with(None), []);
}
