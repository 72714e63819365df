//! Runs the simulator over many seeds, in parallel.
//!
//! ```text
//! sim --seeds 2000            the first 2000 seeds
//! sim --minutes 60            as many as an hour holds
//! sim --seed 42 --trace       one seed, one line per step
//! sim --seed 42 --trace 42.html
//! ```
//!
//! `options.rs` says what else it takes, and how it ends.

mod options;
mod output;
mod progress;
mod summary;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use options::{Options, USAGE, parse};
use output::{Output, complain};
use progress::Progress;
use raft_core::testing::sim::{Aim, Plan, Report, Violation, run, shrink};

/// From this many seeds on, a situation that was never met makes the run invalid:
/// a quiet simulator and a blind one look alike.
const SEEDS_FOR_ALL_MARKS: u64 = 1000;

/// One seed in so many is run twice, and must go the same way.
const REPEATED: u64 = 500;

/// So many violations are enough to work on.
const ENOUGH: usize = 20;

/// Nothing was violated.
const SOUND: u8 = 0;
/// Something was.
const VIOLATED: u8 = 1;
/// The run itself says nothing, or could not say it.
const INVALID: u8 = 2;

/// A seed that violates a property.
pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) violation: Violation,
    /// The arguments that repeat it.
    pub(crate) replay: String,
}

/// What all runs came to.
#[derive(Default)]
struct Results {
    total: Report,
    failures: Vec<Failure>,
    /// Seeds that went two ways.
    undetermined: Vec<u64>,
    /// Why files that were asked for could not be written.
    unwritten: Vec<String>,
}

fn main() -> ExitCode {
    // A violation quotes the panic; the rest of it says nothing more.
    std::panic::set_hook(Box::new(|_| {}));
    let output = Output::to(std::io::stdout());
    ExitCode::from(answer(std::env::args().skip(1), &output))
}

/// Does what the command line asks for. Answers the status to end with.
fn answer(arguments: impl Iterator<Item = String>, output: &Output) -> u8 {
    let status = match parse(arguments) {
        Ok(Some(options)) => simulate(&options, output),
        Ok(None) => {
            output.line(USAGE);
            SOUND
        }
        Err(error) => {
            complain(format_args!("error: {error}\n\n{USAGE}"));
            INVALID
        }
    };
    match output.finish() {
        Ok(()) => status,
        Err(error) => {
            complain(format_args!("error: {error}"));
            // A violation is the more important one, and was told on standard error.
            if status == SOUND { INVALID } else { status }
        }
    }
}

fn simulate(options: &Options, output: &Output) -> u8 {
    let started = Instant::now();
    let results = match run_all(options, output) {
        Ok(results) => results,
        Err(words) => {
            complain(format_args!("error: the simulator itself failed: {words}"));
            return INVALID;
        }
    };
    let is_long = results.total.runs >= SEEDS_FOR_ALL_MARKS;
    // The other plans leave things out on purpose.
    let missed = match is_long && options.plan.aim == Aim::Swarm {
        true => results.total.marks_missed(),
        false => Vec::new(),
    };
    output.line(match options.json {
        true => summary::json(options, &results, &missed),
        false => summary::text(&results.total, started.elapsed()),
    });
    verdict(&results, &missed)
}

/// Says what is wrong, and how the process ends.
fn verdict(results: &Results, missed: &[&str]) -> u8 {
    for seed in &results.undetermined {
        complain(format_args!(
            "seed {seed} went two ways: something in the run does not come from the seed"
        ));
    }
    for name in missed {
        complain(format_args!(
            "never met in {} runs: {name}",
            results.total.runs
        ));
    }
    for error in &results.unwritten {
        complain(format_args!("error: {error}"));
    }
    let says_something = results.undetermined.is_empty() && missed.is_empty();
    match (results.failures.is_empty(), says_something) {
        (false, _) => VIOLATED,
        (true, true) if results.unwritten.is_empty() => SOUND,
        (true, _) => INVALID,
    }
}

/// Runs all seeds. Answers in words what panicked, if it was not a replica.
fn run_all(options: &Options, output: &Output) -> Result<Results, String> {
    let (next, is_enough) = (AtomicU64::new(0), AtomicBool::new(false));
    let results = Mutex::new(Results::default());
    let started = Instant::now();
    let goal = options.count.map(|count| count.to_string());
    let progress = Progress::towards(goal.unwrap_or_else(|| "as many as fit".to_owned()));
    let work = || {
        while !is_enough.load(Ordering::Relaxed) {
            let offset = next.fetch_add(1, Ordering::Relaxed);
            let is_done = options.count.is_some_and(|count| offset >= count);
            let is_late = options.time.is_some_and(|time| started.elapsed() >= time);
            if is_done || is_late {
                return;
            }
            let seed = options.first.wrapping_add(offset);
            let report = run(seed, options.plan.clone());
            let goes_two_ways = offset.is_multiple_of(REPEATED)
                && run(seed, without_records(&options.plan)).trace_hash != report.trace_hash;
            let mut results = results
                .lock()
                .expect("no thread panics while it holds this");
            results.undetermined.extend(goes_two_ways.then_some(seed));
            results.add(seed, &report, options, output);
            let enough = if options.is_first_enough { 1 } else { ENOUGH };
            is_enough.store(results.failures.len() >= enough, Ordering::Relaxed);
            progress.show(&results.total, results.failures.len());
        }
    };
    let ended = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.jobs).map(|_| scope.spawn(work)).collect();
        // Each is waited for, also after one that failed.
        let ends: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        ends.into_iter().collect::<Result<Vec<()>, _>>()
    });
    progress.clear();
    ended.map_err(|panic| words(&*panic))?;
    let mut results = results.into_inner().expect("all threads have ended well");
    results.failures.sort_by_key(|failure| failure.seed);
    Ok(results)
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").to_owned()
}

impl Results {
    fn add(&mut self, seed: u64, report: &Report, options: &Options, output: &Output) {
        for line in &report.trace {
            output.line(line);
        }
        let page = options.page.as_deref();
        let actions = options.actions.as_deref();
        let unwritten = [
            page.and_then(|file| write_page(file, report).err()),
            actions.and_then(|file| write_actions(file, report).err()),
        ];
        self.unwritten.extend(unwritten.into_iter().flatten());
        self.total.add(report);
        if let Some(violation) = &report.violation {
            self.failures.push(fail(seed, violation, options));
        }
    }
}

/// The plan without anything that is kept of a run and changes nothing.
fn without_records(plan: &Plan) -> Plan {
    Plan {
        trace: false,
        record: false,
        actions: false,
        ..plan.clone()
    }
}

/// Writes the actions that explain a run.
fn write_actions(file: &Path, report: &Report) -> Result<(), String> {
    let mut text = report.action_lines.join("\n");
    text.push('\n');
    std::fs::write(file, text)
        .map_err(|error| format!("cannot write the actions to {}: {error}", file.display()))?;
    let (name, count) = (file.display(), report.action_lines.len());
    complain(format_args!("actions: {name}, {count}"));
    Ok(())
}

/// Writes the page of a run, and says where it is.
fn write_page(file: &Path, report: &Report) -> Result<(), String> {
    let page = report.page().ok_or("the run was not recorded")?;
    let name = file.display();
    std::fs::write(file, &page)
        .map_err(|error| format!("cannot write {name}: {error}; name another file"))?;
    let size = page.len() / 1024;
    complain(format_args!(
        "page: {name}, {size} KiB; open it in a browser"
    ));
    Ok(())
}

/// Reports a violation, as small as it gets.
fn fail(seed: u64, violation: &Violation, options: &Options) -> Failure {
    let plan = without_records(&options.plan);
    let replayed = plan.replay(seed);
    complain(format_args!(
        "seed {seed} violates {violation}\n  replay: cargo xtask sim {replayed}"
    ));
    let shrinks = !options.is_first_enough;
    let shrunk = shrinks.then(|| shrink(seed, &plan)).flatten();
    if let Some((plan, report)) = shrunk {
        let smaller = plan.replay(seed);
        if let Some(violation) = report.violation.filter(|_| smaller != replayed) {
            complain(format_args!(
                "  smaller: cargo xtask sim {smaller}\n           violates {violation}\n  \
                 its page: add --trace smaller.html"
            ));
        }
    }
    Failure {
        seed,
        violation: violation.clone(),
        replay: replayed,
    }
}

#[cfg(test)]
mod tests;
