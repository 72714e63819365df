//! Tries out all that can happen to three replicas, to a depth.
//!
//! ```text
//! explore                          10 steps from three empty replicas
//! explore --from leader --depth 9
//! explore --deepen --minutes 5     one step deeper after the other, for as long
//! ```
//!
//! `raft_core::testing::explore` says what is one state, and what is left out. The exit
//! status is 0 if all states within the depth keep to the rules, 1 if one step does not,
//! 2 if time was up before.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use raft_core::testing::explore::{Beginning, Exploration, Scope, explore};

const USAGE: &str = "\
usage: explore [--from start|leader|contest] [--depth N] [--deepen] [--minutes M] [--jobs N]
               [--terms N] [--entries N] [--crashes N] [--deadlines N] [--silences N]";

struct Options {
    scope: Scope,
    deepens: bool,
    limit: Duration,
    jobs: usize,
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
    // A counterexample quotes the panic; the rest of it says nothing more.
    std::panic::set_hook(Box::new(|_| {}));
    run(&options)
}

/// Explores to the depth, or deeper and deeper until time is up.
fn run(options: &Options) -> ExitCode {
    let started = Instant::now();
    let mut depth = if options.deepens {
        1
    } else {
        options.scope.depth
    };
    let mut deepest = None;
    loop {
        let scope = Scope {
            depth,
            ..options.scope
        };
        let began = Instant::now();
        let left = options.limit.saturating_sub(started.elapsed());
        let explored = explore(scope, options.jobs, left);
        if let Some(counterexample) = &explored.violation {
            eprintln!(
                "a step that no rule allows, after {} states:",
                explored.states
            );
            eprintln!("{counterexample}");
            return ExitCode::from(1);
        }
        report(scope, &explored, began.elapsed());
        let is_complete = explored.is_complete;
        if is_complete {
            deepest = Some((depth, explored));
        }
        if !options.deepens || !is_complete || depth == u8::MAX {
            break;
        }
        depth += 1;
    }
    match deepest {
        Some((depth, explored)) => {
            println!("every state within {depth} steps keeps to the rules; what happened:");
            for (name, count) in &explored.actions {
                println!("{count:>12}  {name}");
            }
            ExitCode::SUCCESS
        }
        None => {
            eprintln!(
                "time was up before all states were visited: give less depth or more minutes"
            );
            ExitCode::from(2)
        }
    }
}

fn report(scope: Scope, explored: &Exploration, elapsed: Duration) {
    let (from, depth) = (scope.from.name(), scope.depth);
    let (states, transitions) = (explored.states, explored.transitions);
    let how = if explored.is_complete {
        "all"
    } else {
        "not all, time was up:"
    };
    println!(
        "from {from}, {depth:>2} steps: {how} {states} states, {transitions} transitions, {:.1} s",
        elapsed.as_secs_f64()
    );
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options {
        scope: Scope::default(),
        deepens: false,
        limit: Duration::from_secs(30 * 60),
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
    };
    while let Some(word) = words.next() {
        if word == "--help" {
            return Ok(None);
        }
        if word == "--deepen" {
            options.deepens = true;
            continue;
        }
        let value = words
            .next()
            .ok_or_else(|| format!("{word} takes a value"))?;
        take(&mut options, &word, &value)?;
    }
    Ok(Some(options))
}

fn take(options: &mut Options, word: &str, value: &str) -> Result<(), String> {
    let number = || {
        let parsed = value.parse::<u8>().ok();
        parsed.ok_or_else(|| format!("{word} takes a number from 0 to 255, not {value:?}"))
    };
    let scope = &mut options.scope;
    match word {
        "--from" => {
            let from = Beginning::ALL.into_iter().find(|from| from.name() == value);
            scope.from = from
                .ok_or_else(|| format!("--from takes start, leader or contest, not {value:?}"))?;
        }
        "--depth" => scope.depth = number()?,
        "--terms" => scope.terms = number()?.into(),
        "--entries" => scope.entries = number()?.into(),
        "--crashes" => scope.crashes = number()?,
        "--deadlines" => scope.deadlines = number()?,
        "--silences" => scope.silences = number()?,
        "--jobs" => options.jobs = number()?.max(1).into(),
        "--minutes" => options.limit = Duration::from_secs(60 * u64::from(number()?)),
        _ => return Err(format!("{word} is not known")),
    }
    Ok(())
}
