//! Runs the simulator over many seeds, in parallel.
//!
//! ```text
//! sim --seeds 2000            the first 2000 seeds
//! sim --seed 42 --trace       one seed, one line per step
//! ```
//!
//! Ends with status 0 only when nothing was violated.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use raft_core::testing::sim::{Plan, Report, run};

/// From this many seeds on, a situation that was never met is a failure: a
/// quiet simulator and a blind one look alike.
const SEEDS_FOR_ALL_MARKS: u64 = 1000;

const USAGE: &str = "usage: sim [--seeds N] [--seed S] [--jobs J] [--json] [--trace] [--first]

  --seeds N   how many seeds to run (default 200, or 1 with --seed)
  --seed S    the first seed (default 0)
  --jobs J    how many threads (default: one for each core)
  --json      print the summary as JSON
  --trace     print one line per step
  --first     stop at the first violation";

/// What the command line asks for.
struct Options {
    first: u64,
    count: u64,
    jobs: usize,
    json: bool,
    trace: bool,
    /// So many violations are enough.
    enough: usize,
}

/// More violations than this say nothing new.
const ENOUGH: usize = 20;

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
    let started = Instant::now();
    let (total, violated) = run_all(&options);
    let missed = match options.count >= SEEDS_FOR_ALL_MARKS {
        true => total.marks_missed(),
        false => Vec::new(),
    };
    if options.json {
        print_json(&options, &total, &violated, &missed);
    } else {
        print_summary(&total, started.elapsed());
    }
    for name in &missed {
        eprintln!("never met in {} seeds: {name}", options.count);
    }
    match violated.is_empty() && missed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Nothing when help is asked for.
fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let (mut first, mut count, mut jobs) = (None, None, None);
    let (mut json, mut trace, mut enough) = (false, false, ENOUGH);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let text = arguments
                .next()
                .ok_or(format!("{argument} needs a number"))?;
            text.parse::<u64>()
                .map_err(|_| format!("{argument} needs a number, not {text:?}"))
        };
        match argument.as_str() {
            "--seeds" => count = Some(number()?),
            "--seed" => first = Some(number()?),
            "--jobs" => jobs = Some(number()?),
            "--json" => json = true,
            "--trace" => trace = true,
            "--first" => enough = 1,
            "--help" | "-h" => return Ok(None),
            other => return Err(format!("unknown argument {other:?}")),
        }
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = jobs.map_or(cores, |jobs| usize::try_from(jobs).unwrap_or(cores));
    Ok(Some(Options {
        first: first.unwrap_or(0),
        count: count.unwrap_or(if first.is_some() { 1 } else { 200 }),
        jobs: jobs.clamp(1, 1024),
        json,
        trace,
        enough,
    }))
}

/// Runs all seeds; answers the counts and the seeds that violated something.
fn run_all(options: &Options) -> (Report, Vec<(u64, String)>) {
    let next = AtomicU64::new(0);
    let is_enough = AtomicBool::new(false);
    let results = Mutex::new((Report::default(), Vec::new()));
    let work = || {
        while !is_enough.load(Ordering::Relaxed) {
            let offset = next.fetch_add(1, Ordering::Relaxed);
            if offset >= options.count {
                return;
            }
            let seed = options.first.wrapping_add(offset);
            let plan = Plan {
                trace: options.trace,
                ..Plan::default()
            };
            let report = run(seed, plan);
            let mut results = results
                .lock()
                .expect("no thread panics while it holds this");
            for line in &report.trace {
                println!("{line}");
            }
            results.0.add(&report);
            if let Some(violation) = report.violation {
                eprintln!(
                    "seed {seed} violates {violation}\n  replay: cargo xtask sim --seeds 1 --seed {seed}"
                );
                results.1.push((seed, violation.to_string()));
                is_enough.store(results.1.len() >= options.enough, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(work);
        }
    });
    let (total, mut violated) = results.into_inner().expect("all threads have ended well");
    violated.sort();
    (total, violated)
}

fn print_summary(total: &Report, elapsed: Duration) {
    let speed = total.steps as f64 / elapsed.as_secs_f64() / 1000.0;
    println!("runs            {}", total.runs);
    println!("events          {}", total.steps);
    println!("simulated       {:.0} s", total.simulated.as_secs_f64());
    println!(
        "elapsed         {:.1} s, {speed:.0} thousand events a second",
        elapsed.as_secs_f64()
    );
    let recovery = total.slowest_recovery.as_secs_f64();
    println!("slowest healing {recovery:.1} s");
    println!("leaders         {}", total.leaders);
    println!("committed       {}", total.committed);
    println!("acknowledged    {}", total.acknowledged);
    println!("reads           {}", total.reads);
    println!("trace hash      {:016x}", total.trace_hash);
    println!("\nfaults");
    for (kind, count) in &total.faults {
        println!("  {count:>10}  {kind}");
    }
    println!("\nsituations met");
    for (name, count) in &total.marks {
        println!("  {count:>10}  {name}");
    }
}

fn print_json(options: &Options, total: &Report, violated: &[(u64, String)], missed: &[&str]) {
    let counts = |counts: &std::collections::BTreeMap<&'static str, u64>| {
        let fields: Vec<_> = counts.iter().map(|(k, v)| format!("{k:?}:{v}")).collect();
        format!("{{{}}}", fields.join(","))
    };
    let violations: Vec<_> = violated
        .iter()
        .map(|(seed, what)| format!("{{\"seed\":{seed},\"violation\":{}}}", quoted(what)))
        .collect();
    let missed: Vec<_> = missed.iter().map(|name| quoted(name)).collect();
    println!(
        "{{\"first_seed\":{},\"runs\":{},\"events\":{},\"simulated_seconds\":{:.3},\"leaders\":{},\
         \"committed\":{},\"acknowledged\":{},\"reads\":{},\"trace_hash\":\"{:016x}\",\"faults\":{},\
         \"situations\":{},\"never_met\":[{}],\"violations\":[{}]}}",
        options.first,
        total.runs,
        total.steps,
        total.simulated.as_secs_f64(),
        total.leaders,
        total.committed,
        total.acknowledged,
        total.reads,
        total.trace_hash,
        counts(&total.faults),
        counts(&total.marks),
        missed.join(","),
        violations.join(","),
    );
}

/// `text` as a JSON string.
fn quoted(text: &str) -> String {
    let escape = |c: char| match c {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}
