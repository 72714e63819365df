//! `cargo xtask ci`: the gate that every change passes.
//!
//! `--quick` leaves out what links RocksDB into tests, the documentation and the simulator.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::{determinism, prerequisites, sim, test, tidy, util};

/// How much to check
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only format, tidy, clippy and the tests of raft-core and xtask
    #[arg(long)]
    quick: bool,
}

/// What must never be in the tree of the core without features.
const NOT_IN_CORE: [&str; 6] = [
    "tokio",
    "quinn",
    "rocksdb",
    "librocksdb-sys",
    "tonic",
    "rustls",
];

type Step = (&'static str, fn() -> Result<()>);

const QUICK: &[Step] = &[
    ("format", format),
    ("tidy", tidy::run),
    ("clippy", clippy),
    ("tests of raft-core and xtask", quick_tests),
];

const FULL: &[Step] = &[
    ("format", format),
    ("tidy", tidy::run),
    ("clippy", clippy),
    ("tests", || test::run(&test::Arguments::default())),
    ("documentation", documentation),
    ("raft-core alone", core_alone),
    ("what raft-core depends on", core_tree),
    ("simulator", || sim::run(&sim::Arguments::first(100))),
    ("determinism", || {
        determinism::run(&determinism::Arguments { seeds: 100 })
    }),
];

/// Runs the steps, and stops at the first that fails.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    prerequisites::prepare()?;
    prerequisites::prepare_components()?;
    if !arguments.quick {
        prerequisites::prepare_browser();
    }
    let steps = if arguments.quick { QUICK } else { FULL };
    let mut rows = vec![vec!["step".to_owned(), "seconds".to_owned()]];
    for (name, step) in steps {
        println!("\n=== {name}");
        let start = Instant::now();
        step().map_err(|error| error.context(format!("the step `{name}` failed")))?;
        rows.push(vec![
            (*name).to_owned(),
            format!("{:.1}", start.elapsed().as_secs_f64()),
        ]);
    }
    println!("\n{}\nall passed", util::table(&rows));
    Ok(())
}

fn format() -> Result<()> {
    util::run(&mut util::cargo(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<()> {
    util::run(&mut util::cargo([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

fn quick_tests() -> Result<()> {
    util::run(&mut util::cargo([
        "test",
        "--package",
        "raft-core",
        "--package",
        "xtask",
    ]))
}

fn documentation() -> Result<()> {
    let mut command = util::cargo(["doc", "--workspace", "--no-deps"]);
    util::run(command.env("RUSTDOCFLAGS", "-D warnings"))
}

fn core_alone() -> Result<()> {
    util::run(&mut util::cargo([
        "test",
        "--package",
        "raft-core",
        "--no-default-features",
    ]))
}

fn core_tree() -> Result<()> {
    let tree = util::output_of(&mut core_tree_command())?;
    let found = forbidden_in(&tree);
    if !found.is_empty() {
        bail!("raft-core without features depends on {}", found.join(", "));
    }
    println!(
        "raft-core without features: {} packages, none of {}",
        tree_names(&tree).len(),
        NOT_IN_CORE.join(", ")
    );
    Ok(())
}

fn core_tree_command() -> Command {
    util::cargo([
        "tree",
        "--package",
        "raft-core",
        "--no-default-features",
        "--edges",
        "normal",
        "--prefix",
        "none",
    ])
}

fn tree_names(tree: &str) -> BTreeSet<&str> {
    let lines = tree.lines();
    lines
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}

/// Those packages of a `cargo tree` that the core must not have.
fn forbidden_in(tree: &str) -> Vec<&'static str> {
    let names = tree_names(tree);
    NOT_IN_CORE
        .into_iter()
        .filter(|&name| names.contains(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_under_the_core_is_found_in_its_tree() {
        let tree = "raft-core v0.1.0 (here)\nbytes v1.0.0\ntokio v1.0.0 (*)\n";

        assert_eq!(forbidden_in(tree), ["tokio"]);
    }

    #[test]
    fn a_package_whose_name_only_begins_alike_is_allowed() {
        assert!(forbidden_in("raft-core v0.1.0\ntokio-like v1.0.0\n").is_empty());
    }
}
