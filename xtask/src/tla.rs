//! `cargo xtask tla`: the specification in `docs/tla`, checked by TLC.
//!
//! A model is a configuration file. Most of them must hold; those of mistakes must be
//! violated, because a checker that finds nothing proves nothing; and traces must be
//! what the specification allows, or must not. Ends with status 0 if all is so, with 1
//! if not, and with 2 if the checker could not say.

mod checker;
mod json;
mod model;
mod outcome;
mod trace;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, bail, ensure};

use self::checker::{Checker, Run};
use self::model::{Expectation, Model};
use self::outcome::Outcome;
use self::trace::Trace;
use crate::util;

/// Where the specification is, in the workspace.
const FOLDER: &str = "docs/tla";

/// Which models to check, and how long to try
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only the models whose name holds this
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Minutes for each model at most
    #[arg(long, default_value_t = 15)]
    minutes: u64,
    /// Follow the steps in this file, one JSON object a line, and check no model
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    trace: Option<PathBuf>,
    /// Only say which models there are
    #[arg(long)]
    list: bool,
    /// A tla2tools.jar to check with, instead of the one from PyPI
    #[arg(long, value_name = "JAR")]
    checker: Option<PathBuf>,
}

/// The checker could not say whether all is well.
fn unable(why: impl std::fmt::Display) -> Error {
    Error::new(util::Exit(2)).context(format!("{why:#}"))
}

/// Checks what was asked for.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let folder = util::workspace_root().join(FOLDER);
    let mut models = model::read_all(&folder)?;
    if let Some(file) = &arguments.trace {
        models = vec![Model::of_trace(file, Expectation::Holds)];
    }
    if let Some(part) = &arguments.model {
        models.retain(|model| model.name.contains(part.as_str()));
        ensure!(!models.is_empty(), "no model's name holds {part:?}");
    }
    if arguments.list {
        print!("{}", util::table(&list(&models)));
        return Ok(());
    }
    let work = util::target_dir()?.join("tla");
    let checker = Checker::obtain(&work, arguments.checker.as_deref()).map_err(unable)?;
    let limit = Duration::from_secs(arguments.minutes * 60);
    let mut rows = vec![head()];
    let (mut wrong, mut undecided) = (0, 0);
    for model in &models {
        let (outcome, spent) = check(&checker, model, &folder, &work, limit).map_err(unable)?;
        match model.expects.is_met_by(&outcome) {
            Some(true) => {}
            Some(false) => wrong += 1,
            None => undecided += 1,
        }
        rows.push(row(model, &outcome, spent));
    }
    print!("\n{}", util::table(&rows));
    conclude(models.len(), wrong, undecided)
}

/// What the verb ends with.
fn conclude(models: usize, wrong: usize, undecided: usize) -> Result<()> {
    if wrong > 0 {
        bail!("{wrong} of {models} models are not as they should be");
    }
    if undecided > 0 {
        return Err(unable(format!(
            "{undecided} of {models} models could not be checked to the end; see above, or give more --minutes"
        )));
    }
    Ok(())
}

/// Checks one model in a copy of the specification, and says what came of it.
fn check(
    checker: &Checker,
    model: &Model,
    folder: &Path,
    work: &Path,
    limit: Duration,
) -> Result<(Outcome, Duration)> {
    // The checker leaves files beside what it reads, so it reads a copy, of which
    // nobody who checks at the same time knows.
    let copy = work.join(format!("run-{}", std::process::id()));
    model::copy_specification(folder, &copy)?;
    let trace = model.trace.as_deref();
    let trace = trace.map(|file| write_trace(file, &copy)).transpose()?;
    let run = Run {
        module: &model.module,
        configuration: &model.configuration,
        may_end: model.trace.is_none(),
    };
    let start = Instant::now();
    let printed = checker.run(&copy, &run, limit)?;
    std::fs::remove_dir_all(&copy).with_context(|| format!("cannot remove {}", copy.display()))?;
    let outcome = Outcome::read(&printed);
    say(model, &outcome, trace.as_ref());
    Ok((outcome, start.elapsed()))
}

/// Writes the steps in `file` as a module, beside the specification in `copy`.
fn write_trace(file: &Path, copy: &Path) -> Result<Trace> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let trace = Trace::parse(&text).with_context(|| format!("in {}", file.display()))?;
    let target = copy.join("TraceData.tla");
    std::fs::write(&target, trace.module())
        .with_context(|| format!("cannot write {}", target.display()))?;
    Ok(trace)
}

/// One line about a model that is as it should be; all there is about others.
fn say(model: &Model, outcome: &Outcome, trace: Option<&Trace>) {
    let verdict = match model.expects.is_met_by(outcome) {
        Some(true) => "as expected",
        Some(false) => "NOT AS EXPECTED",
        None => "NOT KNOWN",
    };
    println!("{}: {}, {verdict}", model.name, outcome.words());
    if model.expects.is_met_by(outcome) == Some(true) {
        return;
    }
    println!("{}", outcome.details());
    if let (Some(trace), Some(at)) = (trace, outcome.stuck_at()) {
        println!("the step that is not allowed there: {}", trace.step(at));
    }
}

fn head() -> Vec<String> {
    ["model", "outcome", "distinct states", "depth", "seconds"]
        .map(str::to_owned)
        .to_vec()
}

fn row(model: &Model, outcome: &Outcome, spent: Duration) -> Vec<String> {
    let figures = outcome.figures();
    let shown = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
    vec![
        model.name.clone(),
        outcome.words(),
        shown(figures.distinct),
        shown(figures.depth),
        spent.as_secs().to_string(),
    ]
}

fn list(models: &[Model]) -> Vec<Vec<String>> {
    let head = ["model", "expected", "what"].map(str::to_owned).to_vec();
    let rows = models.iter().map(|model| {
        vec![
            model.name.clone(),
            model.expects.words(),
            model.what.clone(),
        ]
    });
    std::iter::once(head).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn status_of(result: Result<()>) -> Option<i32> {
        let error = result.err()?;
        Some(error.downcast_ref::<util::Exit>().map_or(1, |exit| exit.0))
    }

    #[test]
    fn time_is_bounded_unless_said_otherwise() {
        let line = Line::try_parse_from(["tla"]).unwrap();
        assert_eq!(line.arguments.minutes, 15);

        let line = Line::try_parse_from(["tla", "--model", "reads", "--minutes", "3"]).unwrap();
        assert_eq!(line.arguments.model.as_deref(), Some("reads"));
        assert_eq!(line.arguments.minutes, 3);
    }

    #[test]
    fn a_trace_is_no_model() {
        let both = ["tla", "--model", "reads", "--trace", "steps.jsonl"];

        assert!(Line::try_parse_from(both).is_err());
    }

    #[test]
    fn the_status_tells_a_violation_from_what_is_not_known() {
        assert_eq!(status_of(conclude(3, 0, 0)), None);
        assert_eq!(status_of(conclude(3, 1, 1)), Some(1));
        assert_eq!(status_of(conclude(3, 0, 1)), Some(2));
        assert_eq!(status_of(Err(unable("there is no Java here"))), Some(2));
    }

    #[test]
    fn why_it_could_not_be_said_is_told_whole() {
        let cause = Error::msg("no network").context("cannot fetch the checker");

        let text = format!("{:#}", unable(cause));

        assert!(
            text.starts_with("cannot fetch the checker: no network"),
            "{text}"
        );
    }
}
