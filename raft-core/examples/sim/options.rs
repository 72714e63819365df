//! What the command line asks for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use raft_core::testing::sim::{Aim, FAULTS, Plan};

pub(crate) const USAGE: &str = "\
usage: sim [--seeds N | --minutes M] [--seed S] [--plan NAME] [--jobs J] [--json]
           [--trace [FILE.html]] [--actions FILE] [--without FAULT,...] [--fault-time MS] [--first]

  --seeds N         how many seeds to run (default 200, or 1 with --seed)
  --minutes M       as many seeds as fit into this time
  --seed S          the first seed (default 0)
  --plan NAME       what to aim at: swarm (default), lite, liveness, membership,
                    disk, reads
  --jobs J          how many threads (default: one for each core)
  --json            print the summary as JSON
  --trace [FILE]    print one line per step; or write what one seed goes through as a
                    page into FILE.html, with `-` or without a file print it
  --actions FILE    write the actions of the specification that explain one seed, one
                    JSON object a line, for `cargo xtask tla --trace FILE`
  --without F,...   leave these faults out
  --fault-time MS   how long faults last, in simulated milliseconds
  --first           stop at the first violation, and report it as it is

Ends with status 0 when nothing was violated, 1 when something was, and 2 when the run
itself is not valid: these words ask for what cannot be, it met too few situations, the
same seed went two ways, or what was asked for could not be written.";

/// The longest time of faults: a simulated day, far more than memory holds the past of.
const MOST_FAULT_TIME: u64 = 24 * 60 * 60 * 1000;

/// The most minutes to run: a year.
const MOST_MINUTES: u64 = 365 * 24 * 60;

/// What the command line asks for.
pub(crate) struct Options {
    pub(crate) first: u64,
    /// As many as there is time for, if not given.
    pub(crate) count: Option<u64>,
    pub(crate) time: Option<Duration>,
    pub(crate) jobs: usize,
    pub(crate) json: bool,
    pub(crate) is_first_enough: bool,
    /// Where the page of the run goes.
    pub(crate) page: Option<PathBuf>,
    /// Where the actions that explain the run go.
    pub(crate) actions: Option<PathBuf>,
    pub(crate) plan: Plan,
}

/// Nothing when help is asked for.
pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut arguments = arguments.peekable();
    let (mut first, mut count, mut minutes) = (None, None, None);
    let (mut jobs, mut fault_time, mut actions) = (None, None, None);
    let (mut json, mut trace, mut is_first_enough) = (false, None, false);
    let (mut aim, mut without) = (Aim::Swarm, Vec::new());
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--seeds" => count = Some(number(&argument, &value()?)?),
            "--seed" => first = Some(number(&argument, &value()?)?),
            "--minutes" => minutes = Some(at_most(MOST_MINUTES, &argument, &value()?)?),
            "--jobs" => jobs = Some(number(&argument, &value()?)?),
            "--fault-time" => {
                fault_time = Some(at_most(MOST_FAULT_TIME, &argument, &value()?)?);
            }
            "--plan" => aim = value()?.parse()?,
            "--without" => without = faults(&value()?)?,
            "--json" => json = true,
            "--trace" => {
                let file = arguments.next_if(|next| !next.starts_with("--"));
                trace = Some(file.unwrap_or_else(|| "-".to_owned()));
            }
            "--actions" => actions = Some(PathBuf::from(value()?)),
            "--first" => is_first_enough = true,
            "--help" | "-h" => return Ok(None),
            other => return Err(format!("unknown argument {other:?}")),
        }
    }
    let mut plan = Plan::aimed(aim);
    let page = trace.as_deref().filter(|file| *file != "-").map(page_file);
    let page = page.transpose()?;
    plan.trace = trace.is_some() && page.is_none();
    plan.record = page.is_some();
    plan.actions = actions.is_some();
    plan.without = without;
    plan.fault_time = fault_time.map_or(plan.fault_time, Duration::from_millis);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = jobs.map_or(cores, |jobs| usize::try_from(jobs).unwrap_or(cores));
    let usual = if first.is_some() { 1 } else { 200 };
    let count = count.or(minutes.is_none().then_some(usual));
    if page.is_some() && count != Some(1) {
        return Err(
            "a page shows one run; give `--seeds 1 --seed S` with `--trace FILE.html`".into(),
        );
    }
    if actions.is_some() && count != Some(1) {
        return Err("--actions tells of one run; give `--seeds 1 --seed S` with it".into());
    }
    if count == Some(0) || minutes == Some(0) {
        return Err("no seeds say nothing; give `--seeds` or `--minutes` 1 or more".into());
    }
    if let (Some(page), Some(actions)) = (&page, &actions)
        && is_same_file(page, actions)
    {
        return Err(format!(
            "--trace and --actions both name {}; give each a file of its own",
            page.display()
        ));
    }
    Ok(Some(Options {
        first: first.unwrap_or(0),
        count,
        time: minutes.map(|minutes| Duration::from_secs(minutes * 60)),
        jobs: jobs.clamp(1, 1024),
        json,
        is_first_enough,
        page,
        actions,
        plan,
    }))
}

/// A trace goes into a file as a page, and a file that is no page was not meant.
fn page_file(name: &str) -> Result<PathBuf, String> {
    match name.ends_with(".html") {
        true => Ok(PathBuf::from(name)),
        false => Err(format!(
            "--trace writes a page; name it FILE.html, not {name:?}"
        )),
    }
}

fn number(argument: &str, text: &str) -> Result<u64, String> {
    let number = text.parse::<u64>();
    number.map_err(|_| format!("{argument} needs a number, not {text:?}"))
}

fn at_most(limit: u64, argument: &str, text: &str) -> Result<u64, String> {
    let number = number(argument, text)?;
    match number <= limit {
        true => Ok(number),
        false => Err(format!("{argument} takes {limit} at most, not {number}")),
    }
}

/// Whether both name one file, however they say it.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| {
        let whole = path.canonicalize();
        // A file that is not there yet is in a folder that is.
        whole.unwrap_or_else(|_| match (path.parent(), path.file_name()) {
            (Some(folder), Some(name)) => {
                let folder = Path::new(".").join(folder);
                let folder = folder.canonicalize().unwrap_or(folder);
                folder.join(name)
            }
            _ => path.to_owned(),
        })
    };
    place(one) == place(other)
}

fn faults(text: &str) -> Result<Vec<&'static str>, String> {
    let known = |name: &str| FAULTS.iter().find(|fault| **fault == name).copied();
    let unknown = |name| format!("there is no fault {name:?}, but {}", FAULTS.join(", "));
    let names = text.split(',').filter(|name| !name.is_empty());
    names
        .map(|name| known(name).ok_or_else(|| unknown(name)))
        .collect()
}
