//! Developer and integration verbs: `cargo xtask <verb>`.
//!
//! Links none of the workspace's crates: it compiles in seconds and starts them
//! as processes. Each verb lives in the file of its name.

mod bench;
mod ci;
mod client;
mod cluster;
mod demo;
mod determinism;
mod explore;
mod fuzz;
mod join;
mod load;
mod members;
mod mistakes;
mod pause;
mod prerequisites;
mod proxy;
mod registers;
mod sim;
mod snapshot;
mod soak;
mod storm;
mod test;
mod tidy;
mod tla;
mod torture;
mod util;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Developer and integration verbs of this workspace
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Runs three nodes, kills the leader under load and proves that nothing is lost
    Demo,
    /// Runs the whole test suite
    Test(test::Arguments),
    /// The gate: format, tidy, clippy, tests, documentation, the core alone, simulator
    Ci(ci::Arguments),
    /// Checks what the compiler cannot: layers, sizes, texts, manifests
    Tidy,
    /// Checks the specification in TLA+, and that traces follow it
    Tla(tla::Arguments),
    /// Checks for a C++ compiler and libclang; installs them or says how
    Prerequisites,
    /// Runs a local cluster of three nodes
    Cluster(cluster::Arguments),
    /// Runs the simulator over many seeds
    Sim(sim::Arguments),
    /// Runs the same seeds in two processes and at two optimisation levels; all must go the same way
    Determinism(determinism::Arguments),
    /// Tries out all that can happen to three replicas, deeper and deeper
    Explore(explore::Arguments),
    /// Makes mistakes in copies of raft-core, one at a time: the simulator must see each
    Mistakes(mistakes::Arguments),
    /// Runs the benchmarks of raft-core, and of its peers beside them
    Bench(bench::Arguments),
    /// Lets a fuzzer do to a replica whatever peers, callers and disks can do
    Fuzz(fuzz::Arguments),
    /// Kills and restarts one node after the other under load; nothing may be lost
    KillLoop(soak::KillLoopArguments),
    /// Adds, promotes, removes and replaces members under load; no write may fail without a reason
    Members(members::Arguments),
    /// A node joins by snapshot; small writes may take twice as long meanwhile, not more
    Join(join::Arguments),
    /// Freezes the leader under load; no read may be stale, no write lost
    Pause(pause::Arguments),
    /// Cuts the power of all disks, fills them, and damages them; nothing may be lost
    Torture(torture::Arguments),
    /// Loses, delays and reorders what the nodes say to each other; leader and writes must stay
    Storm(storm::Arguments),
    /// Sends a large snapshot through loss and breaks, while nodes go on talking
    Snapshot(snapshot::Arguments),
    /// Loads every processor without a fault; no election may happen
    Calm(soak::CalmArguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().verb {
        Verb::Demo => demo::run(),
        Verb::Test(arguments) => test::run(&arguments),
        Verb::Ci(arguments) => ci::run(&arguments),
        Verb::Tidy => tidy::run(),
        Verb::Tla(arguments) => tla::run(&arguments),
        Verb::Prerequisites => prerequisites::prepare(),
        Verb::Cluster(arguments) => cluster::run(&arguments),
        Verb::Sim(arguments) => sim::run(&arguments),
        Verb::Determinism(arguments) => determinism::run(&arguments),
        Verb::Explore(arguments) => explore::run(&arguments),
        Verb::Mistakes(arguments) => mistakes::run(&arguments),
        Verb::Bench(arguments) => bench::run(&arguments),
        Verb::Fuzz(arguments) => fuzz::run(&arguments),
        Verb::KillLoop(arguments) => soak::kill_loop(&arguments),
        Verb::Members(arguments) => members::run(&arguments),
        Verb::Join(arguments) => join::run(&arguments),
        Verb::Pause(arguments) => pause::run(&arguments),
        Verb::Torture(arguments) => torture::run(&arguments),
        Verb::Storm(arguments) => storm::run(&arguments),
        Verb::Snapshot(arguments) => snapshot::run(&arguments),
        Verb::Calm(arguments) => soak::calm(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever closed standard error does not want to read it, and the status stands.
            let _ = writeln!(std::io::stderr(), "\nfailed: {error:#}");
            ExitCode::from(util::status_of(&error))
        }
    }
}
