//! `cargo xtask members`: members come and go while clients write.
//!
//! Three nodes with a state of some size, and writers at all of them. A fourth
//! node joins as a learner, by snapshot, and is promoted; the leader is removed;
//! a node is killed and replaced by a new one. At the end every acknowledged
//! write is read back on every member, and every error that a writer got must
//! belong to the member that went.

mod report;
mod steps;

use std::time::Duration;

use anyhow::{Result, ensure};

use self::steps::Show;
use crate::cluster::{self, Cluster};
use crate::{load, util};

/// Keys of the state. Far more entries than the log keeps for slow followers, so
/// that a node that joins needs a snapshot, however small the state.
const STATE_KEYS: u64 = 65_536;
const CATCH_UP_LIMIT: Duration = Duration::from_secs(120);

/// How much the cluster holds, and who writes
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Size of the state that a joining node must get: bytes, or as in 64MiB, 1GiB
    #[arg(long, default_value = "64MiB", value_parser = parse_bytes)]
    state: u64,
    /// Concurrent writers
    #[arg(long, default_value_t = 16)]
    writers: usize,
    /// Seconds of writing between two steps
    #[arg(long, default_value_t = 3)]
    stretch: u64,
}

/// Runs the show; fails if a write is lost, or failed without a reason.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    cluster::prepare_and_build()?;
    println!("\nstarting three nodes");
    let mut cluster = Cluster::fresh("xtask-members")?;
    let mib = arguments.state >> 20;
    println!("writing a state of {mib} MiB in {STATE_KEYS} keys");
    cluster.client().fill(arguments.state, STATE_KEYS)?;
    let file = cluster.dir().join("writes");
    let mut show = Show::begin(&mut cluster, &file, arguments)?;
    show.run()?;
    let steps = show.end()?;

    cluster.wait_until_caught_up(CATCH_UP_LIMIT)?;
    println!("{}", cluster.status_table()?);
    println!("reading every acknowledged write back on every member");
    let verified = load::verify(&cluster.client(), &file)?;
    println!("\n{}", util::table(&report::rows(&steps)));
    println!("{}", util::table(&load::verified_rows(&verified)));
    check_state(&cluster)?;
    let lost = load::lost(&verified);
    ensure!(
        lost == 0,
        "{lost} acknowledged writes are missing or different somewhere"
    );
    println!("nothing that was acknowledged is lost");
    report::check_errors(&steps, &load::errors(&file)?)?;
    cluster.discard()
}

/// Every member holds all of the state, those included that came later.
fn check_state(cluster: &Cluster) -> Result<()> {
    for (place, node) in cluster.nodes().into_iter().enumerate() {
        let found = cluster.client().only(place).count("state/")?;
        ensure!(
            found == STATE_KEYS,
            "node {node} holds {found} of the {STATE_KEYS} keys of the state"
        );
    }
    Ok(())
}

/// Parses a number of bytes, with a unit or without.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size; write it as 64MiB or 1GiB");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_with_and_without_a_unit() {
        assert_eq!(parse_bytes("1GiB"), Ok(1 << 30));
        assert_eq!(parse_bytes("64MiB"), Ok(64 << 20));
        assert_eq!(parse_bytes("12"), Ok(12));
        for wrong in ["", "MiB", "1GB", "-1MiB", "99999999999GiB"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
