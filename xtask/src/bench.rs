//! `cargo xtask bench`: the benchmarks of raft-core, and others under the same loads.
//!
//! The benchmarks print tables. A saved run is that text; comparing reads two of
//! them and prints by which factor each figure changed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::util;

/// What to measure, and for how long
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Measure raft-rs and openraft as well, in turns with ours
    #[arg(long)]
    peers: bool,
    /// A fifth of the time: to see that it works, not to quote
    #[arg(long, conflicts_with = "seconds")]
    quick: bool,
    /// Seconds for each row
    #[arg(long)]
    seconds: Option<f64>,
    /// Only batches of this many commands, and this many clients
    #[arg(long, value_name = "N")]
    only: Option<usize>,
    /// Run the clients on the threads of the nodes
    #[arg(long)]
    together: bool,
    /// Keep the figures under this name
    #[arg(long, value_name = "NAME")]
    save: Option<String>,
    /// Print how the figures relate to those kept under this name
    #[arg(long, value_name = "NAME")]
    compare: Option<String>,
}

impl Arguments {
    fn for_benchmarks(&self) -> Vec<String> {
        let mut words = Vec::new();
        words.extend(self.quick.then(|| "--quick".to_owned()));
        words.extend(self.together.then(|| "--together".to_owned()));
        if let Some(seconds) = self.seconds {
            words.extend(["--seconds".to_owned(), seconds.to_string()]);
        }
        if let Some(only) = self.only {
            words.extend(["--only".to_owned(), only.to_string()]);
        }
        words
    }
}

/// Runs the benchmarks; then saves and compares.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let kept = util::target_dir()?.join("benchmarks");
    // Read first, so that a wrong name is noticed before minutes have passed.
    let earlier = arguments.compare.as_deref().map(|name| read(&kept, name));
    let earlier = earlier.transpose()?;

    let mut text = run_printing(&mut own(arguments))?;
    if arguments.peers {
        text.push_str(&run_printing(&mut peers(arguments)?)?);
    }

    if let Some(name) = &arguments.save {
        fs::create_dir_all(&kept)?;
        fs::write(file(&kept, name)?, &text)?;
        println!("\nsaved as {name}");
    }
    if let (Some(name), Some(earlier)) = (&arguments.compare, earlier) {
        println!("\nfactors since {name}:\n\n{}", factors(&earlier, &text));
    }
    Ok(())
}

fn own(arguments: &Arguments) -> Command {
    let mut command = util::cargo(["bench", "--package", "raft-core", "--"]);
    command.args(arguments.for_benchmarks());
    command
}

fn peers(arguments: &Arguments) -> Result<Command> {
    let manifest = "raft-core/benches/peers/Cargo.toml";
    let mut command = util::cargo(["bench", "--locked", "--manifest-path", manifest]);
    command.arg("--target-dir");
    command.arg(util::target_dir()?.join("peers"));
    command.arg("--").args(arguments.for_benchmarks());
    Ok(command)
}

/// Runs `command` with its output on ours, and answers it.
fn run_printing(command: &mut Command) -> Result<String> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let output = child.stdout.take().context("the output is piped")?;
    let mut text = String::new();
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        text.push_str(&line);
        text.push('\n');
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("the benchmarks ended with {status}");
    }
    Ok(text)
}

fn file(kept: &std::path::Path, name: &str) -> Result<PathBuf> {
    let is_plain = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(is_plain) {
        bail!("a name consists of letters, digits, `-` and `_`, not `{name}`");
    }
    Ok(kept.join(format!("{name}.txt")))
}

fn read(kept: &std::path::Path, name: &str) -> Result<String> {
    fs::read_to_string(file(kept, name)?).with_context(|| format!("no run is kept as {name}"))
}

/// The columns that say what a row is about.
const KEYS: [&str; 5] = ["payload B", "batch", "under way", "clients", "who"];

/// A table with, for each row of `now` that `earlier` has too, its figures as
/// multiples of the earlier ones.
fn factors(earlier: &str, now: &str) -> String {
    let earlier: BTreeMap<String, Vec<f64>> = rows(earlier)
        .into_iter()
        .map(|row| (row.name(), row.figures()))
        .collect();
    let mut text = String::new();
    let mut shown = Vec::new();
    let mut head = Vec::new();
    for row in rows(now) {
        let Some(before) = earlier.get(&row.name()) else {
            continue;
        };
        if row.head != head {
            text.push_str(&util::table(&std::mem::take(&mut shown)));
            head.clone_from(&row.head);
            shown.push(head.clone());
        }
        let figures = row.figures();
        let mut factors = figures.iter().zip(before).map(|(now, then)| now / then);
        let cell = |(title, cell): (&String, &String)| {
            if KEYS.contains(&title.as_str()) {
                return cell.clone();
            }
            factors
                .next()
                .map_or_else(String::new, |factor| format!("{factor:.2}"))
        };
        shown.push(row.head.iter().zip(&row.cells).map(cell).collect());
    }
    text.push_str(&util::table(&shown));
    text
}

/// A row of a benchmark's table, with the head of the table.
struct Row {
    head: Vec<String>,
    cells: Vec<String>,
}

impl Row {
    fn columns(&self, keys: bool) -> impl Iterator<Item = (&String, &String)> {
        let columns = self.head.iter().zip(&self.cells);
        columns.filter(move |(title, _)| KEYS.contains(&title.as_str()) == keys)
    }

    /// What it is about: the head tells apart tables with equal keys.
    fn name(&self) -> String {
        let keys: Vec<_> = self.columns(true).map(|(_, cell)| cell.as_str()).collect();
        format!("{}: {}", self.head.join("|"), keys.join("|"))
    }

    fn figures(&self) -> Vec<f64> {
        let figures = self.columns(false);
        figures
            .map(|(_, cell)| cell.replace(',', "").parse().unwrap_or(f64::NAN))
            .collect()
    }
}

/// The rows of all tables: lines that begin with spaces, the first of each run
/// of them being the head.
fn rows(text: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut head: Option<Vec<String>> = None;
    for line in text.lines() {
        if !line.starts_with("  ") {
            head = None;
            continue;
        }
        let cells = line.split("  ").map(str::trim);
        let cells: Vec<String> = cells
            .filter(|cell| !cell.is_empty())
            .map(str::to_owned)
            .collect();
        match &head {
            Some(head) => rows.push(Row {
                head: head.clone(),
                cells,
            }),
            None => head = Some(cells),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLIER: &str = "node: some words\n  clients  ops/s  p50 µs\n        1    500      20\n       64  1,000      40\n";

    #[test]
    fn each_figure_is_compared_with_the_one_of_the_same_row() {
        let now = EARLIER.replace("1,000      40", "1,500      10");

        let text = factors(EARLIER, &now);

        let last = text.lines().last().unwrap_or_default();
        let cells: Vec<_> = last.split_whitespace().collect();
        assert_eq!(cells, ["64", "1.50", "0.25"]);
    }

    #[test]
    fn a_row_that_was_not_there_is_left_out() {
        let now = "  clients  ops/s  p50 µs\n  256  500  20\n";

        assert_eq!(factors(EARLIER, now), "");
    }

    #[test]
    fn a_name_cannot_lead_elsewhere() {
        assert!(file(std::path::Path::new("kept"), "../x").is_err());
    }
}
