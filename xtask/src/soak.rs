//! Longer runs on a local cluster: nodes killed in a row, and calm under full load.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::client::{MemberStatus, agreed_leader};
use crate::cluster::{self, Cluster, NODES};
use crate::load::{self, Load};
use crate::util;

const CATCH_UP_LIMIT: Duration = Duration::from_secs(60);

/// How often to kill
#[derive(clap::Args)]
pub(crate) struct KillLoopArguments {
    /// How many kills; every other one hits the leader, beginning with it
    #[arg(long, default_value_t = 10)]
    rounds: u64,
    /// Kill the leader each time
    #[arg(long)]
    only_leaders: bool,
    /// Concurrent writers
    #[arg(long, default_value_t = 16)]
    writers: usize,
}

/// How long to stay calm
#[derive(clap::Args)]
pub(crate) struct CalmArguments {
    /// How many minutes
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Concurrent writers
    #[arg(long, default_value_t = 64)]
    writers: usize,
}

/// One kill.
struct Round {
    node: u64,
    was_leader: bool,
    gap: Duration,
}

/// Kills and restarts one node after the other under load.
pub(crate) fn kill_loop(arguments: &KillLoopArguments) -> Result<()> {
    cluster::prepare_and_build()?;
    let mut cluster = Cluster::fresh("xtask-kill-loop")?;
    let file = cluster.dir().join("writes");
    let mut load = Load::start(&cluster.client(), &file, arguments.writers)?;
    let mut rounds = Vec::new();
    for number in 0..arguments.rounds {
        let wants_leader = arguments.only_leaders || number % 2 == 0;
        let round = kill_one(&mut cluster, &mut load, number, wants_leader)
            .with_context(|| format!("in round {}", number + 1))?;
        let role = if round.was_leader {
            "leader"
        } else {
            "follower"
        };
        println!(
            "round {}: node {} ({role}) killed, writes interrupted for {} ms",
            number + 1,
            round.node,
            round.gap.as_millis()
        );
        rounds.push(round);
    }
    load.stop()?;
    finish(&mut cluster, &file)?;
    if let Some(median) = median_for_leaders(&rounds) {
        println!(
            "median interruption when the leader was killed: {} ms",
            median.as_millis()
        );
    }
    cluster.discard()
}

fn kill_one(
    cluster: &mut Cluster,
    load: &mut Load,
    number: u64,
    wants_leader: bool,
) -> Result<Round> {
    let leader = cluster.wait_for_leader()?;
    let node = if wants_leader {
        leader
    } else {
        a_follower(leader, number)
    };
    load.mark()?;
    cluster.kill(node)?;
    load.wait_for_writes()?;
    sleep(Duration::from_secs(1));
    let gap = load.mark()?.gap;
    cluster.start(node)?;
    cluster.wait_until_caught_up(CATCH_UP_LIMIT)?;
    Ok(Round {
        node,
        was_leader: node == leader,
        gap,
    })
}

/// One of the two followers; which, alternates with `number`.
fn a_follower(leader: u64, number: u64) -> u64 {
    let step = 1 + number / 2 % 2;
    (leader - 1 + step) % NODES.len() as u64 + 1
}

fn median_for_leaders(rounds: &[Round]) -> Option<Duration> {
    let mut gaps: Vec<_> = rounds
        .iter()
        .filter(|round| round.was_leader)
        .map(|round| round.gap)
        .collect();
    gaps.sort();
    gaps.get(gaps.len() / 2).copied()
}

/// Reads everything back; fails if anything is lost.
fn finish(cluster: &mut Cluster, file: &Path) -> Result<()> {
    cluster.wait_until_caught_up(CATCH_UP_LIMIT)?;
    let verified = load::verify(&cluster.client(), file)?;
    println!("\n{}", util::table(&load::verified_rows(&verified)));
    let lost = load::lost(&verified);
    ensure!(
        lost == 0,
        "{lost} acknowledged writes are missing or different somewhere"
    );
    println!("nothing that was acknowledged is lost");
    Ok(())
}

/// Loads every processor without a fault; the leadership must not move.
pub(crate) fn calm(arguments: &CalmArguments) -> Result<()> {
    cluster::prepare_and_build()?;
    let mut cluster = Cluster::fresh("xtask-calm")?;
    let file = cluster.dir().join("writes");
    let mut load = Load::start(&cluster.client(), &file, arguments.writers)?;
    let duration = Duration::from_secs(arguments.minutes * 60);
    let changes = with_busy_processors(|| watch_terms(&mut cluster, duration))?;
    let mark = load.mark()?;
    load.stop()?;
    println!(
        "{} minutes: {:.0} writes/s, longest interruption {} ms, {changes} changes of term or leader",
        arguments.minutes,
        mark.rate(),
        mark.gap.as_millis()
    );
    finish(&mut cluster, &file)?;
    if changes > 0 {
        bail!("{changes} elections without a fault");
    }
    cluster.discard()
}

/// Runs `job` while one thread per processor does nothing but compute.
fn with_busy_processors<T>(job: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    let processors = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let answer = job();
        over.store(true, Ordering::Relaxed);
        answer
    })
}

/// How often term or leader changed on the way.
fn watch_terms(cluster: &mut Cluster, duration: Duration) -> Result<u64> {
    let client = cluster.client();
    cluster.wait_for_leader()?;
    let start = Instant::now();
    let mut before = seen(&client.status()?);
    let mut changes = 0;
    while start.elapsed() < duration {
        sleep(Duration::from_secs(1));
        let now = seen(&client.status()?);
        if now != before {
            println!(
                "after {} s: {before:?} became {now:?} (term, leader)",
                start.elapsed().as_secs()
            );
            changes += now.0.saturating_sub(before.0).max(1);
            before = now;
        }
    }
    Ok(changes)
}

/// The highest term, and the leader agreed on.
fn seen(members: &[MemberStatus]) -> (u64, Option<u64>) {
    let term = members.iter().map(|status| status.term).max().unwrap_or(0);
    (term, agreed_leader(members))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_counts_leaders_only() {
        let round = |was_leader, millis| Round {
            node: 1,
            was_leader,
            gap: Duration::from_millis(millis),
        };

        let rounds = [
            round(true, 300),
            round(false, 9),
            round(true, 500),
            round(true, 400),
        ];

        assert_eq!(
            median_for_leaders(&rounds),
            Some(Duration::from_millis(400))
        );
        assert_eq!(median_for_leaders(&rounds[1..2]), None);
    }

    #[test]
    fn a_follower_is_never_the_leader_and_both_get_their_turn() {
        for leader in NODES {
            let followers = [a_follower(leader, 1), a_follower(leader, 3)];

            assert!(!followers.contains(&leader));
            assert_ne!(followers[0], followers[1]);
            assert!(followers.iter().all(|node| NODES.contains(node)));
        }
    }

    #[test]
    fn processors_are_busy_only_as_long_as_the_job() {
        assert_eq!(with_busy_processors(|| 7), 7);
    }
}
