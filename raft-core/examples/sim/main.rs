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
mod progress;
mod summary;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use options::{Options, USAGE, parse};
use progress::Progress;
use raft_core::testing::sim::{Aim, Plan, Report, Violation, run, shrink};

/// From this many seeds on, a situation that was never met makes the run invalid:
/// a quiet simulator and a blind one look alike.
const SEEDS_FOR_ALL_MARKS: u64 = 1000;

/// One seed in so many is run twice, and must go the same way.
const REPEATED: u64 = 500;

/// So many violations are enough to work on.
const ENOUGH: usize = 20;

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
    /// Why the page could not be written, if so.
    unwritten: Option<String>,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("error: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    // A violation quotes the panic; the rest of it says nothing more.
    std::panic::set_hook(Box::new(|_| {}));
    let started = Instant::now();
    let results = run_all(&options);
    let is_long = results.total.runs >= SEEDS_FOR_ALL_MARKS;
    // The other plans leave things out on purpose.
    let missed = match is_long && options.plan.aim == Aim::Swarm {
        true => results.total.marks_missed(),
        false => Vec::new(),
    };
    if options.json {
        summary::print_json(&options, &results.total, &results.failures, &missed);
    } else {
        summary::print(&results.total, started.elapsed());
    }
    verdict(&results, &missed)
}

/// Says what is wrong, and how the process ends.
fn verdict(results: &Results, missed: &[&str]) -> ExitCode {
    for seed in &results.undetermined {
        eprintln!("seed {seed} went two ways: something in the run does not come from the seed");
    }
    for name in missed {
        eprintln!("never met in {} runs: {name}", results.total.runs);
    }
    if let Some(error) = &results.unwritten {
        eprintln!("error: {error}");
    }
    if !results.failures.is_empty() {
        return ExitCode::from(1);
    }
    let says_something = results.undetermined.is_empty() && missed.is_empty();
    match says_something && results.unwritten.is_none() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(2),
    }
}

/// Runs all seeds.
fn run_all(options: &Options) -> Results {
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
            results.add(seed, &report, options);
            let enough = if options.is_first_enough { 1 } else { ENOUGH };
            is_enough.store(results.failures.len() >= enough, Ordering::Relaxed);
            progress.show(&results.total, results.failures.len());
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(work);
        }
    });
    progress.clear();
    let mut results = results.into_inner().expect("all threads have ended well");
    results.failures.sort_by_key(|failure| failure.seed);
    results
}

impl Results {
    fn add(&mut self, seed: u64, report: &Report, options: &Options) {
        for line in &report.trace {
            println!("{line}");
        }
        if let Some(file) = &options.page {
            self.unwritten = write_page(file, report).err();
        }
        if let Some(file) = &options.actions {
            let unwritten = write_actions(file, report).err();
            self.unwritten = self.unwritten.take().or(unwritten);
        }
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
    eprintln!("actions: {}, {}", file.display(), report.action_lines.len());
    Ok(())
}

/// Writes the page of a run, and says where it is.
fn write_page(file: &Path, report: &Report) -> Result<(), String> {
    let page = report.page().ok_or("the run was not recorded")?;
    let name = file.display();
    std::fs::write(file, &page)
        .map_err(|error| format!("cannot write {name}: {error}; name another file"))?;
    eprintln!(
        "page: {name}, {} KiB; open it in a browser",
        page.len() / 1024
    );
    Ok(())
}

/// Reports a violation, as small as it gets.
fn fail(seed: u64, violation: &Violation, options: &Options) -> Failure {
    let plan = without_records(&options.plan);
    let replayed = plan.replay(seed);
    eprintln!("seed {seed} violates {violation}\n  replay: cargo xtask sim {replayed}");
    let shrinks = !options.is_first_enough;
    let shrunk = shrinks.then(|| shrink(seed, &plan)).flatten();
    if let Some((plan, report)) = shrunk {
        let smaller = plan.replay(seed);
        if let Some(violation) = report.violation.filter(|_| smaller != replayed) {
            eprintln!("  smaller: cargo xtask sim {smaller}\n           violates {violation}");
            eprintln!("  its page: add --trace smaller.html");
        }
    }
    Failure {
        seed,
        violation: violation.clone(),
        replay: replayed,
    }
}
