//! `cargo xtask determinism`: the same seeds in two processes and at two optimisation
//! levels must go the same way.

use anyhow::{Context, Result, ensure};

use crate::util;

/// How much to compare
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seeds: u64,
}

/// Builds the simulator with and without optimisation, and compares the trace hashes.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut hashes = Vec::new();
    for (profile, folder) in [("dev", "debug"), ("sim", "sim"), ("sim", "sim")] {
        let hash = hash_of(profile, folder, arguments.seeds)
            .with_context(|| format!("no trace hash from the profile {profile}"))?;
        println!("{} seeds, profile {profile}: {hash}", arguments.seeds);
        hashes.push(hash);
    }
    ensure!(
        hashes.windows(2).all(|pair| pair[0] == pair[1]),
        "the same seeds went different ways: something in a run does not come from its seed"
    );
    Ok(())
}

fn hash_of(profile: &str, folder: &str, seeds: u64) -> Result<String> {
    let options = ["--profile", profile, "--features", "testing"];
    util::run(util::cargo(["build", "--package", "raft-core", "--example", "sim"]).args(options))?;
    let program = util::target_dir()?.join(folder).join("examples/sim");
    let mut command = std::process::Command::new(program);
    let summary = util::output_of(command.args(["--seeds", &seeds.to_string()]))?;
    hash_in(&summary)
}

/// The trace hash in a summary.
fn hash_in(summary: &str) -> Result<String> {
    let mut lines = summary.lines();
    let hash = lines.find_map(|line| line.strip_prefix("trace hash"));
    Ok(hash
        .context("the summary names no trace hash")?
        .trim()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_found_in_a_summary() {
        let summary = "runs            2\ntrace hash      00ff\n\nfaults\n";
        assert_eq!(hash_in(summary).unwrap(), "00ff");
        assert!(hash_in("runs            2\n").is_err());
    }
}
