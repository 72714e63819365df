//! One check per numbered duty, for the author of a backend.
//!
//! Implement the harness for your store (how it is opened, crashed and damaged),
//! then let the macro make a `#[tokio::test]` of each check:
//!
//! ```ignore
//! raft_core::log_store_conformance!(MyHarness::new());
//! raft_core::stable_store_conformance!(MyHarness::new());
//! ```
//!
//! A failed check panics with the number and the words of the duty. The suites
//! crash and reopen the store: one that only pretends to be durable fails.

pub mod log_store;
pub mod stable_store;

/// Makes a test of each check of [`log_store`], in a module `log_store_conformance`.
///
/// The argument is an expression that makes a harness; it is evaluated per test.
/// Needs `tokio` with its macros among the dev-dependencies.
#[macro_export]
macro_rules! log_store_conformance {
    ($harness:expr) => {
        mod log_store_conformance {
            use super::*;

            $crate::conformance_tests!(log_store, $harness, {
                an_append_survives_a_crash,
                an_append_interrupted_by_a_crash_is_all_or_nothing,
                appends_take_effect_in_order,
                a_gap_an_overlap_and_a_cut_below_the_purge_are_refused,
                each_index_reads_as_entry_or_absent,
                a_damaged_payload_is_corrupt_and_never_data,
                reads_stop_at_the_byte_limit,
                metadata_outlives_a_damaged_payload,
                a_purge_is_remembered,
                bounds_are_the_truth_after_a_crash,
                a_reset_replaces_the_whole_log,
                after_a_failed_write_the_store_is_closed,
            });
        }
    };
}

/// Makes a test of each check of [`stable_store`], in a module `stable_store_conformance`.
///
/// The argument is an expression that makes a harness; it is evaluated per test.
/// Needs `tokio` with its macros among the dev-dependencies.
#[macro_export]
macro_rules! stable_store_conformance {
    ($harness:expr) => {
        mod stable_store_conformance {
            use super::*;

            $crate::conformance_tests!(stable_store, $harness, {
                a_save_survives_a_crash,
                a_save_interrupted_by_a_crash_leaves_the_old_or_the_new_value,
                the_last_save_wins,
                a_new_store_is_empty,
                a_store_that_lost_its_vote_says_so,
                after_a_failed_save_the_store_is_closed,
            });
        }
    };
}

/// Not for direct use: the tests of one suite.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($suite:ident, $harness:expr, { $($check:ident),* $(,)? }) => {
        $(
            #[tokio::test]
            async fn $check() {
                $crate::testing::conformance::$suite::$check(&mut $harness).await;
            }
        )*
    };
}

/// Polls a future once and drops it: whatever it began is left to itself, as by a crash.
async fn interrupt<F: Future>(future: F) {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        let _ = future.as_mut().poll(context);
        std::task::Poll::Ready(())
    })
    .await;
}
