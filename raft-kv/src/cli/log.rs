//! `raft-kv log`: what lies in the log of a node that does not run.
//!
//! Nothing is changed on the disk. Damage ends `verify` and `scrub` with status 1; that a
//! store cannot be looked at at all is an error, which ends with 1 as well, and says so.

use std::io::{self, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use raft_core::{GroupId, LogIndex, StableState, StoredEntry};
use raft_storage_rocks::{Pace, StoredLog, Surveyed};

/// Bytes of entries held at once.
const PAGE: usize = 1 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Print whose the log is, term and vote, and the entries
    Inspect {
        /// The node's data directory
        data_dir: PathBuf,
        /// The group
        #[arg(long, default_value_t = 0)]
        group: u64,
        /// The first entry to print
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// The last entry to print
        #[arg(long, default_value_t = u64::MAX)]
        to: u64,
    },
    /// Read everything as fast as the disk goes, and name what is damaged
    Verify {
        /// The node's data directory
        data_dir: PathBuf,
    },
    /// Read everything at a bounded rate, beside other work on the disk, and name what is damaged
    Scrub {
        /// The node's data directory
        data_dir: PathBuf,
        /// Bytes a second at most, for example 16MiB
        #[arg(long, default_value = "16MiB", value_parser = rate)]
        rate: NonZeroU64,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    let outcome = match &arguments.verb {
        Verb::Inspect {
            data_dir,
            group,
            from,
            to,
        } => inspect(&mut out, data_dir, GroupId::new(*group), (*from, *to)),
        Verb::Verify { data_dir } => verify(&mut out, data_dir, None),
        Verb::Scrub { data_dir, rate } => verify(&mut out, data_dir, Some(*rate)),
    };
    match outcome {
        // Whoever read the output has seen enough.
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        outcome => outcome,
    }
}

fn open(data_dir: &Path) -> Result<StoredLog> {
    let path = data_dir.join("raft");
    if !path.is_dir() {
        bail!(
            "{} is no data directory of raft-kv: it has no directory `raft`",
            data_dir.display()
        );
    }
    Ok(StoredLog::open(&path)?)
}

fn inspect(
    out: &mut impl Write,
    data_dir: &Path,
    group: GroupId,
    (from, to): (u64, u64),
) -> Result<ExitCode> {
    let log = open(data_dir)?;
    let bounds = log.bounds(group)?;
    writeln!(out, "owner   {}", log.identity())?;
    writeln!(out, "group   {}", group.get())?;
    writeln!(out, "vote    {}", vote(&log.vote(group)?))?;
    writeln!(out, "purged  {}", bounds.purged)?;
    writeln!(out, "last    {}", bounds.last)?;
    writeln!(
        out,
        "\n{:>12} {:>8} {:<12} {:>9} state",
        "index", "term", "kind", "bytes"
    )?;
    let last = bounds.last.index.min(LogIndex::new(to));
    let mut index = bounds.purged.index.next().max(LogIndex::new(from));
    while index <= last {
        for stored in log.read(group, index, last, PAGE)? {
            writeln!(out, "{}", line(&stored))?;
            index = index.next();
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn vote(state: &StableState) -> String {
    match state {
        StableState::Empty => "none: a new node".to_owned(),
        StableState::Saved(saved) => {
            let term = saved.hard_state.current_term;
            match saved.hard_state.voted_for {
                Some(candidate) => format!("term {}, for {candidate}", term.get()),
                None => format!("term {}, for nobody yet", term.get()),
            }
        }
        StableState::Lost { reason, .. } => format!("lost: {reason}"),
    }
}

fn line(stored: &StoredEntry) -> String {
    match stored {
        StoredEntry::Entry(entry) => {
            let (index, term) = (entry.index().get(), entry.term().get());
            let kind = format!("{:?}", entry.kind());
            format!("{index:>12} {term:>8} {kind:<12} {:>9} whole", entry.size())
        }
        StoredEntry::Absent { index } => {
            let index = index.get();
            format!("{index:>12} {:>8} {:<12} {:>9} absent", "-", "-", "-")
        }
        StoredEntry::Corrupt {
            index,
            meta,
            reason,
        } => {
            let term = meta.map_or("-".into(), |meta| meta.log_id.term.get().to_string());
            let kind = meta.map_or("-".into(), |meta| format!("{:?}", meta.kind));
            let index = index.get();
            format!(
                "{index:>12} {term:>8} {kind:<12} {:>9} damaged: {reason}",
                "-"
            )
        }
    }
}

fn verify(out: &mut impl Write, data_dir: &Path, rate: Option<NonZeroU64>) -> Result<ExitCode> {
    let log = open(data_dir)?;
    let mut written = Ok(());
    let pace = rate.map_or_else(Pace::default, Pace::at);
    let surveyed = log.scrub(&pace, |finding| {
        if written.is_ok() {
            written = writeln!(out, "{finding}");
        }
    })?;
    written?;
    let Surveyed {
        groups,
        entries,
        bytes,
        damaged,
        ..
    } = surveyed;
    writeln!(
        out,
        "{}: groups {groups}, entries {entries}, bytes {bytes}, damaged {damaged}",
        log.identity()
    )?;
    if damaged == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "start the node: it fetches damaged entries from the other members, and says so"
    )?;
    Ok(ExitCode::FAILURE)
}

/// A number of bytes, with a unit or without.
fn rate(text: &str) -> Result<NonZeroU64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        other => bail!("{other:?} is no unit: B, KiB, MiB or GiB"),
    };
    let number: u64 = digits.parse().context("not a number of bytes")?;
    let bytes = number.checked_mul(unit).context("too many bytes")?;
    NonZeroU64::new(bytes).context("at a rate of 0 it would never end")
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_a_number_and_perhaps_a_unit() {
        let bytes = |text| rate(text).map(NonZeroU64::get).map_err(|e| e.to_string());
        assert_eq!(bytes("1"), Ok(1));
        assert_eq!(bytes("16MiB"), Ok(16 << 20));
        for nonsense in ["", "0", "MiB", "1MB", "99999999999GiB", "-1"] {
            bytes(nonsense).unwrap_err();
        }
    }
}
