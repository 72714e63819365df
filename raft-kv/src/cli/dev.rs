//! `raft-kv dev`: three real nodes on this machine, for trying things out.
//!
//! Each node is a process of its own, started from a configuration file like
//! any other; nothing is simulated. The nodes watch their standard input, which
//! this process holds: when it stops, or is killed, they stop too.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use raft_kv::config::ClusterId;
use raft_kv::proto::etcdserverpb::RangeRequest;
use raft_kv::proto::etcdserverpb::kv_client::KvClient;
use raft_kv::shutdown::Signals;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout_at};

use super::cert;

const NODES: [u64; 3] = [1, 2, 3];
const CLUSTER: &str = "dev";
/// How long the nodes may take until they answer.
const START: Duration = Duration::from_secs(60);
/// How long a node may take to stop before it is killed.
const STOP: Duration = Duration::from_secs(10);

/// How often a node is looked at.
const GLANCE: Duration = Duration::from_millis(50);

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Keep the data there, for the next time; otherwise it is removed at the end
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// First of six ports in a row: a client port and a peer port for each node
    #[arg(long, value_name = "PORT", default_value_t = 2379, value_parser = clap::value_parser!(u16).range(1..=65530))]
    first_port: u16,
}

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The certificates were not made.
    #[error("cannot make certificates")]
    Certificates(#[from] cert::Error),
    /// A file or directory cannot be made.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A node cannot be started.
    #[error("cannot start node {node}")]
    Spawn {
        /// Which.
        node: u64,
        /// What the system says.
        source: io::Error,
    },
    /// A node ended by itself.
    #[error("node {node} ended ({status}); its log is {}, the last line: {last_line}", log.display())]
    Ended {
        /// Which.
        node: u64,
        /// How.
        status: ExitStatus,
        /// Its log.
        log: PathBuf,
        /// The end of it.
        last_line: String,
    },
    /// A node does not answer.
    #[error("node {node} did not answer within {START:?}; its log is {}", log.display())]
    Silent {
        /// Which.
        node: u64,
        /// Its log.
        log: PathBuf,
    },
    /// The system does not let us listen for signals.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
}

/// Runs the cluster until Ctrl-C.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Error> {
    let mut signals = Signals::catch().map_err(Error::Signals)?;
    let (directory, throwaway) = directory(arguments.data_dir.as_deref())?;
    let layout = Layout {
        directory,
        first_port: arguments.first_port,
    };
    layout.prepare()?;
    let mut nodes = Vec::new();
    let outcome = tokio::select! {
        outcome = serve(&layout, &mut nodes) => outcome,
        () = signals.received() => Ok(()),
    };
    eprintln!("stopping");
    stop(nodes).await;
    if outcome.is_err() {
        // The error names a log in there.
        keep(throwaway);
    }
    outcome
}

/// Starts the nodes, says how to reach them, and returns when one of them ends.
async fn serve(layout: &Layout, nodes: &mut Vec<Running>) -> Result<(), Error> {
    for node in NODES {
        nodes.push(layout.spawn(node)?);
    }
    tokio::select! {
        ended = first_end(layout, nodes) => return Err(ended),
        answered = all_answer(layout) => answered?,
    }
    println!("{}", layout.announcement());
    Err(first_end(layout, nodes).await)
}

/// Returns once every node serves.
async fn all_answer(layout: &Layout) -> Result<(), Error> {
    let deadline = Instant::now() + START;
    for node in NODES {
        let log = layout.log(node);
        timeout_at(deadline, answers(layout.client_url(node)))
            .await
            .map_err(|_| Error::Silent { node, log })?;
    }
    Ok(())
}

/// Returns when a node has ended, which none should.
async fn first_end(layout: &Layout, nodes: &mut [Running]) -> Error {
    loop {
        for running in nodes.iter_mut() {
            match running.child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => return layout.ended(running.node, status),
                Err(source) => {
                    let node = running.node;
                    return Error::Spawn { node, source };
                }
            }
        }
        sleep(GLANCE).await;
    }
}

/// Returns once a node serves a linearizable read.
async fn answers(url: String) {
    loop {
        if let Ok(mut client) = KvClient::connect(url.clone()).await {
            let request = RangeRequest {
                key: b"ready".to_vec(),
                ..RangeRequest::default()
            };
            if client.range(request).await.is_ok() {
                return;
            }
        }
        sleep(GLANCE).await;
    }
}

/// Lets go of all nodes at once, then waits for each.
async fn stop(mut nodes: Vec<Running>) {
    for running in &mut nodes {
        drop(running.child.stdin.take());
    }
    let deadline = Instant::now() + STOP;
    for mut running in nodes {
        let stopped = timeout_at(deadline, running.child.wait()).await;
        if stopped.is_err() {
            eprintln!("node {} does not stop, it is killed", running.node);
            // Already gone is as good.
            let _ = running.child.kill().await;
        }
    }
}

/// A node's process.
struct Running {
    node: u64,
    child: Child,
}

/// Where everything of the cluster is.
struct Layout {
    directory: PathBuf,
    first_port: u16,
}

impl Layout {
    /// Certificates, once; a directory and a configuration for each node.
    fn prepare(&self) -> Result<(), Error> {
        let certificates = self.directory.join("certificates");
        // The last file to be written: where it is, all are.
        if !certificates.join("ca.pem").exists() {
            let cluster: ClusterId = CLUSTER.parse().expect("the name is a valid one");
            cert::make(&certificates, &cluster, &NODES)?;
        }
        for node in NODES {
            create(&self.node(node))?;
            let path = self.config(node);
            std::fs::write(&path, self.configuration(node))
                .map_err(|source| Error::Write { path, source })?;
        }
        Ok(())
    }

    fn spawn(&self, node: u64) -> Result<Running, Error> {
        let failed = |source| Error::Spawn { node, source };
        let log = std::fs::File::create(self.log(node)).map_err(failed)?;
        let child = Command::new(std::env::current_exe().map_err(failed)?)
            .args(["server", "--stop-with-stdin", "--config"])
            .arg(self.config(node))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        Ok(Running { node, child })
    }

    fn configuration(&self, node: u64) -> String {
        let certificates = self.directory.join("certificates");
        let mut text = format!(
            "node_id = {node}\ncluster = {CLUSTER:?}\ndata_dir = {:?}\n\
             listen_client = \"127.0.0.1:{}\"\nlisten_peer = \"127.0.0.1:{}\"\n\n\
             [tls]\nca = {:?}\ncertificate = {:?}\nkey = {:?}\n",
            self.node(node).join("data"),
            self.client_port(node),
            self.client_port(node) + 1,
            certificates.join("ca.pem"),
            certificates.join(format!("node-{node}.pem")),
            certificates.join(format!("node-{node}.key")),
        );
        for member in NODES {
            write!(
                text,
                "\n[[initial_cluster]]\nid = {member}\nname = \"node-{member}\"\n\
                 peer = \"127.0.0.1:{}\"\nclient = \"{}\"\n",
                self.client_port(member) + 1,
                self.client_url(member),
            )
            .expect("a string takes all text");
        }
        text
    }

    fn ended(&self, node: u64, status: ExitStatus) -> Error {
        let log = self.log(node);
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        Error::Ended {
            node,
            status,
            log,
            last_line: text.lines().last().unwrap_or("(empty)").to_owned(),
        }
    }

    fn announcement(&self) -> String {
        let endpoints: Vec<_> = NODES
            .iter()
            .map(|&node| format!("127.0.0.1:{}", self.client_port(node)))
            .collect();
        let endpoints = endpoints.join(",");
        format!(
            "three nodes serve clients at {endpoints}\n\
             try       ETCDCTL_API=3 etcdctl --endpoints={endpoints} put hello world\n\
             data in   {}\n\
             stop with Ctrl-C",
            self.directory.display()
        )
    }

    fn node(&self, node: u64) -> PathBuf {
        self.directory.join(format!("node-{node}"))
    }

    fn config(&self, node: u64) -> PathBuf {
        self.node(node).join("node.toml")
    }

    fn log(&self, node: u64) -> PathBuf {
        self.node(node).join("log")
    }

    /// The peer port is the one after it.
    fn client_port(&self, node: u64) -> u16 {
        let place = u16::try_from(node - 1).expect("there are three nodes");
        self.first_port + 2 * place
    }

    fn client_url(&self, node: u64) -> String {
        format!("http://127.0.0.1:{}", self.client_port(node))
    }
}

/// The directory to work in, and what removes it at the end if nobody wants it.
fn directory(given: Option<&Path>) -> Result<(PathBuf, Option<tempfile::TempDir>), Error> {
    let Some(given) = given else {
        let made = tempfile::Builder::new().prefix("raft-kv-dev-").tempdir();
        let made = made.map_err(|source| Error::Write {
            path: std::env::temp_dir(),
            source,
        })?;
        return Ok((made.path().to_owned(), Some(made)));
    };
    create(given)?;
    let path = given.canonicalize().map_err(|source| Error::Write {
        path: given.to_owned(),
        source,
    })?;
    Ok((path, None))
}

fn keep(directory: Option<tempfile::TempDir>) {
    if let Some(directory) = directory {
        let _ = directory.keep();
    }
}

fn create(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}
