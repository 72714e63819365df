//! `cargo xtask test`: the whole suite, doc tests included, on a prepared machine.
//!
//! Plain `cargo test`, so that nothing else need be installed.

use anyhow::Result;

use crate::{prerequisites, util};

/// What to run
#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// Arguments for `cargo test`, as a filter
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Prepares the machine and runs the suite.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    prerequisites::prepare()?;
    let mut command = util::cargo(["test", "--workspace"]);
    util::run(command.args(&arguments.rest))
}
