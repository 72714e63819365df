//! Scenarios: a group driven by hand, in text that reads without this code.
//!
//! Each file in `cases/` tells a story in prose and commands; the indented lines
//! below a command are what the replicas said and did. `UPDATE_EXPECT=1` writes
//! them anew. The commands are listed in the book, in `testing/scenarios.md`.

mod cluster;
mod command;
mod diff;
mod parser;
mod printing;
mod report;
mod runner;

/// One test per file in `cases/`.
macro_rules! scenarios {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                runner::check(stringify!($name));
            }
        )*

        #[test]
        fn every_file_of_cases_is_run() {
            assert_eq!(runner::case_names(), [$(stringify!($name)),*]);
        }
    };
}

scenarios! {
    change_add_learner
    change_all_voters
    change_demote
    change_demote_leader
    change_four_to_two
    change_promote
    change_refused
    change_remove
    change_remove_leader
    change_replace
    change_to_one
    change_two_to_four
    cut_links_five_nodes
    cut_links_three_nodes
    duels
    durability
    figure_7
    figure_8
    forwarding
    lost_vote
    reads
    remove_and_add_again
    removed_members
    single_server_bug
    snapshots
    stopped_leader
    transfer
}
