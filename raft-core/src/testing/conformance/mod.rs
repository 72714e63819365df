//! One check per numbered duty, for the author of a backend.
//!
//! Implement the harness for your store (how it is opened, crashed and damaged),
//! then let the macro make a test of each check:
//!
//! ```ignore
//! raft_core::log_store_conformance!(MyHarness::new());
//! raft_core::stable_store_conformance!(MyHarness::new());
//! raft_core::state_machine_conformance!(MyHarness::new());
//! raft_core::network_conformance!(MyHarness::new());
//! ```
//!
//! The tests are `#[tokio::test]`s; a second argument names another attribute for
//! asynchronous tests, as in `log_store_conformance!(MyHarness::new(), smol_potat::test)`.
//! The checks themselves are plain `async fn`s and need no runtime of their own.
//!
//! A failed check panics with the number and the words of the duty. The suites
//! crash and reopen the store: one that only pretends to be durable fails. What a
//! harness cannot do (damage a payload, fail a write) is not checked, and the
//! output of the test says so. For stores that keep files, [`files`] has harnesses that
//! need little more than how the store is opened.

pub(in crate::testing) mod chunks;
mod cut_off;
mod failing;
pub mod files;
mod history;
pub mod log_store;
pub mod network;
pub mod stable_store;
pub mod state_machine;

use std::future::poll_fn;
use std::task::Poll;

/// Makes a test of each check of [`log_store`], in a module `log_store_conformance`.
///
/// The first argument is an expression that makes a harness over an empty place; it
/// is evaluated per test. The second is the attribute of the tests, `tokio::test` if
/// it is left out.
#[macro_export]
macro_rules! log_store_conformance {
    ($harness:expr) => {
        $crate::log_store_conformance!($harness, tokio::test);
    };
    ($harness:expr, $test:meta) => {
        mod log_store_conformance {
            use super::*;

            $crate::conformance_tests!(log_store, $harness, $test, {
                an_append_survives_a_crash,
                an_append_interrupted_by_a_crash_is_all_or_nothing,
                an_append_cut_off_at_any_operation_is_all_or_nothing,
                appends_take_effect_in_order,
                calls_in_flight_take_effect_in_order,
                a_long_history_reads_as_its_calls_say,
                a_gap_an_overlap_and_a_cut_below_the_purge_are_refused,
                each_index_reads_as_entry_or_absent,
                every_kind_of_entry_comes_back_as_it_was,
                a_damaged_payload_is_corrupt_and_never_data,
                a_repair_replaces_the_very_same_entry_and_nothing_else,
                reads_stop_at_the_byte_limit,
                metadata_outlives_a_damaged_payload,
                a_purge_is_remembered,
                bounds_are_the_truth_after_a_crash,
                a_reset_replaces_the_whole_log,
                a_reset_interrupted_by_a_crash_is_all_or_nothing,
                a_reset_cut_off_at_any_operation_is_all_or_nothing,
                after_a_failed_write_the_store_is_closed,
                after_any_failed_operation_the_log_is_closed,
            });
        }
    };
}

/// Makes a test of each check of [`stable_store`], in a module `stable_store_conformance`.
///
/// The first argument is an expression that makes a harness over an empty place; it
/// is evaluated per test. The second is the attribute of the tests, `tokio::test` if
/// it is left out.
#[macro_export]
macro_rules! stable_store_conformance {
    ($harness:expr) => {
        $crate::stable_store_conformance!($harness, tokio::test);
    };
    ($harness:expr, $test:meta) => {
        mod stable_store_conformance {
            use super::*;

            $crate::conformance_tests!(stable_store, $harness, $test, {
                a_save_survives_a_crash,
                a_save_interrupted_by_a_crash_leaves_the_old_or_the_new_value,
                a_save_cut_off_at_any_operation_leaves_the_old_or_the_new_value,
                the_last_save_wins,
                a_new_store_is_empty,
                a_store_that_lost_its_vote_says_so,
                a_vote_is_kept_with_its_life,
                a_lost_vote_is_followed_by_one_of_the_next_life,
                after_a_failed_save_the_store_is_closed,
                after_any_failed_operation_the_vote_is_closed,
            });
        }
    };
}

/// Makes a test of each check of [`state_machine`], in a module `state_machine_conformance`.
///
/// The first argument is an expression that makes a harness over an empty place; it
/// is evaluated per test. The second is the attribute of the tests, `tokio::test` if
/// it is left out.
#[macro_export]
macro_rules! state_machine_conformance {
    ($harness:expr) => {
        $crate::state_machine_conformance!($harness, tokio::test);
    };
    ($harness:expr, $test:meta) => {
        mod state_machine_conformance {
            use super::*;

            $crate::conformance_tests!(state_machine, $harness, $test, {
                equal_entries_give_equal_states_and_responses,
                each_entry_gets_one_response,
                it_knows_where_it_stands,
                what_a_crash_leaves_goes_on_where_it_stands,
                an_apply_interrupted_by_a_crash_has_the_effect_that_its_position_says,
                a_checkpoint_names_what_is_durable,
                a_snapshot_is_of_its_moment,
                where_chunks_end_means_nothing,
                a_restore_replaces_the_whole_state_durably,
                a_restore_interrupted_by_a_crash_is_all_or_nothing,
                a_broken_stream_leaves_the_old_state,
            });
        }
    };
}

/// Makes a test of each check of [`network`], in a module `network_conformance`.
///
/// The first argument is an expression that makes a harness without endpoints; it
/// is evaluated per test. The second is the attribute of the tests, `tokio::test` if
/// it is left out.
#[macro_export]
macro_rules! network_conformance {
    ($harness:expr) => {
        $crate::network_conformance!($harness, tokio::test);
    };
    ($harness:expr, $test:meta) => {
        mod network_conformance {
            use super::*;

            $crate::conformance_tests!(network, $harness, $test, {
                sending_returns_at_once_whatever_the_peer_does,
                what_is_dropped_is_counted,
                what_waits_for_a_peer_is_bounded,
                an_urgent_message_does_not_wait_behind_entries,
                messages_arrive_as_they_were_sent,
                nobody_speaks_for_another,
                a_peer_is_reached_where_it_is_now,
                a_message_reaches_the_inbox_of_its_group,
                a_snapshot_arrives_whole,
                a_snapshot_whose_link_breaks_goes_on_or_fails,
                a_snapshot_given_up_ends_with_an_error,
                a_snapshot_is_given_up_for_another_of_its_group,
                nobody_waits_for_a_snapshot_whose_link_stays_cut,
                a_snapshot_ends_when_its_receivers_transport_stops,
                nobody_goes_on_with_a_snapshot_but_who_began_it,
                the_sender_hears_of_progress,
            });
        }
    };
}

/// Not for direct use: the tests of one suite.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($suite:ident, $harness:expr, $test:meta, { $($check:ident),* $(,)? }) => {
        $crate::conformance_tests!(@each $suite, $harness, ($test), $($check)*);
    };
    (@each $suite:ident, $harness:expr, ($test:meta), $first:ident $($rest:ident)*) => {
        #[$test]
        async fn $first() {
            $crate::testing::conformance::$suite::$first(&mut $harness).await;
        }
        $crate::conformance_tests!(@each $suite, $harness, ($test), $($rest)*);
    };
    (@each $suite:ident, $harness:expr, ($test:meta),) => {};
}

/// How often a call is polled before the crash; from a call that hardly began to one that is done.
const POLLS_BEFORE_CRASH: std::ops::RangeInclusive<usize> = 1..=6;

/// Polls a call up to `polls` times and drops it: whatever it began is left to
/// itself, as by a crash. Answers its result if it came to one.
async fn interrupt<F: Future>(call: F, polls: usize) -> Option<F::Output> {
    let mut call = std::pin::pin!(call);
    for _ in 0..polls {
        let polled = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
        if let Poll::Ready(result) = polled {
            return Some(result);
        }
        step_aside().await;
    }
    None
}

/// Lets the runtime run others once.
async fn step_aside() {
    let mut is_first = true;
    poll_fn(|context| {
        if std::mem::take(&mut is_first) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

/// Says in the output of the test what the harness leaves unchecked.
fn not_checked(duty: &str, because: &str) {
    eprintln!("{duty}: not checked, the harness cannot {because}");
}
