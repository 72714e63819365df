//! The black-box tests of a well-known Raft course (MIT 6.5840, lab 3), as scripts
//! for the simulator: the same situations, the same bounds, in virtual time.
//!
//! Every step is checked by all of the simulator's checkers, every random script
//! runs over several seeds, and each run ends with a group that must become whole
//! and an audit of everything that was acknowledged.
//!
//! How things are counted. A *request* is any message that is not an answer: what
//! would be one call in a group that speaks in calls. It counts when it is sent,
//! whether or not it arrives. *Bytes* are those of entries and commands, 32 more
//! for each entry, and [`FRAME`] for each message. An *index* counts commands only,
//! since a leader's blank entries are no concern of a client.
//!
//! What is harsher here: disks take a while and lose at a crash what they had not
//! reported; answers are delayed, too, where the network is unreliable; streams of
//! snapshots break. The book has the table of tests and bounds, in `testing/lab.md`.

mod agreement;
mod agreements;
mod backup;
mod churn;
mod costs;
mod elections;
mod figure_8;
mod group;
mod nodes;
mod persistence;
mod snapshots;
mod unreliable;

use std::ops::Range;

use group::Group;

use super::report::Report;

/// Set to a number to run that seed only, and to see its trace if it fails.
const SEED: &str = "LAB_SEED";

/// More bytes than any message takes besides its entries.
const FRAME: u64 = 64;

/// The course's election timeout: its scripts wait in multiples of it.
const ELECTION: u64 = 1_000_000;

const MS: u64 = 1_000;

/// Runs `script` on a group of `size` for each seed, then audits the group.
/// Answers what all runs together went through.
fn each_seed(seeds: Range<u64>, size: usize, script: impl Fn(&mut Group)) -> Report {
    let wanted = std::env::var(SEED).ok().and_then(|text| text.parse().ok());
    let seeds = wanted.map_or(seeds, |seed: u64| seed..seed + 1);
    let mut total = Report::default();
    for seed in seeds {
        let mut group = Group::new(seed, size, wanted.is_some());
        script(&mut group);
        total.add(&group.finish());
    }
    total
}

/// A script that never gets into the situation it is for tests nothing.
fn assert_met(total: &Report, marks: &[&str]) {
    for mark in marks {
        assert!(total.marks.contains_key(mark), "never met: {mark}");
    }
}
