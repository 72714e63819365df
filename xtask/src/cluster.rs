//! A local cluster of three `raft-kv` processes with throwaway certificates.
//!
//! `cluster up` leaves the nodes running under `target/xtask-cluster`; demo and
//! soak runs keep theirs in folders of their own and end them with themselves.

mod behind;
mod growth;
mod layout;
mod process;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Subcommand;

pub(crate) use self::layout::Ports;
use self::layout::{NAME, configuration, load_or_choose_ports};
use self::process::Process;
use crate::client::{Client, MemberStatus, agreed_leader};
use crate::proxy::Proxy;
use crate::{prerequisites, util};

/// The numbers of the nodes that a cluster begins with.
pub(crate) const NODES: [u64; 3] = [1, 2, 3];
/// How long a cluster may take to elect its first leader, processes starting included.
const LEADER_LIMIT: Duration = Duration::from_secs(60);

/// What to do with the local cluster
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Builds and starts the nodes that do not run; waits until one leads
    Up,
    /// Stops all nodes; their data stays, unless told otherwise
    Down {
        /// Remove the data, too
        #[arg(long)]
        wipe: bool,
    },
    /// Shows role, term and position of each node
    Status,
    /// Kills a node (SIGKILL)
    Kill { node: u64 },
    /// Stops a node (SIGTERM) and starts it again
    Restart { node: u64 },
    /// Freezes a node (SIGSTOP)
    Stop { node: u64 },
    /// Lets a frozen node go on (SIGCONT)
    Cont { node: u64 },
}

/// One local cluster.
pub(crate) struct Cluster {
    dir: PathBuf,
    target_dir: PathBuf,
    /// Whether the nodes outlive us.
    detached: bool,
    members: Vec<Member>,
    /// What stands at the beginning of each node's configuration.
    settings: String,
    /// Between the nodes, if something is.
    proxy: Option<Proxy>,
}

/// One node of it.
struct Member {
    number: u64,
    ports: Ports,
    process: Process,
}

/// Runs a verb on the cluster of `cluster up`.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let target_dir = util::target_dir()?;
    let dir = target_dir.join("xtask-cluster");
    if matches!(arguments.verb, Verb::Up) {
        prepare_and_build()?;
    } else if !dir.join("ports").exists() {
        bail!("there is no cluster; start one with `cargo xtask cluster up`");
    }
    let mut cluster = Cluster::open(dir, target_dir, true)?;
    match arguments.verb {
        Verb::Up => cluster.up(),
        Verb::Down { wipe } => cluster.down(wipe),
        Verb::Status => {
            println!("{}", cluster.status_table()?);
            Ok(())
        }
        Verb::Kill { node } => cluster.kill(node),
        Verb::Restart { node } => {
            cluster.terminate(node)?;
            cluster.start(node)
        }
        Verb::Stop { node } => cluster.freeze(node),
        Verb::Cont { node } => cluster.thaw(node),
    }
}

/// Prepares the machine and builds server and client, as the tests will find them.
pub(crate) fn prepare_and_build() -> Result<()> {
    prerequisites::prepare()?;
    // The whole workspace with its examples: the same features as the tests
    // have, so that RocksDB is compiled once for both.
    util::run(&mut util::cargo([
        "build",
        "--workspace",
        "--bins",
        "--examples",
    ]))
}

impl Cluster {
    /// A new, empty cluster that ends with us, in `name` under the build folder.
    pub(crate) fn fresh(name: &str) -> Result<Self> {
        Self::fresh_on(name, |_, _| Ok(()))
    }

    /// The same, with data directories that `prepare` may put something in the place of.
    pub(crate) fn fresh_on(
        name: &str,
        mut prepare: impl FnMut(u64, &Path) -> Result<()>,
    ) -> Result<Self> {
        let mut cluster = Self::empty(name)?;
        for node in NODES {
            prepare(node, &cluster.dir.join(format!("node-{node}/data")))?;
        }
        cluster.begin()?;
        Ok(cluster)
    }

    fn empty(name: &str) -> Result<Self> {
        let target_dir = util::target_dir()?;
        let dir = target_dir.join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        }
        Self::open(dir, target_dir, false)
    }

    fn begin(&mut self) -> Result<()> {
        for node in NODES {
            self.start(node)?;
        }
        self.wait_for_leader().map(drop)
    }

    fn open(dir: PathBuf, target_dir: PathBuf, detached: bool) -> Result<Self> {
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let ports = load_or_choose_ports(&dir.join("ports"), detached)?;
        let members = NODES.into_iter().zip(ports).map(|(number, ports)| Member {
            number,
            ports,
            process: Process::new(dir.join(format!("node-{number}"))),
        });
        let cluster = Self {
            members: members.collect(),
            dir,
            target_dir,
            detached,
            proxy: None,
            settings: String::new(),
        };
        for member in &cluster.members {
            cluster.write_configuration(member, false)?;
        }
        Ok(cluster)
    }

    fn write_configuration(&self, member: &Member, joins: bool) -> Result<()> {
        let folder = self.dir.join(format!("node-{}", member.number));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let others = self.members.iter().filter(|m| m.number != member.number);
        let all = others.chain([member]);
        let mut all: Vec<_> = all.map(|m| (m.number, self.seen_by_others(m))).collect();
        all.sort_unstable_by_key(|&(number, _)| number);
        let text = configuration(&self.dir, member.number, member.ports, &all, joins);
        let text = format!("{}{text}", self.settings);
        fs::write(folder.join("node.toml"), text)?;
        Ok(())
    }

    /// Certificates for the nodes of `nodes` that have none.
    fn make_certificates(&self, nodes: &[u64]) -> Result<()> {
        let folder = self.dir.join("certificates");
        let lacks = |node: &&u64| !folder.join(format!("node-{node}.pem")).exists();
        let nodes: Vec<_> = nodes.iter().filter(lacks).map(u64::to_string).collect();
        if nodes.is_empty() {
            return Ok(());
        }
        let mut command = Command::new(self.server());
        command.args([
            "cert",
            "node",
            "--cluster",
            NAME,
            "--nodes",
            &nodes.join(","),
            "--out",
        ]);
        util::output_of(command.arg(folder)).map(drop)
    }

    /// The program that the nodes run.
    pub(crate) fn server(&self) -> PathBuf {
        self.target_dir.join("debug/raft-kv")
    }

    fn up(&mut self) -> Result<()> {
        for node in NODES {
            if self.process(node)?.is_running() {
                println!("node {node} runs already");
            } else {
                self.start(node)?;
            }
        }
        self.wait_for_leader()?;
        println!("{}", self.status_table()?);
        println!(
            "ETCDCTL_API=3 etcdctl --endpoints={} put hello world",
            self.endpoints().join(",")
        );
        println!("data and logs: {}", self.dir.display());
        Ok(())
    }

    fn down(&mut self, wipe: bool) -> Result<()> {
        for member in &mut self.members {
            member.process.terminate()?;
        }
        if wipe {
            fs::remove_dir_all(&self.dir)?;
        }
        println!("all nodes are down");
        Ok(())
    }

    /// Ends the nodes and removes what they stored. Not after a failure: then data and
    /// logs are what there is to look at.
    pub(crate) fn discard(mut self) -> Result<()> {
        self.end()?;
        fs::remove_dir_all(&self.dir)
            .with_context(|| format!("cannot remove {}", self.dir.display()))
    }

    /// Ends the nodes.
    pub(crate) fn end(&mut self) -> Result<()> {
        let mut members = self.members.iter_mut();
        members.try_for_each(|member| member.process.terminate())
    }

    /// Starts one node.
    pub(crate) fn start(&mut self, node: u64) -> Result<()> {
        self.make_certificates(&NODES)?;
        let server = self.server();
        let detached = self.detached;
        self.process(node)?.start(&server, detached)
    }

    /// Kills one node with SIGKILL, and returns when it is dead.
    pub(crate) fn kill(&mut self, node: u64) -> Result<()> {
        self.process(node)?.kill()
    }

    /// Stops one node (SIGTERM), and returns when it has ended.
    pub(crate) fn terminate(&mut self, node: u64) -> Result<()> {
        self.process(node)?.terminate()
    }

    /// Freezes one node (SIGSTOP).
    pub(crate) fn freeze(&mut self, node: u64) -> Result<()> {
        self.process(node)?.signal("STOP")
    }

    /// Lets a frozen node go on (SIGCONT).
    pub(crate) fn thaw(&mut self, node: u64) -> Result<()> {
        self.process(node)?.signal("CONT")
    }

    fn process(&mut self, node: u64) -> Result<&mut Process> {
        let place = self.place(node)?;
        Ok(&mut self.members[place].process)
    }

    /// Which of the endpoints is the node's.
    pub(crate) fn place(&self, node: u64) -> Result<usize> {
        place(&self.nodes(), node)
    }

    /// The nodes' numbers.
    pub(crate) fn nodes(&self) -> Vec<u64> {
        self.members.iter().map(|member| member.number).collect()
    }

    /// Where clients reach the nodes, in the order of their numbers.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        let ports = self.members.iter().map(|member| member.ports.client);
        ports.map(|port| format!("127.0.0.1:{port}")).collect()
    }

    /// Fails if a node that we started has ended by itself.
    fn check_alive(&mut self) -> Result<()> {
        let mut members = self.members.iter_mut();
        members.try_for_each(|member| member.process.check_alive())
    }

    /// A client of all nodes.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.target_dir, self.endpoints())
    }

    /// Where the runs of this cluster may keep files.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Waits until the nodes that run agree on a leader; answers it.
    pub(crate) fn wait_for_leader(&mut self) -> Result<u64> {
        let client = self.client();
        let outcome = util::wait_for("a leader", LEADER_LIMIT, || {
            self.check_alive()?;
            Ok(agreed_leader(&client.status()?))
        });
        outcome.with_context(|| format!("the nodes' logs are in {}", self.dir.display()))
    }

    /// Waits until every node has applied what the leader has committed.
    pub(crate) fn wait_until_caught_up(&mut self, limit: Duration) -> Result<()> {
        let client = self.client();
        let goal = highest_index(&client.status()?);
        util::wait_for("every node to catch up", limit, || {
            self.check_alive()?;
            let members = client.status()?;
            let all = members
                .iter()
                .all(|status| status.member.is_some() && status.applied >= goal);
            Ok(all.then_some(()))
        })
        .with_context(|| format!("entry {goal} must be applied everywhere"))
    }

    /// Role, term and position of each node.
    pub(crate) fn status_table(&self) -> Result<String> {
        let members = self.client().status()?;
        let rows = status_rows(&self.nodes(), &self.endpoints(), &members);
        Ok(util::table(&rows))
    }
}

fn place(nodes: &[u64], node: u64) -> Result<usize> {
    let place = nodes.iter().position(|&number| number == node);
    place.with_context(|| format!("there is no node {node}; the nodes are {nodes:?}"))
}

fn highest_index(members: &[MemberStatus]) -> u64 {
    members.iter().map(|status| status.index).max().unwrap_or(0)
}

fn status_rows(nodes: &[u64], endpoints: &[String], members: &[MemberStatus]) -> Vec<Vec<String>> {
    let head = [
        "node", "endpoint", "role", "term", "index", "applied", "revision",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for ((node, endpoint), status) in nodes.iter().zip(endpoints).zip(members) {
        let mut row = vec![node.to_string(), endpoint.clone()];
        let role = match (status.member, status.leader) {
            (None, _) => "down",
            (Some(member), Some(leader)) if member == leader => "leader",
            (Some(_), Some(_)) if status.is_learner => "learner",
            (Some(_), Some(_)) => "follower",
            (Some(_), None) => "no leader",
        };
        row.push(role.to_owned());
        if status.member.is_some() {
            let numbers = [status.term, status.index, status.applied, status.revision];
            row.extend(numbers.map(|n| n.to_string()));
        }
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_tells_leader_follower_and_dead() {
        let endpoints = ["a", "b", "c"].map(str::to_owned);
        let of = |member, leader| MemberStatus {
            member,
            leader,
            ..MemberStatus::default()
        };
        let members = [of(Some(1), Some(1)), of(Some(2), Some(1)), of(None, None)];

        let rows = status_rows(&NODES, &endpoints, &members);

        let roles: Vec<_> = rows.iter().skip(1).map(|row| row[2].as_str()).collect();
        assert_eq!(roles, ["leader", "follower", "down"]);
    }

    #[test]
    fn an_unknown_node_is_refused() {
        let error = place(&NODES, 4).unwrap_err();

        assert_eq!(
            error.to_string(),
            "there is no node 4; the nodes are [1, 2, 3]"
        );
    }
}
