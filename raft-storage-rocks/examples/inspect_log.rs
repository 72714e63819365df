//! Prints what lies in a store that no process has open.
//!
//! `cargo run -p raft-storage-rocks --example inspect_log DIRECTORY [GROUP]`

use std::io::{self, Write};
use std::process::ExitCode;

use raft_core::{GroupId, LogBounds, LogStore, StableStore, StoredEntry};
use raft_storage_rocks::{RocksLogStore, RocksOptions, RocksStore};

type AnyError = Box<dyn std::error::Error>;

/// Bytes of entries held at once.
const PAGE: usize = 1 << 20;

#[tokio::main]
async fn main() -> ExitCode {
    match inspect().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn inspect() -> Result<(), AnyError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (path, group) = match arguments.as_slice() {
        [path] => (path, GroupId::new(0)),
        [path, group] => (path, GroupId::new(group.parse()?)),
        _ => return Err("usage: inspect_log DIRECTORY [GROUP]".into()),
    };
    let identity = RocksStore::identity_in(path)?.ok_or("the store belongs to nobody yet")?;
    let store = RocksStore::open(path, &RocksOptions::default(), identity)?;
    let log = store.log_store(group)?;
    let bounds = log.bounds().await?;

    let mut out = io::stdout().lock();
    writeln!(out, "owner   {identity}")?;
    writeln!(out, "group   {group}")?;
    writeln!(out, "vote    {:?}", store.stable_store(group).load().await?)?;
    writeln!(out, "purged  {}", bounds.purged)?;
    writeln!(out, "last    {}", bounds.last)?;
    writeln!(
        out,
        "\n{:>12} {:>8} {:<12} {:>9} state",
        "index", "term", "kind", "bytes"
    )?;
    match print_entries(&mut out, &log, bounds).await {
        // Whoever read the output has seen enough.
        Err(error) if is_broken_pipe(error.as_ref()) => Ok(()),
        outcome => outcome,
    }
}

async fn print_entries(
    out: &mut impl Write,
    log: &RocksLogStore,
    bounds: LogBounds,
) -> Result<(), AnyError> {
    let mut index = bounds.purged.index.next();
    while index <= bounds.last.index {
        for stored in log.read(index, bounds.last.index, PAGE).await? {
            writeln!(out, "{}", line(&stored))?;
            index = index.next();
        }
    }
    Ok(())
}

fn line(stored: &StoredEntry) -> String {
    match stored {
        StoredEntry::Entry(entry) => {
            let (index, term) = (entry.index().get(), entry.term().get());
            let kind = format!("{:?}", entry.kind());
            format!("{index:>12} {term:>8} {kind:<12} {:>9} sound", entry.size())
        }
        StoredEntry::Absent { index } => {
            format!(
                "{:>12} {:>8} {:<12} {:>9} absent",
                index.get(),
                "-",
                "-",
                "-"
            )
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
                "{index:>12} {term:>8} {kind:<12} {:>9} corrupt: {reason}",
                "-"
            )
        }
    }
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
