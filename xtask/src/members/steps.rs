//! The steps of the show, one after the other, and what the writers saw in each.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Arguments;
use super::report::{Step, Tolerated};
use crate::client::{Change, Client};
use crate::cluster::{Cluster, Ports};
use crate::load::Load;
use crate::util;

/// How long a node may take to get the state and vote.
const JOIN_LIMIT: Duration = Duration::from_secs(600);
/// How long a removed node may take to notice it.
const RETIRE_LIMIT: Duration = Duration::from_secs(30);
const INSTALLED: &str = "raft_snapshots_installed_total";

/// The show as it goes.
pub(super) struct Show<'c> {
    cluster: &'c mut Cluster,
    load: Load,
    stretch: Duration,
    steps: Vec<Step>,
}

impl<'c> Show<'c> {
    /// Starts the writers.
    pub(super) fn begin(
        cluster: &'c mut Cluster,
        file: &Path,
        arguments: &Arguments,
    ) -> Result<Self> {
        println!("{} writers write through all members", arguments.writers);
        let load = Load::start(&cluster.client(), file, arguments.writers)?;
        Ok(Self {
            cluster,
            load,
            stretch: Duration::from_secs(arguments.stretch),
            steps: Vec::new(),
        })
    }

    pub(super) fn run(&mut self) -> Result<()> {
        self.rest("three nodes")?;
        self.learner_joins_and_is_promoted()?;
        self.leader_is_removed()?;
        self.dead_node_is_replaced()?;
        self.rest("three nodes again, two of them new")
    }

    /// Stops the writers; answers what they saw in each step.
    pub(super) fn end(self) -> Result<Vec<Step>> {
        self.load.stop()?;
        Ok(self.steps)
    }

    fn learner_joins_and_is_promoted(&mut self) -> Result<()> {
        let ports = Ports::choose()?;
        let node = self.add(ports, true)?;
        // The server does not let a node vote that has nothing yet.
        match self.client().promote(node)? {
            Change::Refused(reason) => println!("  promoting it at once is refused: {reason}"),
            Change::Done => bail!("node {node} was promoted although it does not even run"),
        }
        self.join_by_snapshot(node, ports)?;
        self.step(format!("node {node} is promoted"), |show| {
            show.client_until("a promotion", |client| client.promote(node))
        })?;
        ensure!(
            self.votes(node)?,
            "node {node} was promoted, yet does not vote"
        );
        self.rest("four voters")
    }

    fn leader_is_removed(&mut self) -> Result<()> {
        let leader = self.cluster.wait_for_leader()?;
        let endpoint = self.endpoint_of(leader)?;
        let staying = self.others(leader);
        let client = self.client_of(&staying)?;
        let what = format!("node {leader}, the leader, is removed");
        let mut last_word = String::new();
        self.step_that_costs(what, Tolerated::HandOver(endpoint), |show| {
            done(client.remove(leader)?).context("the leader was not removed")?;
            last_word = show.cluster.retire(leader, RETIRE_LIMIT)?;
            show.load.use_members(&show.cluster.endpoints())?;
            show.load.wait_for_writes()
        })?;
        println!("  its last word: {last_word}");
        let now = self.cluster.wait_for_leader()?;
        println!("  node {now} leads now");
        self.rest("three voters")
    }

    fn dead_node_is_replaced(&mut self) -> Result<()> {
        let leader = self.cluster.wait_for_leader()?;
        let victim = self.others(leader).into_iter().next();
        let victim = victim.context("there is only one node")?;
        let endpoint = self.endpoint_of(victim)?;
        let what = format!("node {victim}, a follower, killed with SIGKILL");
        self.step_that_costs(what, Tolerated::Dead(endpoint), |show| {
            show.cluster.kill(victim)?;
            show.cluster.forget(victim);
            show.load.use_members(&show.cluster.endpoints())?;
            show.load.wait_for_writes()
        })?;
        self.rest("two of three voters")?;

        let ports = Ports::choose()?;
        let node = self.add(ports, false)?;
        self.join_by_snapshot(node, ports)?;
        self.step(format!("node {node} votes by itself"), |show| {
            util::wait_for("the new node to vote", JOIN_LIMIT, || {
                Ok(show.votes(node)?.then_some(()))
            })
        })?;
        self.step(format!("node {victim}, the dead one, is removed"), |show| {
            done(show.client().remove(victim)?).context("the dead node was not removed")
        })
    }

    /// Adds a member that does not run yet; answers its number.
    fn add(&mut self, ports: Ports, learner: bool) -> Result<u64> {
        let kind = if learner { "a learner" } else { "a member" };
        let mut number = 0;
        self.step(format!("{kind} is added"), |show| {
            number = show.client().add(&ports.peer_address(), learner)?;
            Ok(())
        })?;
        Ok(number)
    }

    /// Starts an added node and waits until it holds what the others hold; that
    /// must come by snapshot, because nobody has the whole log any more.
    fn join_by_snapshot(&mut self, node: u64, ports: Ports) -> Result<()> {
        let leader = self.cluster.wait_for_leader()?;
        let purged = self.cluster.metric(leader, "raft_purged_index")?;
        let purged = purged.context("the leader does not answer")?;
        ensure!(
            purged > 0.0,
            "the leader's log was not purged, no snapshot is needed"
        );
        println!("  the leader's log begins after entry {purged}");
        let began = Instant::now();
        let what = format!("node {node} starts, gets a snapshot and catches up");
        let mut installed_after = Duration::ZERO;
        self.step(what, |show| {
            show.cluster.join(node, ports)?;
            util::wait_for("a snapshot to be installed", JOIN_LIMIT, || {
                let installed = show.cluster.metric(node, INSTALLED)?;
                Ok(installed.filter(|&count| count > 0.0).map(drop))
            })?;
            installed_after = began.elapsed();
            show.cluster.wait_until_caught_up(JOIN_LIMIT)
        })?;
        self.load.use_members(&self.cluster.endpoints())?;
        self.tell_of_snapshot(node, installed_after)
    }

    fn tell_of_snapshot(&self, node: u64, took: Duration) -> Result<()> {
        let received = "raft_transport_bytes_total{direction=\"received\"}";
        let received = self.cluster.metric(node, received)?;
        let received = received.context("the new node does not answer")? / f64::from(1 << 20);
        let seconds = took.as_secs_f64();
        println!(
            "  snapshot installed {seconds:.1} s after the start of node {node}: \
             {received:.0} MiB from its peers, {:.0} MiB/s",
            received / seconds
        );
        Ok(())
    }

    fn votes(&self, node: u64) -> Result<bool> {
        Ok(self.client().members()?.contains(&(node, true)))
    }

    /// A client of all nodes that run.
    fn client(&self) -> Client {
        self.cluster.client()
    }

    fn client_of(&self, nodes: &[u64]) -> Result<Client> {
        let first = nodes.first().context("there is only one node")?;
        Ok(self.client().only(self.cluster.place(*first)?))
    }

    /// Asks until what was refused so far is done.
    fn client_until(&self, what: &str, ask: impl Fn(&Client) -> Result<Change>) -> Result<()> {
        let mut told = String::new();
        util::wait_for(what, JOIN_LIMIT, || match ask(&self.client())? {
            Change::Done => Ok(Some(())),
            Change::Refused(reason) => {
                if reason != told {
                    println!("  refused for now: {reason}");
                    told = reason;
                }
                Ok(None)
            }
        })
    }

    fn others(&self, than: u64) -> Vec<u64> {
        let mut nodes = self.cluster.nodes();
        nodes.retain(|&node| node != than);
        nodes
    }

    fn endpoint_of(&self, node: u64) -> Result<String> {
        let place = self.cluster.place(node)?;
        Ok(self.cluster.endpoints()[place].clone())
    }

    /// Lets the writers write for a while, so that their rate shows.
    fn rest(&mut self, what: &str) -> Result<()> {
        let stretch = self.stretch;
        self.step(what.to_owned(), |_| {
            sleep(stretch);
            Ok(())
        })
    }

    /// A step in which no write may fail.
    fn step(&mut self, what: String, act: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.step_that_costs(what, Tolerated::Nothing, act)
    }

    fn step_that_costs(
        &mut self,
        what: String,
        tolerated: Tolerated,
        act: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        act(self).with_context(|| what.clone())?;
        let step = Step {
            what,
            tolerated,
            mark: self.load.mark()?,
        };
        println!("{}", step.line());
        self.steps.push(step);
        Ok(())
    }
}

fn done(change: Change) -> Result<()> {
    match change {
        Change::Done => Ok(()),
        Change::Refused(reason) => bail!("it was refused: {reason}"),
    }
}
