//! What a run came to, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};
use std::time::Duration;

use raft_core::testing::sim::Report;

use super::options::Options;
use super::{Failure, Results};

type Counts = BTreeMap<&'static str, u64>;

/// For people.
pub(crate) fn text(total: &Report, elapsed: Duration) -> String {
    let mut text = String::new();
    write(&mut text, total, elapsed).expect("a text takes all that is written");
    text
}

fn write(to: &mut impl Write, total: &Report, elapsed: Duration) -> fmt::Result {
    let speed = total.steps as f64 / elapsed.as_secs_f64() / 1000.0;
    writeln!(to, "runs            {}", total.runs)?;
    writeln!(to, "events          {}", total.steps)?;
    let (simulated, elapsed) = (total.simulated.as_secs_f64(), elapsed.as_secs_f64());
    writeln!(to, "simulated       {simulated:.0} s")?;
    writeln!(
        to,
        "elapsed         {elapsed:.1} s, {speed:.0} thousand events a second"
    )?;
    let recovery = total.slowest_recovery.as_secs_f64();
    writeln!(to, "slowest healing {recovery:.1} s")?;
    writeln!(to, "leaders         {}", total.leaders)?;
    writeln!(to, "committed       {}", total.committed)?;
    writeln!(to, "acknowledged    {}", total.acknowledged)?;
    writeln!(to, "reads           {}", total.reads)?;
    write!(to, "trace hash      {:016x}", total.trace_hash)?;
    for (head, counts) in [
        ("faults", &total.faults),
        (
            "actions of the specification that explain it",
            &total.actions,
        ),
        ("situations met", &total.marks),
    ] {
        write!(to, "\n\n{head}")?;
        for (name, count) in counts {
            write!(to, "\n  {count:>10}  {name}")?;
        }
    }
    Ok(())
}

/// For programs.
pub(crate) fn json(options: &Options, results: &Results, missed: &[&str]) -> String {
    let total = &results.total;
    let simulated = format!("{:.3}", total.simulated.as_secs_f64());
    let hash = format!("\"{:016x}\"", total.trace_hash);
    let unwritten = results.unwritten.iter().map(|error| quoted(error));
    let fields = [
        ("plan", quoted(options.plan.aim.name())),
        ("first_seed", options.first.to_string()),
        ("runs", total.runs.to_string()),
        ("events", total.steps.to_string()),
        ("simulated_seconds", simulated),
        ("leaders", total.leaders.to_string()),
        ("committed", total.committed.to_string()),
        ("acknowledged", total.acknowledged.to_string()),
        ("reads", total.reads.to_string()),
        ("trace_hash", hash),
        ("faults", counts(&total.faults)),
        ("actions", counts(&total.actions)),
        ("situations", counts(&total.marks)),
        ("never_met", list(missed.iter().map(|name| quoted(name)))),
        ("undetermined", list(&results.undetermined)),
        ("unwritten", list(unwritten)),
        ("violations", list(results.failures.iter().map(violation))),
    ];
    let fields = fields.map(|(name, value)| format!("\"{name}\":{value}"));
    format!("{{{}}}", fields.join(","))
}

fn violation(failure: &Failure) -> String {
    format!(
        "{{\"seed\":{},\"property\":{},\"reason\":{},\"replay\":{}}}",
        failure.seed,
        quoted(failure.violation.property),
        quoted(&failure.violation.reason),
        quoted(&failure.replay),
    )
}

fn counts(counts: &Counts) -> String {
    let fields = counts.iter();
    let fields: Vec<_> = fields
        .map(|(name, count)| format!("{}:{count}", quoted(name)))
        .collect();
    format!("{{{}}}", fields.join(","))
}

/// A JSON list of what is JSON already.
fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    format!("[{}]", items.join(","))
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
