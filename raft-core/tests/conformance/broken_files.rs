//! Log stores that keep files and break one duty each: the kit for files names it.

use raft_core::testing::conformance::files::FileHarness;
use raft_core::testing::conformance::log_store::{self, LogStoreHarness};

use crate::file_log::{FileLog, Flaw, damage};

fn with(flaw: Option<Flaw>) -> FileHarness<FileLog> {
    let open = move |directory| async move { FileLog::open(directory, flaw).unwrap() };
    FileHarness::new(11, open).damaging(damage)
}

fn flawed(flaw: Flaw) -> impl LogStoreHarness {
    with(Some(flaw))
}

mod sound {
    use super::with;

    raft_core::log_store_conformance!(with(None));
}

#[tokio::test]
#[should_panic(expected = "duty 1, durable before return")]
async fn a_return_before_the_sync_is_caught() {
    log_store::an_append_survives_a_crash(&mut flawed(Flaw::ReturnsEarly)).await;
}

#[tokio::test]
#[should_panic(expected = "duty 1, durable before return")]
async fn a_directory_that_is_not_synced_is_caught() {
    log_store::an_append_survives_a_crash(&mut flawed(Flaw::ForgetsTheDirectory)).await;
}

#[tokio::test]
#[should_panic(expected = "duty 2, atomic")]
async fn half_of_an_append_is_caught() {
    let mut broken = flawed(Flaw::AppendsByHalves);
    log_store::an_append_cut_off_at_any_operation_is_all_or_nothing(&mut broken).await;
}

#[tokio::test]
#[should_panic(expected = "duty 5, reads tell the truth")]
async fn damage_returned_as_good_is_caught() {
    log_store::a_damaged_payload_is_corrupt_and_never_data(&mut flawed(Flaw::BelievesDamage)).await;
}

#[tokio::test]
#[should_panic(expected = "duty 9, bounds are the truth after open")]
async fn a_lost_truncation_is_caught() {
    log_store::bounds_are_the_truth_after_a_crash(&mut flawed(Flaw::LosesCuts)).await;
}

#[tokio::test]
#[should_panic(expected = "duty 10, reset is one step")]
async fn half_of_a_reset_is_caught() {
    let mut broken = flawed(Flaw::ResetsByHalves);
    log_store::a_reset_cut_off_at_any_operation_is_all_or_nothing(&mut broken).await;
}

#[tokio::test]
#[should_panic(expected = "duty 11, failure is final")]
async fn a_store_that_goes_on_after_a_failed_sync_is_caught() {
    let mut broken = flawed(Flaw::GoesOnAfterFailedSync);
    log_store::after_any_failed_operation_the_log_is_closed(&mut broken).await;
}

#[tokio::test]
#[should_panic(expected = "duty 11, failure is final")]
async fn a_store_that_believes_a_second_sync_is_caught() {
    let mut broken = flawed(Flaw::SyncsAgain);
    log_store::after_any_failed_operation_the_log_is_closed(&mut broken).await;
}
