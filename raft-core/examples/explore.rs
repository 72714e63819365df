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
//! 2 if the run itself is not valid: its words ask for what cannot be, time was up before,
//! or standard output could not be written.

#[path = "sim/output.rs"]
mod output;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use output::{Output, complain};
use raft_core::testing::explore::{Beginning, Exploration, Scope, explore};

const USAGE: &str = "\
usage: explore [--from start|leader|contest] [--depth N | --deepen] [--minutes M] [--jobs N]
               [--terms N] [--entries N] [--crashes N] [--deadlines N] [--silences N]";

struct Options {
    scope: Scope,
    deepens: bool,
    limit: Duration,
    jobs: usize,
}

/// All states keep to the rules.
const SOUND: u8 = 0;
/// A step does not.
const VIOLATED: u8 = 1;
/// The run says nothing, or could not say it.
const INVALID: u8 = 2;

fn main() -> ExitCode {
    // A counterexample quotes the panic; the rest of it says nothing more.
    std::panic::set_hook(Box::new(|_| {}));
    let output = Output::to(std::io::stdout());
    ExitCode::from(answer(std::env::args().skip(1), &output))
}

/// Does what the command line asks for. Answers the status to end with.
fn answer(words: impl Iterator<Item = String>, output: &Output) -> u8 {
    let status = match parse(words) {
        Ok(Some(options)) => run(&options, output),
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
            if status == SOUND { INVALID } else { status }
        }
    }
}

/// Explores to the depth, or deeper and deeper until time is up.
fn run(options: &Options, output: &Output) -> u8 {
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
            let states = explored.states;
            complain(format_args!(
                "a step that no rule allows, after {states} states:\n{counterexample}"
            ));
            return VIOLATED;
        }
        output.line(report(scope, &explored, began.elapsed()));
        let is_complete = explored.is_complete;
        if is_complete {
            deepest = Some((depth, explored));
        }
        if !options.deepens || !is_complete || depth == u8::MAX {
            break;
        }
        depth += 1;
    }
    let Some((depth, explored)) = deepest else {
        complain("time was up before all states were visited: give less depth or more minutes");
        return INVALID;
    };
    output.line(format_args!(
        "every state within {depth} steps keeps to the rules; what happened:"
    ));
    for (name, count) in &explored.actions {
        output.line(format_args!("{count:>12}  {name}"));
    }
    SOUND
}

fn report(scope: Scope, explored: &Exploration, elapsed: Duration) -> String {
    let (from, depth) = (scope.from.name(), scope.depth);
    let (states, transitions) = (explored.states, explored.transitions);
    let how = if explored.is_complete {
        "all"
    } else {
        "not all, time was up:"
    };
    format!(
        "from {from}, {depth:>2} steps: {how} {states} states, {transitions} transitions, {:.1} s",
        elapsed.as_secs_f64()
    )
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options {
        scope: Scope::default(),
        deepens: false,
        limit: Duration::from_secs(30 * 60),
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
    };
    let mut has_depth = false;
    while let Some(word) = words.next() {
        if word == "--help" {
            return Ok(None);
        }
        has_depth |= word == "--depth";
        if word == "--deepen" {
            options.deepens = true;
            continue;
        }
        let value = words
            .next()
            .ok_or_else(|| format!("{word} takes a value"))?;
        take(&mut options, &word, &value)?;
    }
    if options.deepens && has_depth {
        return Err("--deepen finds the depth itself; give it or --depth, not both".into());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> impl Iterator<Item = String> {
        line.split_whitespace().map(str::to_owned)
    }

    fn status(line: &str, to: impl std::io::Write + Send + 'static) -> u8 {
        answer(words(line), &Output::to(to))
    }

    #[test]
    fn a_depth_is_given_or_found() {
        for line in ["--deepen --depth 3", "--depth 3 --deepen"] {
            let refused = parse(words(line)).err().unwrap_or_default();
            assert!(refused.contains("not both"), "{line}: {refused}");
            assert_eq!(status(line, std::io::sink()), INVALID, "{line}");
        }
    }

    #[test]
    fn who_stops_reading_changes_nothing() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(status("--depth 2", writer), SOUND);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_standard_output_makes_the_run_invalid() {
        let full = std::fs::File::create("/dev/full").unwrap();
        assert_eq!(status("--depth 2", full), INVALID);
    }
}
