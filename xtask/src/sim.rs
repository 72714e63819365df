//! `cargo xtask sim`: many seeds of the simulator, optimised, with every assertion on.
//!
//! The simulator itself is `raft_core::testing`; its example `sim` is started here. The
//! verb ends with 0 when nothing was violated, 1 when something was, and 2 when the run
//! itself is not valid: refused words, a build that failed and a limit that was hit, too.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::util;

/// Which seeds to run, and through what
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 200, conflicts_with = "minutes")]
    pub(crate) seeds: u64,
    /// As many seeds as fit into so many minutes
    #[arg(long)]
    minutes: Option<u64>,
    /// The first seed; with `--seeds 1` the one to repeat
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// What to aim at: swarm, lite, liveness, membership, disk or reads
    #[arg(long, value_name = "NAME")]
    plan: Option<String>,
    /// How many threads; one for each core if not given
    #[arg(long)]
    jobs: Option<u64>,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
    /// Print one line per step; or, with a file, write the one run as a page into FILE.html
    #[arg(long, value_name = "FILE.html", num_args = 0..=1, default_missing_value = "-")]
    trace: Option<String>,
    /// Write the actions of the specification that explain the one run, for `tla --trace`
    #[arg(long, value_name = "FILE")]
    actions: Option<String>,
    /// Leave these faults out, as a smaller replay says
    #[arg(long, value_name = "FAULT,...")]
    without: Option<String>,
    /// How long faults last, in simulated milliseconds
    #[arg(long, value_name = "MS")]
    fault_time: Option<u64>,
    /// Stop as not valid after this many minutes
    #[arg(long, default_value_t = 30)]
    limit_minutes: u64,
}

impl Arguments {
    /// The first `seeds` seeds.
    pub(crate) fn first(seeds: u64) -> Self {
        Self {
            seeds,
            minutes: None,
            seed: None,
            plan: None,
            jobs: None,
            json: false,
            trace: None,
            actions: None,
            without: None,
            fault_time: None,
            limit_minutes: 30,
        }
    }

    fn for_simulator(&self) -> Vec<String> {
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let seeds = self.minutes.is_none().then_some(self.seeds);
        let valued = [
            ("--seeds", number(seeds)),
            ("--minutes", number(self.minutes)),
            ("--seed", number(self.seed)),
            ("--plan", self.plan.clone()),
            ("--jobs", number(self.jobs)),
            ("--without", self.without.clone()),
            ("--fault-time", number(self.fault_time)),
            ("--trace", self.trace.clone()),
            ("--actions", self.actions.clone()),
        ];
        let mut words = Vec::new();
        for (name, value) in valued {
            words.extend(value.into_iter().flat_map(|v| [name.to_owned(), v]));
        }
        words.extend(self.json.then(|| "--json".to_owned()));
        words
    }

    /// What cannot be is refused here, before the simulator is built.
    fn check(&self) -> Result<()> {
        let Some(file) = self.trace.as_deref().filter(|file| *file != "-") else {
            return Ok(());
        };
        if !file.ends_with(".html") {
            bail!("--trace writes a page; name it FILE.html, not {file:?}");
        }
        if self.seeds != 1 || self.minutes.is_some() {
            bail!("a page shows one run; give `--seeds 1 --seed S` with `--trace {file}`");
        }
        Ok(())
    }

    /// No run with a time of its own is cut short.
    fn limit(&self) -> Duration {
        let minutes = self.minutes.map_or(0, |minutes| minutes.saturating_add(2));
        Duration::from_secs(self.limit_minutes.max(minutes).saturating_mul(60))
    }
}

/// Builds the simulator, then runs it within the limit.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    simulate(arguments).map_err(util::or_invalid)
}

fn simulate(arguments: &Arguments) -> Result<()> {
    arguments.check()?;
    let mut command = build("sim")?;
    command.args(arguments.for_simulator());
    run_within(&mut command, arguments.limit())
}

/// Builds an example of raft-core, optimised and with every assertion on.
pub(crate) fn build(example: &str) -> Result<Command> {
    let options = ["--profile", "sim", "--features", "testing"];
    util::run(
        util::cargo(["build", "--package", "raft-core", "--example", example]).args(options),
    )?;
    let program = util::target_dir()?.join("sim/examples").join(example);
    Ok(Command::new(program))
}

fn run_within(command: &mut Command, limit: Duration) -> Result<()> {
    let mut child = command.spawn().context("cannot start the simulator")?;
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return match status.code() {
                Some(0) => Ok(()),
                // It has said what is wrong, and its status is ours.
                Some(code @ 1..=2) => {
                    Err(anyhow::Error::new(util::Exit(code)).context("the simulation"))
                }
                _ => bail!("the simulator ended with {status}"),
            };
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
    fn what_was_asked_is_handed_to_the_simulator() {
        let one = Arguments {
            seed: Some(7),
            json: true,
            plan: Some("disk".to_owned()),
            ..Arguments::first(1)
        };
        let hour = Arguments {
            minutes: Some(60),
            ..Arguments::first(200)
        };

        let words = "--seeds 1 --seed 7 --plan disk --json";
        assert_eq!(one.for_simulator().join(" "), words);
        assert_eq!(one.limit(), Duration::from_secs(30 * 60));
        assert_eq!(hour.for_simulator(), ["--minutes", "60"]);
        assert_eq!(hour.limit(), Duration::from_secs(62 * 60));
    }

    fn parsed(words: &str) -> Arguments {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            arguments: Arguments,
        }
        let words = std::iter::once("sim").chain(words.split_whitespace());
        <Line as clap::Parser>::parse_from(words).arguments
    }

    #[test]
    fn a_trace_is_printed_or_written_as_a_page() {
        let printed = parsed("--trace --seeds 1 --seed 7");
        let named = parsed("--trace - --seeds 1 --seed 7");
        let page = parsed("--seeds 1 --seed 7 --trace x.html --fault-time 50");

        let words = "--seeds 1 --seed 7 --trace -";
        assert_eq!(printed.for_simulator().join(" "), words);
        assert_eq!(named.for_simulator().join(" "), words);
        let words = "--seeds 1 --seed 7 --fault-time 50 --trace x.html";
        assert_eq!(page.for_simulator().join(" "), words);
        for arguments in [printed, named, page] {
            arguments.check().unwrap();
        }
    }

    #[test]
    fn a_page_of_many_runs_or_of_another_kind_is_refused() {
        let refusal = |words: &str| parsed(words).check().unwrap_err().to_string();

        for words in ["--seed 7 --trace x.html", "--minutes 1 --trace x.html"] {
            assert!(refusal(words).contains("a page shows one run"), "{words}");
        }
        assert!(refusal("--seeds 1 --trace 7").contains("name it FILE.html"));
        // Nothing was violated, nor was anything run.
        let refused = run(&parsed("--seed 7 --trace x.html")).unwrap_err();
        assert_eq!(util::status_of(&refused), 2);
    }

    #[test]
    fn the_simulators_status_is_passed_on() {
        let mut invalid = Command::new("sh");
        invalid.args(["-c", "exit 2"]);

        let error = run_within(&mut invalid, Duration::from_secs(60)).unwrap_err();

        assert_eq!(error.downcast_ref::<util::Exit>().unwrap().0, 2);
    }

    #[test]
    fn a_time_that_no_clock_holds_is_the_simulators_to_refuse() {
        let words = format!("--minutes {}", u64::MAX);

        assert_eq!(parsed(&words).limit(), Duration::from_secs(u64::MAX));
        assert_eq!(parsed(&words).for_simulator().join(" "), words);
    }

    #[test]
    fn a_simulator_that_does_not_end_is_stopped() {
        let mut endless = Command::new("sh");
        endless.args(["-c", "while :; do :; done"]);

        let error = run_within(&mut endless, Duration::ZERO).unwrap_err();

        assert!(error.to_string().contains("give fewer seeds"));
        assert_eq!(util::status_of(&util::or_invalid(error)), 2);
    }
}
