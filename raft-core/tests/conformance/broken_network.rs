//! Networks that break one duty each: the suite names it.

use raft_core::testing::conformance::network;

use crate::wires::{Flaw, Wires};

mod sound {
    use crate::wires::Wires;

    raft_core::network_conformance!(Wires::with(None));
}

/// The check that finds a flaw, and what it says.
macro_rules! each_is_caught {
    ($($name:ident: $flaw:ident by $check:ident as $duty:literal;)*) => {
        $(#[tokio::test(start_paused = true)]
        #[should_panic(expected = $duty)]
        async fn $name() {
            network::$check(&mut Wires::with(Some(Flaw::$flaw))).await;
        })*
    };
}

each_is_caught! {
    entries_before_votes_are_caught: Unordered
        by an_urgent_message_does_not_wait_behind_entries as "duty 3, classes";
    a_queue_without_a_bound_is_caught: Unbounded
        by what_waits_for_a_peer_is_bounded as "duty 2, bounded";
    an_altered_message_is_caught: Alters
        by messages_arrive_as_they_were_sent as "duty 4, whole or not at all";
    a_forged_sender_is_caught: Forges by nobody_speaks_for_another as "duty 5, authentic";
    an_address_of_the_past_is_caught: StaysWhereItWas
        by a_peer_is_reached_where_it_is_now as "duty 6, follows addresses";
    another_groups_message_is_caught: MixesGroups
        by a_message_reaches_the_inbox_of_its_group as "duty 7, routes by group";
    a_chunk_that_comes_twice_is_caught: RepeatsAChunk
        by a_snapshot_whose_link_breaks_goes_on_or_fails as "duty 8, resumes";
    an_end_that_is_none_is_caught: EndsEarly
        by a_snapshot_whose_link_breaks_goes_on_or_fails as "duty 8, resumes";
    a_half_read_snapshot_that_hangs_is_caught: Hangs
        by a_snapshot_given_up_ends_with_an_error as "duty 9, lets go";
    a_snapshot_that_outlives_the_next_is_caught: KeepsTheFirst
        by a_snapshot_is_given_up_for_another_of_its_group as "duty 9, lets go";
    a_wait_without_an_end_is_caught: WaitsForEver
        by nobody_waits_for_a_snapshot_whose_link_stays_cut as "duty 9, lets go";
    a_drop_without_a_count_is_caught: CountsNothing
        by what_is_dropped_is_counted as "duty 1, what cannot be sent is counted";
    a_snapshot_that_outlives_its_transport_is_caught: OutlivesItsTransport
        by a_snapshot_ends_when_its_receivers_transport_stops as "duty 9, lets go";
    a_snapshot_that_anyone_goes_on_with_is_caught: GoesOnForAnyone
        by nobody_goes_on_with_a_snapshot_but_who_began_it as "duty 9, lets go";
    silence_about_progress_is_caught: SaysNothing
        by the_sender_hears_of_progress as "duty 10, tells of progress";
}

/// Time is real here: a thread that waits is nothing that a runtime knows of.
#[tokio::test]
#[should_panic(expected = "duty 1, never blocks")]
async fn a_send_that_waits_is_caught() {
    let mut broken = Wires::with(Some(Flaw::Blocks));
    network::sending_returns_at_once_whatever_the_peer_does(&mut broken).await;
}
