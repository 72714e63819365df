//! `cargo xtask pause`: the leader is frozen for a while, and goes on as if nothing had been.
//!
//! Clients write and read through all members, through the frozen one too. The
//! others must elect a leader in time; when the frozen one goes on, still taking
//! itself for the leader, it must not answer a read with what is no longer true,
//! and nothing that was acknowledged may be lost.

use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::client::{fields, number};
use crate::cluster::{self, Cluster};
use crate::load::{self, Load, Mark};
use crate::registers::{Reads, Registers};
use crate::util;

const STRETCH: Duration = Duration::from_secs(3);
/// How long the readers go on after the frozen leader does.
const AFTERMATH: Duration = Duration::from_secs(5);
const CATCH_UP_LIMIT: Duration = Duration::from_secs(60);
/// The longest election timeout of the cluster's nodes, the server's default.
const ELECTION_TIMEOUT: Duration = Duration::from_millis(500);

/// How often and how long to freeze
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Seconds for which the leader is frozen
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How often; each time it is the leader of the moment
    #[arg(long, default_value_t = 1)]
    rounds: u64,
    /// Concurrent writers, beside those of the registers that are read
    #[arg(long, default_value_t = 16)]
    writers: usize,
}

/// What the clients saw in one stretch.
struct Stretch {
    what: String,
    mark: Mark,
    reads: Vec<Reads>,
}

/// Runs it; fails if a read was stale, a write is lost, or the election took too long.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    cluster::prepare_and_build()?;
    println!("\nstarting three nodes");
    let mut cluster = Cluster::fresh("xtask-pause")?;
    let file = cluster.dir().join("writes");
    let mut clients = Clients {
        load: Load::start(&cluster.client(), &file, arguments.writers)?,
        registers: Registers::start(&cluster.client())?,
        stretches: Vec::new(),
    };
    sleep(STRETCH);
    clients.note("three nodes".to_owned())?;
    let mut elections = Vec::new();
    for _ in 0..arguments.rounds {
        let frozen = Duration::from_secs(arguments.seconds);
        elections.push(freeze_leader(&mut cluster, &mut clients, frozen)?);
    }
    let stretches = clients.stop()?;
    cluster.wait_until_caught_up(CATCH_UP_LIMIT)?;
    println!("{}", cluster.status_table()?);
    println!("reading every acknowledged write back on every member");
    let verified = load::verify(&cluster.client(), &file)?;

    println!("\n{}", util::table(&write_rows(&stretches)));
    println!("{}", util::table(&read_rows(&stretches)));
    println!("{}", util::table(&load::verified_rows(&verified)));
    judge(&stretches, &elections, load::lost(&verified))?;
    cluster.discard()
}

/// Writers and readers, and what they saw.
struct Clients {
    load: Load,
    registers: Registers,
    stretches: Vec<Stretch>,
}

impl Clients {
    fn note(&mut self, what: String) -> Result<()> {
        let stretch = Stretch {
            what,
            mark: self.load.mark()?,
            reads: self.registers.mark()?,
        };
        println!(
            "  {}: {:.0} writes/s, longest pause {} ms",
            stretch.what,
            stretch.mark.rate(),
            stretch.mark.gap.as_millis()
        );
        self.stretches.push(stretch);
        Ok(())
    }

    fn stop(self) -> Result<Vec<Stretch>> {
        self.load.stop()?;
        self.registers.stop()?;
        Ok(self.stretches)
    }
}

/// Freezes the leader and lets it go on. Answers how long the others took for
/// another leader, as a client saw it.
fn freeze_leader(
    cluster: &mut Cluster,
    clients: &mut Clients,
    frozen: Duration,
) -> Result<Duration> {
    let leader = cluster.wait_for_leader()?;
    let place = cluster.place(leader)?;
    let mut others = cluster.endpoints();
    others.remove(place);
    // Started before, so that its start is not part of what is measured.
    let mut watcher = cluster.client().of(others).command("leader");
    let watcher = watcher
        .args(["--not", &leader.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the watcher")?;
    sleep(STRETCH);
    clients.note(format!("node {leader} leads"))?;

    cluster.freeze(leader)?;
    let began = Instant::now();
    let output = watcher.wait_with_output()?;
    let election = began.elapsed();
    ensure!(output.status.success(), "the watcher failed");
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    let next = number(&fields(&line), "leader").context("the watcher named no leader")?;
    println!(
        "  node {leader} frozen; after {} ms the others follow node {next}",
        election.as_millis()
    );
    sleep(frozen.saturating_sub(began.elapsed()));
    clients.note(format!("node {leader} frozen, node {next} leads"))?;

    cluster.thaw(leader)?;
    sleep(AFTERMATH);
    clients.note(format!("node {leader} goes on"))?;
    Ok(election)
}

fn judge(stretches: &[Stretch], elections: &[Duration], lost: u64) -> Result<()> {
    let reads = || stretches.iter().flat_map(|stretch| &stretch.reads);
    let wrong: u64 = reads().map(Reads::wrong).sum();
    let linearizable = reads().filter(|reads| reads.is_linearizable);
    let answered: u64 = linearizable.map(|reads| reads.answered).sum();
    ensure!(answered > 0, "no linearizable read was answered at all");
    ensure!(wrong == 0, "{wrong} reads were stale or made up");
    ensure!(
        lost == 0,
        "{lost} acknowledged writes are missing or different somewhere"
    );
    println!("{answered} linearizable reads, none of them stale");
    println!("nothing that was acknowledged is lost");
    let limit = ELECTION_TIMEOUT * 2;
    for election in elections {
        ensure!(
            *election <= limit,
            "the others took {election:?} for a leader, more than {limit:?}"
        );
        println!(
            "another leader after {} ms; twice the election timeout is {} ms",
            election.as_millis(),
            limit.as_millis()
        );
    }
    Ok(())
}

fn write_rows(stretches: &[Stretch]) -> Vec<Vec<String>> {
    let head = [
        "what happened",
        "writes",
        "writes/s",
        "longest pause",
        "slowest write",
        "refused",
        "unanswered",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(stretches.iter().map(|Stretch { what, mark, .. }| {
        vec![
            what.clone(),
            mark.acknowledged.to_string(),
            format!("{:.0}", mark.rate()),
            format!("{} ms", mark.gap.as_millis()),
            format!("{} ms", mark.slowest.as_millis()),
            mark.refused.to_string(),
            mark.failed.to_string(),
        ]
    }));
    rows
}

fn read_rows(stretches: &[Stretch]) -> Vec<Vec<String>> {
    let head = [
        "what happened",
        "member",
        "reads",
        "answered",
        "older than known",
        "made up",
        "after over 1 s",
        "slowest",
        "errors",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for stretch in stretches {
        rows.extend(stretch.reads.iter().map(|reads| {
            let kind = match reads.is_linearizable {
                true => "linearizable",
                false => "serializable",
            };
            vec![
                stretch.what.clone(),
                reads.endpoint.clone(),
                kind.to_owned(),
                reads.answered.to_string(),
                reads.older.to_string(),
                reads.other.to_string(),
                reads.long.to_string(),
                format!("{} ms", reads.slowest.as_millis()),
                reads.failed.to_string(),
            ]
        }));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(is_linearizable: bool, older: u64) -> Stretch {
        let reads = Reads {
            is_linearizable,
            older,
            answered: 9,
            ..Reads::default()
        };
        let fine = Reads {
            is_linearizable: true,
            answered: 9,
            ..Reads::default()
        };
        Stretch {
            what: "frozen".to_owned(),
            mark: Mark::default(),
            reads: vec![reads, fine],
        }
    }

    #[test]
    fn a_stale_read_a_lost_write_and_a_late_leader_each_fail() {
        let soon = [Duration::from_millis(700)];
        let late = [Duration::from_millis(1001)];

        assert!(judge(&[stretch(true, 0)], &soon, 0).is_ok());
        assert!(judge(&[stretch(false, 3)], &soon, 0).is_ok());
        assert!(judge(&[stretch(true, 1)], &soon, 0).is_err());
        assert!(judge(&[stretch(true, 0)], &soon, 1).is_err());
        assert!(judge(&[stretch(true, 0)], &late, 0).is_err());
    }
}
