//! `cargo xtask join`: a node joins by snapshot while a client commits small writes.
//!
//! What counts is how long 99 of 100 writes take meanwhile, beside what they take
//! without, in the same run.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::cluster::{self, Cluster, Ports};
use crate::load::{self, Load, Mark};
use crate::members::parse_bytes;
use crate::util;

/// Far more entries than the log keeps for slow followers: a node that joins needs a
/// snapshot.
const STATE_KEYS: u64 = 65_536;
const STRETCH: Duration = Duration::from_secs(10);
const JOIN_LIMIT: Duration = Duration::from_secs(600);
const INSTALLED: &str = "raft_snapshots_installed_total";

/// How large the state, how fast it may be sent, and what is tolerated
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Size of the state that the joining node must get: bytes, or as in 64MiB, 1GiB
    #[arg(long, default_value = "512MiB", value_parser = parse_bytes)]
    state: u64,
    /// Most bytes a second that a node sends in snapshots; without, as fast as it goes
    #[arg(long, value_parser = parse_bytes)]
    rate: Option<u64>,
    /// What a snapshot takes of what path and nodes carry, up to 1; without, the default
    #[arg(long)]
    share: Option<f64>,
    /// Concurrent writers
    #[arg(long, default_value_t = 1)]
    writers: usize,
    /// Fail if 99 of 100 writes take more than so many times as long as without
    #[arg(long, default_value_t = 2.0)]
    tolerate: f64,
}

/// Fails if writes take too long, or one is lost.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    cluster::prepare_and_build()?;
    println!(
        "\nthree nodes, and a state of {} MiB",
        arguments.state >> 20
    );
    let mut cluster = Cluster::fresh_with("xtask-join", &settings(arguments))?;
    cluster.client().fill(arguments.state, STATE_KEYS)?;
    cluster.wait_until_caught_up(JOIN_LIMIT)?;
    let file = cluster.dir().join("writes");
    let mut load = Load::start(&cluster.client(), &file, arguments.writers)?;
    // What filling has left to do is done by then.
    sleep(STRETCH);
    load.mark()?;
    sleep(STRETCH);
    let before = load.mark()?;
    let took = join(&mut cluster)?;
    let during = load.mark()?;
    sleep(STRETCH);
    let after = load.mark()?;
    load.stop()?;

    let marks = [("before", before), ("during", during), ("after", after)];
    println!("{}", util::table(&rows(&marks)));
    let rate = arguments.state as f64 / took.as_secs_f64() / f64::from(1 << 20);
    println!(
        "the snapshot took {:.1} s, {rate:.0} MiB/s",
        took.as_secs_f64()
    );
    let verified = load::verify(&cluster.client(), &file)?;
    let lost = load::lost(&verified);
    ensure!(
        lost == 0,
        "{lost} acknowledged writes are missing or different"
    );
    cluster.discard()?;
    let times = during.p99.as_secs_f64() / before.p99.as_secs_f64();
    println!("99 of 100 writes took {times:.2} times as long during the snapshot");
    ensure!(
        times <= arguments.tolerate,
        "that is more than {} times",
        arguments.tolerate
    );
    Ok(())
}

fn settings(arguments: &Arguments) -> String {
    let rate = arguments
        .rate
        .map(|rate| format!("snapshot_bytes_per_second = {rate}\n"));
    let share = arguments
        .share
        .map(|share| format!("snapshot_share = {share:?}\n"));
    [rate, share].into_iter().flatten().collect()
}

/// A fourth node joins as a learner; answers how long it took to get the state.
fn join(cluster: &mut Cluster) -> Result<Duration> {
    let leader = cluster.wait_for_leader()?;
    let purged = cluster.metric(leader, "raft_purged_index")?;
    let purged = purged.context("the leader does not answer")?;
    ensure!(
        purged > 0.0,
        "the log was not purged, no snapshot is needed"
    );
    let ports = Ports::choose()?;
    let node = cluster.client().add(&ports.peer_address(), true)?;
    let begun = Instant::now();
    cluster.join(node, ports)?;
    util::wait_for("a snapshot to be installed", JOIN_LIMIT, || {
        let installed = cluster.metric(node, INSTALLED)?;
        Ok(installed.filter(|&count| count > 0.0).map(drop))
    })?;
    Ok(begun.elapsed())
}

fn rows(marks: &[(&str, Mark)]) -> Vec<Vec<String>> {
    let head = [
        "",
        "writes",
        "half",
        "99 of 100",
        "slowest",
        "refused",
        "unknown",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let millis = |duration: Duration| format!("{:.2} ms", duration.as_secs_f64() * 1e3);
    rows.extend(marks.iter().map(|(name, mark)| {
        let mut row = vec![(*name).to_owned(), mark.acknowledged.to_string()];
        row.extend([mark.p50, mark.p99, mark.slowest].map(millis));
        row.extend([mark.refused, mark.failed].map(|count| count.to_string()));
        row
    }));
    rows
}
