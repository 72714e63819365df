//! `cargo xtask fuzz`: lets libFuzzer search for inputs that break a replica, or
//! the decoders of what peers send and of what lies on the disk.
//!
//! Needs what builds the workspace and nothing more: the stable toolchain, and a
//! C++ compiler, by which libFuzzer itself is compiled. There is no sanitizer:
//! the libraries have no `unsafe` that one could watch over; panics, hangs and
//! memory without bound are found without.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{prerequisites, util};

/// The packages with targets; they are no members of the workspace.
const PACKAGES: [&str; 3] = [
    "raft-core/fuzz",
    "raft-transport-quic/fuzz",
    "raft-storage-rocks/fuzz",
];

/// What tells libFuzzer which code an input runs through.
const INSTRUMENTATION: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
];

/// What to fuzz, and for how long
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// For how long
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Which target: `raft` of raft-core, `decoders` of raft-transport-quic, or `records`
    /// of raft-storage-rocks, for which RocksDB is compiled
    #[arg(long, default_value = "raft")]
    target: String,
    /// Run this one input again, and nothing else
    #[arg(long)]
    replay: Option<PathBuf>,
    /// Further arguments for libFuzzer
    #[arg(last = true)]
    rest: Vec<String>,
}

/// What libFuzzer said of its run.
#[derive(Debug, Default, Eq, PartialEq)]
struct Findings {
    executions: u64,
    /// The input that broke the target, if one did.
    reproducer: Option<PathBuf>,
}

/// Builds the target, then fuzzes it or replays an input.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    prerequisites::prepare_tools()?;
    let program = build(&arguments.target)?;
    let mut command = Command::new(program);
    command
        .current_dir(util::workspace_root())
        .args(&arguments.rest);
    if let Some(input) = &arguments.replay {
        let input = std::path::absolute(input).context("where is the input?")?;
        return util::run(command.arg(input));
    }
    let started = Instant::now();
    let findings = search(&mut command, arguments)?;
    let seconds = started.elapsed().as_secs();
    println!("\n{} executions in {seconds} s", findings.executions);
    match findings.reproducer {
        None => Ok(()),
        Some(path) => bail!("{}", report(&path, &arguments.target)),
    }
}

/// Builds the target and answers where it is.
fn build(target: &str) -> Result<PathBuf> {
    let (host, folder) = (host()?, util::target_dir()?.join("fuzz"));
    let manifest = format!("{}/Cargo.toml", package_of(target)?);
    // With a target named, build scripts and macros are not instrumented.
    let mut command = util::cargo(["build", "--release", "--locked", "--bin", target]);
    command
        .args(["--manifest-path", &manifest, "--target", &host])
        .arg("--target-dir")
        .arg(&folder)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", INSTRUMENTATION.join(" "));
    util::run(&mut command)?;
    Ok(folder.join(host).join("release").join(target))
}

/// The package in which a target is.
fn package_of(target: &str) -> Result<&'static str> {
    let has = |package: &&&str| {
        let file = format!("{package}/fuzz_targets/{target}.rs");
        util::workspace_root().join(file).is_file()
    };
    match PACKAGES.iter().find(has) {
        Some(package) => Ok(package),
        None => bail!("no target `{target}` in {}", PACKAGES.join(" or ")),
    }
}

fn host() -> Result<String> {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = util::output_of(Command::new(compiler).arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc named no host")
}

/// Lets libFuzzer run to its end, and shows of its many lines those that matter.
fn search(command: &mut Command, arguments: &Arguments) -> Result<Findings> {
    let package = util::workspace_root().join(package_of(&arguments.target)?);
    let corpus = package.join("corpus").join(&arguments.target);
    let artifacts = package.join("artifacts").join(&arguments.target);
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let options = options(arguments.minutes, &artifacts);
    let mut child = command
        .args(options)
        .arg(&corpus)
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the fuzzer")?;
    let mut findings = Findings::default();
    if let Some(lines) = child.stderr.take() {
        for line in BufReader::new(lines).lines() {
            let line = line.context("the fuzzer printed no text")?;
            if is_worth_showing(&line) {
                println!("{line}");
            }
            findings.read(&line);
        }
    }
    let status = child.wait()?;
    if !status.success() && findings.reproducer.is_none() {
        bail!("the fuzzer ended with {status}");
    }
    Ok(findings)
}

fn options(minutes: u64, artifacts: &Path) -> Vec<String> {
    vec![
        format!("-max_total_time={}", minutes * 60),
        format!("-artifact_prefix={}/", artifacts.display()),
        // A few hundred steps; a hang and a memory without bound are findings, too.
        "-max_len=1000".to_owned(),
        "-len_control=20".to_owned(),
        "-timeout=30".to_owned(),
        "-rss_limit_mb=1024".to_owned(),
        "-print_final_stats=1".to_owned(),
    ]
}

/// All but what it tells of each new input.
fn is_worth_showing(line: &str) -> bool {
    let of_one_input = line.starts_with('#')
        && ["NEW", "REDUCE", "RELOAD"]
            .iter()
            .any(|kind| line.contains(kind));
    !of_one_input && !line.trim_start().starts_with("NEW_FUNC")
}

impl Findings {
    fn read(&mut self, line: &str) {
        if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
            self.executions = count.trim().parse().unwrap_or_default();
        }
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.reproducer = Some(PathBuf::from(path.trim()));
        }
    }
}

fn report(reproducer: &Path, target: &str) -> String {
    let root = util::workspace_root();
    let path = reproducer.strip_prefix(root).unwrap_or(reproducer);
    let path = path.display();
    format!(
        "an input breaks the target `{target}`: {path}\n  repeat it with: cargo xtask fuzz --target {target} --replay {path}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings_of(lines: &[&str]) -> Findings {
        let mut findings = Findings::default();
        lines.iter().for_each(|line| findings.read(line));
        findings
    }

    #[test]
    fn executions_and_reproducer_are_read_from_what_the_fuzzer_prints() {
        let found = findings_of(&[
            "#7\tNEW    cov: 3 ft: 4 corp: 2/2b",
            "artifact_prefix='a/'; Test unit written to a/crash-0815",
            "stat::number_of_executed_units: 4711",
        ]);

        let reproducer = Some(PathBuf::from("a/crash-0815"));
        let executions = 4711;
        assert_eq!(
            found,
            Findings {
                executions,
                reproducer
            }
        );
    }

    #[test]
    fn a_report_says_how_to_repeat_what_was_found() {
        let path = util::workspace_root().join("raft-core/fuzz/artifacts/raft/crash-1");

        let text = report(&path, "raft");

        assert!(text.ends_with(
            "cargo xtask fuzz --target raft --replay raft-core/fuzz/artifacts/raft/crash-1"
        ));
    }

    #[test]
    fn targets_are_found_in_their_packages() {
        assert_eq!(package_of("raft").unwrap(), PACKAGES[0]);
        assert_eq!(package_of("decoders").unwrap(), PACKAGES[1]);
        assert_eq!(package_of("records").unwrap(), PACKAGES[2]);
        assert!(package_of("nothing").is_err());
    }

    #[test]
    fn lines_about_single_inputs_are_left_out() {
        assert!(!is_worth_showing("#8\tNEW    cov: 3"));
        assert!(!is_worth_showing("\tNEW_FUNC[1/2]: 0x5 in f"));
        assert!(is_worth_showing("#1024\tpulse  cov: 3"));
        assert!(is_worth_showing("thread '<unnamed>' panicked at x.rs"));
    }
}
