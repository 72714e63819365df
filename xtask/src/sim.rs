//! `cargo xtask sim`: many seeds of the simulator, optimised, with every assertion on.
//!
//! The simulator itself is `raft_core::testing`; its example `sim` is started here.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::util;

/// Which seeds to run
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 200)]
    pub(crate) seeds: u64,
    /// The first seed; with `--seeds 1` the one to repeat
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Stop as failed after this many minutes
    #[arg(long, default_value_t = 30)]
    pub(crate) limit_minutes: u64,
    /// Further arguments for the simulator
    #[arg(last = true)]
    pub(crate) rest: Vec<String>,
}

impl Arguments {
    /// The first `seeds` seeds.
    pub(crate) fn first(seeds: u64) -> Self {
        Self {
            seeds,
            seed: None,
            limit_minutes: 30,
            rest: Vec::new(),
        }
    }

    fn for_simulator(&self) -> Vec<String> {
        let mut words = vec!["--seeds".to_owned(), self.seeds.to_string()];
        if let Some(seed) = self.seed {
            words.extend(["--seed".to_owned(), seed.to_string()]);
        }
        words.extend(self.rest.iter().cloned());
        words
    }
}

/// Builds the simulator, then runs it within the limit.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    util::run(&mut util::cargo([
        "build",
        "--profile",
        "sim",
        "--package",
        "raft-core",
        "--features",
        "testing",
        "--example",
        "sim",
    ]))?;
    let program = util::target_dir()?.join("sim/examples/sim");
    let mut command = Command::new(program);
    command.args(arguments.for_simulator());
    run_within(
        &mut command,
        Duration::from_secs(arguments.limit_minutes * 60),
    )
}

fn run_within(command: &mut Command, limit: Duration) -> Result<()> {
    let mut child = command.spawn().context("cannot start the simulator")?;
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            if !status.success() {
                bail!("the simulator ended with {status}");
            }
            return Ok(());
        }
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!("the simulator ran for more than {limit:?}; give fewer seeds");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_handed_to_the_simulator() {
        let arguments = Arguments {
            seed: Some(7),
            rest: vec!["--json".to_owned()],
            ..Arguments::first(1)
        };

        assert_eq!(
            arguments.for_simulator(),
            ["--seeds", "1", "--seed", "7", "--json"]
        );
    }

    #[test]
    fn a_simulator_that_does_not_end_is_stopped() {
        let mut endless = Command::new("sh");
        endless.args(["-c", "while :; do :; done"]);

        let error = run_within(&mut endless, Duration::ZERO).unwrap_err();

        assert!(error.to_string().contains("give fewer seeds"));
    }
}
