//! `cargo xtask mistakes`: what the simulator is worth. Classic mistakes of Raft
//! implementations are made in a copy of raft-core, one at a time, and seeds run
//! until a property is violated.
//!
//! The protocol has no switch for any of them: a mistake is a file in
//! `xtask/mistakes/`, one folder for each area, that says which text becomes which.

mod copy;
mod hunt;
mod mistake;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use self::hunt::{Bounds, Outcome};
use self::mistake::{Masked, Mistake};
use crate::util;

/// Which mistakes to make, and how long to look for them
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only the mistakes whose name holds this
    #[arg(long)]
    only: Option<String>,
    /// Seeds for each mistake at most
    #[arg(long, default_value_t = 15_000)]
    seeds: u64,
    /// Threads to build and to simulate with (default: one for each core)
    #[arg(long)]
    jobs: Option<usize>,
    /// Minutes for each mistake at most, not counting the build
    #[arg(long, default_value_t = 10)]
    limit_minutes: u64,
    /// Only say what the mistakes are
    #[arg(long)]
    list: bool,
    /// Print the table as the book has it
    #[arg(long)]
    markdown: bool,
}

/// Makes one mistake after the other; fails if one is not caught.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let root = util::workspace_root();
    let mut mistakes = mistake::read_all(&root)?;
    if let Some(part) = &arguments.only {
        mistakes.retain(|mistake| mistake.name.contains(part.as_str()));
        ensure!(!mistakes.is_empty(), "no mistake's name holds {part:?}");
    }
    if arguments.list {
        print!("{}", util::table(&list(&mistakes)));
        return Ok(());
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let bounds = Bounds {
        seeds: arguments.seeds,
        jobs: arguments.jobs.unwrap_or(cores),
        time: Duration::from_secs(arguments.limit_minutes * 60),
    };
    build_right(bounds)?;
    let mut outcomes = Vec::new();
    for mistake in &mistakes {
        let outcome = try_out(mistake, bounds)
            .with_context(|| format!("the mistake {} could not be tried", mistake.name))?;
        outcomes.push((mistake, outcome));
    }
    match arguments.markdown {
        true => print!("\n{}", markdown(&outcomes)),
        false => print!("\n{}", util::table(&rows(&outcomes))),
    }
    let missed = outcomes.iter().filter(|(mistake, outcome)| {
        !matches!(outcome, Outcome::Caught(_)) && mistake.masked.is_none()
    });
    match missed.count() {
        0 => Ok(()),
        missed => bail!("{missed} of {} mistakes were not caught", outcomes.len()),
    }
}

/// Where mistakes are made.
fn copy_folder() -> Result<PathBuf> {
    Ok(util::target_dir()?.join("mistakes"))
}

/// Builds the simulator without a mistake, to compare with.
fn build_right(bounds: Bounds) -> Result<()> {
    let copy = copy_folder()?;
    copy::write(&util::workspace_root(), &copy, BTreeMap::new())?;
    hunt::build(&copy, bounds.jobs)?;
    hunt::keep_right(&copy)
}

/// Builds the simulator with the mistake in it and lets it look.
fn try_out(mistake: &Mistake, bounds: Bounds) -> Result<Outcome> {
    let (root, copy) = (util::workspace_root(), copy_folder()?);
    let changed = copy::changed_files(&root, mistake)?;
    copy::write(&root, &copy, changed)?;
    let start = Instant::now();
    hunt::build(&copy, bounds.jobs)?;
    let built = start.elapsed().as_secs();
    let outcome = hunt::hunt(&copy, mistake.plan.as_deref(), bounds)?;
    let (name, spent) = (&mistake.name, start.elapsed().as_secs() - built);
    println!(
        "{name}: {} (built in {built} s, {spent} s)",
        words(&outcome)
    );
    Ok(outcome)
}

fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Caught(catch) => {
            let (property, seed, reason) = (&catch.property, catch.seed, &catch.reason);
            format!("{property}, seed {seed}: {reason}")
        }
        Outcome::Missed { seeds } => format!("NOT CAUGHT in {seeds} seeds"),
        Outcome::OutOfTime => "NOT CAUGHT, time is up".to_owned(),
    }
}

/// Property and number of seeds, for a table.
fn cells(mistake: &Mistake, outcome: &Outcome) -> [String; 2] {
    match (outcome, &mistake.masked) {
        (Outcome::Caught(catch), _) => {
            let seeds = catch.seed + 1;
            let under = mistake.plan.as_ref();
            let under = under.map_or(String::new(), |plan| format!(" of plan `{plan}`"));
            [catch.property.clone(), format!("{seeds}{under}")]
        }
        (Outcome::Missed { seeds }, Some(masked)) => {
            let Masked { by, together } = masked;
            let cell = format!("masked by {by}; see `{together}`");
            [cell, format!("> {seeds}")]
        }
        (Outcome::Missed { seeds }, None) => ["NOT CAUGHT".to_owned(), format!("> {seeds}")],
        (Outcome::OutOfTime, _) => ["NOT CAUGHT".to_owned(), "time is up".to_owned()],
    }
}

fn rows(outcomes: &[(&Mistake, Outcome)]) -> Vec<Vec<String>> {
    let mut rows = vec![["mistake", "caught by", "seeds"].map(String::from).to_vec()];
    for (mistake, outcome) in outcomes {
        let [property, seeds] = cells(mistake, outcome);
        rows.push(vec![mistake.name.clone(), property, seeds]);
    }
    rows
}

fn list(mistakes: &[Mistake]) -> Vec<Vec<String>> {
    let mut rows = vec![["mistake", "what", "known from"].map(String::from).to_vec()];
    for Mistake {
        name,
        what,
        known_from,
        ..
    } in mistakes
    {
        rows.push(vec![name.clone(), what.clone(), known_from.clone()]);
    }
    rows
}

/// A table for each area.
fn markdown(outcomes: &[(&Mistake, Outcome)]) -> String {
    let mut text = String::new();
    let mut area = "";
    for (mistake, outcome) in outcomes {
        let (its_area, name) = mistake.name.split_once('/').unwrap_or(("", &mistake.name));
        if its_area != area {
            area = its_area;
            text.push_str(&format!(
                "\n## {area}\n\n| mistake | what | known from | caught by | seeds |\n|---|---|---|---|---|\n"
            ));
        }
        let [property, seeds] = cells(mistake, outcome);
        let (what, from) = (&mistake.what, &mistake.known_from);
        text.push_str(&format!(
            "| `{name}` | {what} | {from} | {property} | {seeds} |\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::hunt::Catch;
    use super::*;

    fn mistake(name: &str, masked: Option<Masked>) -> Mistake {
        Mistake {
            name: name.to_owned(),
            what: "it does".to_owned(),
            known_from: "Raft §5".to_owned(),
            plan: None,
            masked,
            changes: Vec::new(),
        }
    }

    #[test]
    fn the_table_says_what_caught_a_mistake_and_what_hides_another() {
        let masked = Masked {
            by: "a rule".to_owned(),
            together: "b/both".to_owned(),
        };
        let (caught, hidden, missed) = (
            mistake("a/caught", None),
            mistake("b/hidden", Some(masked)),
            mistake("b/missed", None),
        );
        let catch = Catch {
            seed: 4,
            property: "P1".to_owned(),
            reason: "two".to_owned(),
        };
        let outcomes = [
            (&caught, Outcome::Caught(catch)),
            (&hidden, Outcome::Missed { seeds: 9 }),
            (&missed, Outcome::OutOfTime),
        ];

        assert_eq!(rows(&outcomes)[1], ["a/caught", "P1", "5"]);
        let words = "masked by a rule; see `b/both`";
        assert_eq!(rows(&outcomes)[2], ["b/hidden", words, "> 9"]);
        assert_eq!(rows(&outcomes)[3], ["b/missed", "NOT CAUGHT", "time is up"]);
        let page = markdown(&outcomes);
        assert!(page.contains("\n## b\n"));
        assert!(page.contains("| `caught` | it does | Raft §5 | P1 | 5 |\n"));
    }
}
