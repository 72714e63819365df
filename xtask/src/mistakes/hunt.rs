//! Builds the simulator with a mistake in it, and runs seeds until one shows it,
//! which without the mistake shows nothing.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::util;

/// The simulator as it was built last, and as it is without a mistake.
const BUILT: &str = "target/sim/examples/sim";
const RIGHT: &str = "sim-without-mistakes";

/// How long and how far to look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) seeds: u64,
    pub(super) jobs: usize,
    pub(super) time: Duration,
}

/// What became of a mistake.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// The simulator said so.
    Caught(Catch),
    /// So many seeds hold every property.
    Missed { seeds: u64 },
    /// Time was up first; perhaps the replicas spin.
    OutOfTime,
}

/// The first violation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Catch {
    pub(super) seed: u64,
    pub(super) property: String,
    pub(super) reason: String,
}

/// Builds the simulator of the workspace `copy`.
pub(super) fn build(copy: &Path, jobs: usize) -> Result<()> {
    let mut command = util::cargo([
        "build",
        "--quiet",
        "--profile",
        "sim",
        "--no-default-features",
        "--features",
        "testing",
        "--example",
        "sim",
    ]);
    command
        .arg("--jobs")
        .arg(jobs.to_string())
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", copy.join("target"))
        // A mistake is a line or two: most of the last build serves again.
        .env("CARGO_PROFILE_SIM_INCREMENTAL", "true")
        .env("CARGO_PROFILE_SIM_DEBUG", "false")
        .env("CARGO_PROFILE_SIM_LTO", "off")
        // What a mistake leaves unused is no news.
        .env("RUSTFLAGS", "--cap-lints=allow");
    util::run(&mut command)
}

/// Keeps the simulator that was built from what is right.
pub(super) fn keep_right(copy: &Path) -> Result<()> {
    fs::copy(copy.join(BUILT), copy.join(RIGHT))?;
    Ok(())
}

/// Runs seeds from the first until one violates something.
pub(super) fn hunt(copy: &Path, plan: Option<&str>, bounds: Bounds) -> Result<Outcome> {
    let outcome = run(copy, BUILT, plan, 0, bounds)?;
    if let Outcome::Caught(catch) = &outcome {
        let alone = Bounds { seeds: 1, ..bounds };
        let without = run(copy, RIGHT, plan, catch.seed, alone)?;
        ensure!(
            without == (Outcome::Missed { seeds: 1 }),
            "seed {} shows something without the mistake, too: {without:?}",
            catch.seed
        );
    }
    Ok(outcome)
}

fn run(
    copy: &Path,
    program: &str,
    plan: Option<&str>,
    first: u64,
    bounds: Bounds,
) -> Result<Outcome> {
    let words = copy.join("violations.txt");
    let mut command = Command::new(copy.join(program));
    command
        .args(["--first", "--seeds", &bounds.seeds.to_string()])
        .args(["--seed", &first.to_string()])
        .args(["--jobs", &bounds.jobs.to_string()])
        .args(plan.map(|plan| ["--plan", plan]).into_iter().flatten())
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::null())
        .stderr(File::create(&words)?);
    let ended = ended_within(&mut command, bounds.time)?;
    let words = fs::read_to_string(words)?;
    match (first_violation(&words), ended) {
        (Some(catch), _) => Ok(Outcome::Caught(catch)),
        (None, None) => Ok(Outcome::OutOfTime),
        // A situation that was never met is a failure, too, but not of a property.
        (None, Some(_)) if words.is_empty() || words.starts_with("never met") => {
            let seeds = bounds.seeds;
            Ok(Outcome::Missed { seeds })
        }
        (None, Some(code)) => bail!("the simulator ended with {code:?}:\n{words}"),
    }
}

/// The status with which `command` ended; nothing if it had to be stopped.
fn ended_within(command: &mut Command, limit: Duration) -> Result<Option<Option<i32>>> {
    let mut child = command.spawn().context("cannot start the simulator")?;
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.code()));
        }
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The violation of the lowest seed. Seeds run in order, so none below it holds one.
fn first_violation(words: &str) -> Option<Catch> {
    let violations = words.lines().filter_map(|line| {
        let (seed, what) = line.strip_prefix("seed ")?.split_once(" violates ")?;
        let (property, reason) = what.split_once(": ").unwrap_or((what, ""));
        Some(Catch {
            seed: seed.parse().ok()?,
            property: property.to_owned(),
            reason: reason.to_owned(),
        })
    });
    violations.min_by_key(|catch| catch.seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_violation_of_the_lowest_seed_is_taken() {
        let words = "thread panicked at x\nseed 12 violates P9 quorum: on 1 of 3: few\n  replay: y\n\
                     seed 7 violates the protocol's assertions: terms fell\n";

        let catch = first_violation(words).unwrap();

        assert_eq!(catch.seed, 7);
        assert_eq!(catch.property, "the protocol's assertions");
        assert_eq!(catch.reason, "terms fell");
        assert_eq!(first_violation("never met in 9 seeds: rain\n"), None);
    }

    #[test]
    fn what_does_not_end_is_stopped() {
        let mut endless = Command::new("sh");
        endless.args(["-c", "while :; do :; done"]);
        assert_eq!(ended_within(&mut endless, Duration::ZERO).unwrap(), None);

        let mut three = Command::new("sh");
        three.args(["-c", "exit 3"]);
        let ended = ended_within(&mut three, Duration::from_secs(60)).unwrap();
        assert_eq!(ended, Some(Some(3)));
    }
}
