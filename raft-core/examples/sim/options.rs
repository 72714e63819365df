//! What the command line asks for.

use std::time::Duration;

use raft_core::testing::sim::{Aim, FAULTS, Plan};

pub(crate) const USAGE: &str = "\
usage: sim [--seeds N | --minutes M] [--seed S] [--plan NAME] [--jobs J] [--json]
           [--trace] [--without FAULT,...] [--fault-time MS] [--first]

  --seeds N         how many seeds to run (default 200, or 1 with --seed)
  --minutes M       as many seeds as fit into this time
  --seed S          the first seed (default 0)
  --plan NAME       what to aim at: swarm (default), lite, liveness, membership,
                    disk, reads
  --jobs J          how many threads (default: one for each core)
  --json            print the summary as JSON
  --trace           print one line per step
  --without F,...   leave these faults out
  --fault-time MS   how long faults last, in simulated milliseconds
  --first           stop at the first violation, and report it as it is

Ends with status 0 when nothing was violated, 1 when something was, and 2 when the
run says nothing: it met too few situations, or the same seed went two ways.";

/// What the command line asks for.
pub(crate) struct Options {
    pub(crate) first: u64,
    /// As many as there is time for, if not given.
    pub(crate) count: Option<u64>,
    pub(crate) time: Option<Duration>,
    pub(crate) jobs: usize,
    pub(crate) json: bool,
    pub(crate) is_first_enough: bool,
    pub(crate) plan: Plan,
}

/// Nothing when help is asked for.
pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut arguments = arguments;
    let (mut first, mut count, mut minutes) = (None, None, None);
    let (mut jobs, mut fault_time) = (None, None);
    let (mut json, mut trace, mut is_first_enough) = (false, false, false);
    let (mut aim, mut without) = (Aim::Swarm, Vec::new());
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--seeds" => count = Some(number(&argument, &value()?)?),
            "--seed" => first = Some(number(&argument, &value()?)?),
            "--minutes" => minutes = Some(number(&argument, &value()?)?),
            "--jobs" => jobs = Some(number(&argument, &value()?)?),
            "--fault-time" => fault_time = Some(number(&argument, &value()?)?),
            "--plan" => aim = value()?.parse()?,
            "--without" => without = faults(&value()?)?,
            "--json" => json = true,
            "--trace" => trace = true,
            "--first" => is_first_enough = true,
            "--help" | "-h" => return Ok(None),
            other => return Err(format!("unknown argument {other:?}")),
        }
    }
    let mut plan = Plan::aimed(aim);
    plan.trace = trace;
    plan.without = without;
    plan.fault_time = fault_time.map_or(plan.fault_time, Duration::from_millis);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = jobs.map_or(cores, |jobs| usize::try_from(jobs).unwrap_or(cores));
    let usual = if first.is_some() { 1 } else { 200 };
    Ok(Some(Options {
        first: first.unwrap_or(0),
        count: count.or(minutes.is_none().then_some(usual)),
        time: minutes.map(|minutes| Duration::from_secs(minutes.saturating_mul(60))),
        jobs: jobs.clamp(1, 1024),
        json,
        is_first_enough,
        plan,
    }))
}

fn number(argument: &str, text: &str) -> Result<u64, String> {
    let number = text.parse::<u64>();
    number.map_err(|_| format!("{argument} needs a number, not {text:?}"))
}

fn faults(text: &str) -> Result<Vec<&'static str>, String> {
    let known = |name: &str| FAULTS.iter().find(|fault| **fault == name).copied();
    let unknown = |name| format!("there is no fault {name:?}, but {}", FAULTS.join(", "));
    let names = text.split(',').filter(|name| !name.is_empty());
    names
        .map(|name| known(name).ok_or_else(|| unknown(name)))
        .collect()
}

/// The arguments that repeat `seed` under `plan`.
pub(crate) fn replay(seed: u64, plan: &Plan) -> String {
    let usual = Plan::aimed(plan.aim);
    let mut words = format!("--seeds 1 --seed {seed}");
    if plan.aim != Aim::Swarm {
        words += &format!(" --plan {}", plan.aim);
    }
    if plan.fault_time != usual.fault_time {
        words += &format!(" --fault-time {}", plan.fault_time.as_millis());
    }
    if !plan.without.is_empty() {
        words += &format!(" --without {}", plan.without.join(","));
    }
    words
}
