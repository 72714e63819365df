//! `cargo xtask storm`: a cluster whose nodes hear each other badly, under load.
//!
//! A proxy between the nodes loses, delays, doubles and reorders their datagrams, from
//! one seed. Nobody fails, so the leader must stay, and writes must go on. What clients
//! wrote and read is noted, and judged: one register a key must explain all of it.

mod cuts;

use std::collections::BTreeSet;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use self::cuts::Cuts;
use crate::client::MemberStatus;
use crate::cluster::{self, Cluster};
use crate::load::{self, Load, Mark};
use crate::proxy::Conditions;
use crate::registers::{self, Reads, Registers};
use crate::util;

const CATCH_UP_LIMIT: Duration = Duration::from_secs(120);
/// Longest time in which no write may be acknowledged: far above what lost datagrams cost.
const PAUSE_LIMIT: Duration = Duration::from_secs(2);

/// How long, and how rough
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many minutes
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Datagrams of a hundred that are lost, in each direction
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..100))]
    loss: u16,
    /// Milliseconds that a datagram takes
    #[arg(long, default_value_t = 20)]
    delay: u64,
    /// Milliseconds that it may be earlier or later; so they overtake each other
    #[arg(long, default_value_t = 10)]
    jitter: u64,
    /// Datagrams of a hundred that are not delayed at all
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(0..=100))]
    hurried: u16,
    /// Datagrams of a hundred that come twice
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=100))]
    doubled: u16,
    /// Cut one direction between the leader and a follower, for five seconds of fifteen
    #[arg(long)]
    cuts: bool,
    /// What all of this is drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Concurrent writers, beside those of the registers that are read
    #[arg(long, default_value_t = 16)]
    writers: usize,
}

impl Arguments {
    fn conditions(&self) -> Conditions {
        Conditions {
            lost: self.loss * 10,
            doubled: self.doubled * 10,
            hurried: self.hurried * 10,
            delay: Duration::from_millis(self.delay),
            jitter: Duration::from_millis(self.jitter),
            ..Conditions::default()
        }
    }
}

/// What came of it.
struct Outcome {
    mark: Mark,
    reads: Vec<Reads>,
    /// How often term or leader changed.
    changes: u64,
    lost: u64,
}

/// Runs it; fails if the leader was lost, writes paused, or something was not as it must.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    cluster::prepare_and_build()?;
    println!(
        "\nstarting three nodes behind a proxy, seed {}",
        arguments.seed
    );
    let conditions = arguments.conditions();
    let mut cluster = Cluster::fresh_behind("xtask-storm", arguments.seed, conditions)?;
    let (writes, history) = (cluster.dir().join("writes"), cluster.dir().join("history"));
    let mut load = Load::start(&cluster.client(), &writes, arguments.writers)?;
    let mut readers = Registers::start_noting(&cluster.client(), &history)?;
    let duration = Duration::from_secs(arguments.minutes * 60);
    let leader = cluster.wait_for_leader()?;
    let cuts = arguments.cuts.then(|| Cuts::around(leader, conditions));
    let changes = watch(&mut cluster, &mut load, cuts, duration)?;
    let (mark, reads) = (load.mark()?, readers.mark()?);
    load.stop()?;
    readers.stop()?;

    println!("{}", util::table(&proxy_rows(&mut cluster)));
    let judged = registers::judge(&cluster.client(), &history)?;
    println!("the history is linearizable: {}", judged.trim());
    cluster.wait_until_caught_up(CATCH_UP_LIMIT)?;
    let lost = read_back(&cluster, &writes)?;
    judge(&Outcome {
        mark,
        reads,
        changes,
        lost,
    })?;
    cluster.discard()
}

/// Looks at term and leader every second, and at the writes now and then.
fn watch(
    cluster: &mut Cluster,
    load: &mut Load,
    mut cuts: Option<Cuts>,
    duration: Duration,
) -> Result<u64> {
    const REPORT: Duration = Duration::from_secs(30);
    let client = cluster.client();
    let (start, mut reported) = (Instant::now(), Instant::now());
    let mut before = leadership(&client.status()?);
    let mut changes = 0;
    while start.elapsed() < duration {
        sleep(Duration::from_secs(1));
        if let Some(cuts) = &mut cuts {
            cuts.go_on(cluster)?;
        }
        let now = leadership(&client.status()?);
        let after = start.elapsed().as_secs();
        if now != before {
            println!("  after {after} s: {before:?} became {now:?} (term, leaders)");
            changes += now.0.saturating_sub(before.0).max(1);
            before = now;
        }
        if reported.elapsed() >= REPORT {
            reported = Instant::now();
            let mark = load.peek()?;
            println!(
                "  after {after} s: {:.0} writes/s, longest pause {} ms, slowest write {} ms",
                mark.rate(),
                mark.gap.as_millis(),
                mark.slowest.as_millis()
            );
        }
    }
    if let Some(cuts) = &mut cuts {
        cuts.end(cluster)?;
    }
    Ok(changes)
}

/// The highest term, and whom anybody takes for the leader. Who hears of none for a
/// while, behind a cut, changes nothing.
fn leadership(members: &[MemberStatus]) -> (u64, BTreeSet<u64>) {
    let term = members.iter().map(|status| status.term).max().unwrap_or(0);
    (
        term,
        members.iter().filter_map(|status| status.leader).collect(),
    )
}

fn read_back(cluster: &Cluster, writes: &Path) -> Result<u64> {
    let verified = load::verify(&cluster.client(), writes)?;
    println!("{}", util::table(&load::verified_rows(&verified)));
    Ok(load::lost(&verified))
}

fn proxy_rows(cluster: &mut Cluster) -> Vec<Vec<String>> {
    let head = ["from", "to", "datagrams", "lost", "doubled"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let counts = cluster.proxy().map(|proxy| proxy.counts());
    rows.extend(counts.into_iter().flatten().map(|((from, to), counts)| {
        let sent = counts.arrived + counts.lost;
        [from, to, sent, counts.lost, counts.doubled]
            .map(|number| number.to_string())
            .to_vec()
    }));
    rows
}

fn judge(outcome: &Outcome) -> Result<()> {
    let Outcome {
        mark,
        reads,
        changes,
        lost,
    } = outcome;
    println!(
        "{} writes, {:.0} a second, longest pause {} ms, slowest write {} ms, {} refused, {} unanswered",
        mark.acknowledged,
        mark.rate(),
        mark.gap.as_millis(),
        mark.slowest.as_millis(),
        mark.refused,
        mark.failed
    );
    let wrong: u64 = reads.iter().map(Reads::wrong).sum();
    let linearizable = reads.iter().filter(|reads| reads.is_linearizable);
    let slowest = linearizable.clone().map(|reads| reads.slowest).max();
    let answered: u64 = linearizable.map(|reads| reads.answered).sum();
    let slowest = slowest.context("nobody read")?;
    println!(
        "{answered} linearizable reads, the slowest took {} ms",
        slowest.as_millis()
    );
    ensure!(answered > 0, "no linearizable read was answered at all");
    ensure!(wrong == 0, "{wrong} reads were stale or made up");
    ensure!(
        *lost == 0,
        "{lost} acknowledged writes are missing or different somewhere"
    );
    ensure!(
        *changes == 0,
        "term or leader changed {changes} times, though no node failed"
    );
    ensure!(
        mark.gap <= PAUSE_LIMIT,
        "no write was acknowledged for {:?}, more than {PAUSE_LIMIT:?}",
        mark.gap
    );
    println!("one leader all the time; nothing that was acknowledged is lost");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_knows_of_no_leader_changes_nothing_and_who_knows_of_another_does() {
        let members = |leaders: [Option<u64>; 3]| {
            let of = |leader| MemberStatus {
                term: 2,
                leader,
                ..MemberStatus::default()
            };
            leadership(&leaders.map(of))
        };
        let all = members([Some(1); 3]);

        assert_eq!(members([Some(1), None, Some(1)]), all);
        assert_ne!(members([Some(1), Some(2), Some(1)]), all);
        assert_ne!(members([None; 3]), all);
    }

    fn outcome() -> Outcome {
        Outcome {
            mark: Mark::default(),
            reads: vec![Reads {
                is_linearizable: true,
                answered: 9,
                ..Reads::default()
            }],
            changes: 0,
            lost: 0,
        }
    }

    #[test]
    fn a_lost_leader_a_lost_write_a_stale_read_and_a_long_pause_each_fail() {
        let with = |change: fn(&mut Outcome)| {
            let mut outcome = outcome();
            change(&mut outcome);
            judge(&outcome)
        };

        assert!(with(|_| {}).is_ok());
        assert!(with(|outcome| outcome.changes = 1).is_err());
        assert!(with(|outcome| outcome.lost = 1).is_err());
        assert!(with(|outcome| outcome.reads[0].older = 1).is_err());
        assert!(with(|outcome| outcome.reads[0].answered = 0).is_err());
        assert!(with(|outcome| outcome.mark.gap = PAUSE_LIMIT * 2).is_err());
    }
}
