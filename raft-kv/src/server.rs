//! One node, assembled: stores, transport, Raft, and the services on the client port.
//!
//! A data directory holds `raft` (log, term and vote) and `state` (keys and
//! values), two RocksDB instances that never share a file.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use raft_core::node::{Backends, Node, NodeConfig, NodeError, random_seed};
use raft_core::{GroupId, Incarnation, Membership, Network, ReplicaId, StorageError};
use raft_storage_rocks::{RocksOptions, RocksStore};
use raft_transport_quic::{QuicConfig, QuicNetwork};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::api::{Backend, Limits};
use crate::certificates::{self, CertificateFiles, Stamps};
use crate::config::{ClusterState, Config};
use crate::mvcc::{MvccMachine, MvccStore};
use crate::scrub::Scrub;
use crate::{founders, http, member, upkeep};

/// The one group of this server.
const GROUP: GroupId = GroupId::new(0);
/// How much longer than a request the node keeps what waits for an outcome.
const NODE_GIVES_UP_LATER: Duration = Duration::from_secs(1);
/// How long clients may take to finish what they began when the server stops.
const DRAIN: Duration = Duration::from_secs(3);

/// Runs a node until `shutdown` completes, then stops it gracefully.
///
/// # Errors
///
/// When the node cannot start, or fails while it runs.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), ServerError> {
    run_and_reload(config, shutdown, std::future::pending).await
}

/// As [`run`]; each time that a future of `reload` completes, the certificates are
/// read again at once.
///
/// # Errors
///
/// As [`run`].
pub async fn run_and_reload<F: Future<Output = ()>>(
    config: Config,
    shutdown: impl Future<Output = ()>,
    mut reload: impl FnMut() -> F,
) -> Result<(), ServerError> {
    let mut shutdown = pin!(shutdown);
    let mut server = tokio::select! {
        started = Server::start(config) => started?,
        () = &mut shutdown => return Ok(()),
    };
    let outcome = loop {
        tokio::select! {
            () = &mut shutdown => break Ok(()),
            failure = server.failure() => break Err(failure),
            () = reload() => server.reload_certificates(),
        }
    };
    server.stop().await;
    outcome
}

/// A node that runs. Dropped, it stops at once; [`Server::stop`] is kinder.
pub struct Server {
    node: Node,
    network: Arc<QuicNetwork>,
    client_address: SocketAddr,
    stop_serving: oneshot::Sender<()>,
    serving: JoinHandle<io::Result<()>>,
    removed: watch::Receiver<bool>,
    upkeep: [JoinHandle<()>; 4],
    certificates: Arc<CertificateFiles>,
    scrub: Scrub,
}

impl Server {
    /// Starts a node; it serves when this returns, but may not know a leader yet.
    ///
    /// # Errors
    ///
    /// What the node needs and does not have; the text says what to do.
    pub async fn start(config: Config) -> Result<Self, ServerError> {
        http::metrics::record();
        // The ports first: they are what is most often wrong, and nothing is created yet.
        let listener = bind(config.listen_client).await?;
        let client_address = listener.local_addr().map_err(ServerError::Serve)?;
        let (network, certificates) = bind_peers(&config)?;
        // The log before the state: it knows whose the directory is, and refuses another's.
        let log = open_log(&config)?;
        founders::check(
            &config,
            &log.log_store(GROUP)
                .map_err(|e| ServerError::Log(Box::new(e)))?,
        )
        .await?;
        let (store, machine) = open_state(&config)?;
        let node = spawn_node(&config, &log, network.clone(), machine).await?;
        warn_without_vote(&node);
        let limits = Limits {
            deadline: config.request_deadline(),
            max_request_bytes: config.max_request_bytes,
            max_txn_ops: config.max_txn_ops,
        };
        let cluster = config.cluster.number();
        let backend = Backend::new(cluster, config.node, node.clone(), store, limits);
        let (is_removed, removed) = watch::channel(false);
        let removal = upkeep::notice_removal(node.clone(), is_removed);
        let members = upkeep::members(node.clone(), member::own_info(&config));
        let watching = Arc::clone(&certificates).watch();
        let scrub = Scrub::start(log, node.clone());
        let (stop_serving, stopped) = oneshot::channel();
        let serving = tokio::spawn(serve(listener, http::router(&backend), stopped));
        info!(
            version = env!("CARGO_PKG_VERSION"),
            node = config.node.get(),
            name = config.name,
            cluster = %config.cluster,
            client = %client_address,
            peer = %config.listen_peer,
            data_dir = %config.data_dir.display(),
            "serving"
        );
        Ok(Self {
            node,
            network,
            client_address,
            stop_serving,
            serving,
            removed,
            upkeep: [
                tokio::spawn(http::metrics::upkeep()),
                tokio::spawn(members),
                tokio::spawn(removal),
                tokio::spawn(watching),
            ],
            certificates,
            scrub,
        })
    }

    /// Where clients reach it.
    pub const fn client_address(&self) -> SocketAddr {
        self.client_address
    }

    /// Reads the files under `tls` again and uses them from then on. If they cannot be
    /// used, those in use stay, and the log says why. Files that change are noticed
    /// without this too.
    pub fn reload_certificates(&self) {
        self.certificates.reload();
    }

    /// Its connections to the peers.
    pub const fn network(&self) -> &Arc<QuicNetwork> {
        &self.network
    }

    /// Its Raft node.
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// Returns when the node fails, with the reason. Safe to drop and call again.
    pub async fn failure(&mut self) -> ServerError {
        let mut status = self.node.watch();
        let failed = async {
            match status.wait_for(|status| !status.is_running).await {
                Ok(status) => status.failure.clone(),
                Err(_) => None,
            }
        };
        tokio::select! {
            reason = failed => ServerError::Failed {
                reason: reason.unwrap_or_else(|| "the node stopped by itself".to_owned()),
            },
            _ = self.removed.wait_for(|is_removed| *is_removed) => ServerError::Removed,
            served = &mut self.serving => ServerError::Serve(
                served.map_err(io::Error::other).and_then(|result| result).err()
                    .unwrap_or_else(|| io::Error::other("the listener ended")),
            ),
        }
    }

    /// Stops: takes no more connections, lets clients finish what they began for a
    /// moment, then stops the node. A leader hands over first.
    pub async fn stop(self) {
        info!("stopping");
        // It is gone already if serving has failed.
        let _ = self.stop_serving.send(());
        if !self.serving.is_finished() {
            let mut serving = self.serving;
            if tokio::time::timeout(DRAIN, &mut serving).await.is_err() {
                warn!("clients still hold connections, they are cut off");
                serving.abort();
            }
        }
        drop(self.scrub);
        self.node.shutdown().await;
        self.network.shutdown().await;
        self.upkeep.iter().for_each(JoinHandle::abort);
        info!("stopped");
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ServerError::ClientPort { address, source })
}

fn bind_peers(config: &Config) -> Result<(Arc<QuicNetwork>, Arc<CertificateFiles>), ServerError> {
    // Looked at before they are read: what changes in between is read again.
    let stamps = Stamps::of(&config.tls);
    let certificates = certificates::load(&config.tls)
        .map_err(|source| ServerError::Certificates(Box::new(source)))?;
    let cluster = config.cluster.name();
    let mut quic = QuicConfig::new(cluster, config.node, config.listen_peer, certificates);
    quic.snapshot_rate = config.snapshot_bytes_per_second;
    quic.snapshot_share = config.snapshot_share;
    let network = QuicNetwork::bind(quic).map_err(|source| ServerError::Peers(Box::new(source)))?;
    let files = CertificateFiles::new(config.tls.clone(), stamps, Arc::clone(&network));
    // Peers may dial before the node has read who they are; it will know better later.
    let initial = member::initial_membership(&config.initial_cluster);
    let peers = initial.members().iter();
    let peers = peers.filter(|&(&node, _)| node != config.node);
    network.set_peers(
        GROUP,
        peers.map(|(&node, info)| (node, info.clone())).collect(),
    );
    Ok((network, Arc::new(files)))
}

fn open_state(config: &Config) -> Result<(MvccStore, MvccMachine), ServerError> {
    let path = config.data_dir.join("state");
    create(&path)?;
    MvccStore::open(&path).map_err(ServerError::State)
}

fn open_log(config: &Config) -> Result<RocksStore, ServerError> {
    let path = config.data_dir.join("raft");
    create(&path)?;
    let identity = raft_storage_rocks::Identity {
        cluster: config.cluster.number(),
        node: config.node,
        incarnation: Incarnation::default(),
    };
    RocksStore::open(&path, &RocksOptions::default(), identity)
        .map_err(|source| ServerError::Log(Box::new(source)))
}

async fn spawn_node(
    config: &Config,
    store: &RocksStore,
    network: Arc<QuicNetwork>,
    machine: MvccMachine,
) -> Result<Node, ServerError> {
    let replica = ReplicaId::first(config.node.get());
    let mut raft = raft_core::Config::new(replica, random_seed());
    raft.group = GROUP;
    raft.heartbeat_interval = config.heartbeat_interval;
    raft.election_timeout_min = config.election_timeout_min;
    raft.election_timeout_max = config.election_timeout_max;
    // The API gives up first, because it knows better what to tell the client.
    raft.request_timeout = config.request_deadline() + NODE_GIVES_UP_LATER;
    let founders = member::initial_membership(&config.initial_cluster);
    let peers = founders.members().iter();
    let peers = peers.map(|(&node, info)| (node, info.clone())).collect();
    let initial = match config.initial_cluster_state {
        ClusterState::New => founders,
        ClusterState::Existing => Membership::default(),
    };
    let log = store
        .log_store(GROUP)
        .map_err(|source| ServerError::Log(Box::new(source)))?;
    let backends = Backends {
        log: Arc::new(log),
        stable: Arc::new(store.stable_store(GROUP)),
        network,
        state_machine: Box::new(machine),
    };
    let mut node = NodeConfig::new(raft, initial);
    node.peers = peers;
    Node::spawn(node, backends).await.map_err(ServerError::Node)
}

/// Says what to do about a vote that is lost.
fn warn_without_vote(node: &Node) {
    let raft = node.status().raft;
    if raft.awaits_readmission() {
        let id = raft.replica.node.get();
        warn!(
            "this node lost its vote and takes no part; look after its disk, then have it taken \
             in again with `etcdctl member promote {id:x}` at another member"
        );
    }
}

async fn serve(
    listener: TcpListener,
    router: axum::Router,
    stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    let listener = listener.tap_io(|stream| {
        // Small answers must not wait for more; a socket that refuses is slower, not wrong.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router)
        .with_graceful_shutdown(async {
            // A server that is dropped stops too.
            let _ = stopped.await;
        })
        .await
}

/// Makes a directory that is still there after a power cut.
fn create(path: &Path) -> Result<(), ServerError> {
    let failed = |source| ServerError::DataDir {
        path: path.to_owned(),
        source,
    };
    std::fs::create_dir_all(path).map_err(failed)?;
    // The directory's own entry lies in its parent, and the parent's in its.
    for directory in path
        .ancestors()
        .take(3)
        .filter(|p| !p.as_os_str().is_empty())
    {
        std::fs::File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(failed)?;
    }
    Ok(())
}

/// An error with what caused it, in one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Why a node does not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The client port cannot be had.
    #[error(
        "cannot listen for clients on {address}; stop what uses the port, or choose another listen_client"
    )]
    ClientPort {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A directory cannot be made.
    #[error("cannot create {}; make it writable for this user, or choose another data_dir", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The certificates cannot be used.
    #[error("the files under tls cannot be used")]
    Certificates(#[source] Box<dyn Error + Send + Sync>),
    /// The peer port cannot be had, or the certificate is another node's.
    #[error("cannot reach peers by listen_peer and tls")]
    Peers(#[source] Box<dyn Error + Send + Sync>),
    /// The Raft log cannot be opened.
    #[error("cannot open the log in data_dir")]
    Log(#[source] Box<dyn Error + Send + Sync>),
    /// The configuration names other members than those the cluster began with.
    #[error(
        "{} says that the node began with {found}, but the configuration says {given}; put initial_cluster and initial_cluster_state back, they do not change a cluster that exists",
        path.display()
    )]
    OtherFounders {
        /// The record of the first members.
        path: PathBuf,
        /// Whom it names.
        found: String,
        /// Whom the configuration names.
        given: String,
    },
    /// There is a log, but not the record of the first members.
    #[error(
        "{} is missing or damaged although the node has a log; restore it from another member's data_dir of the same cluster",
        path.display()
    )]
    FoundersLost {
        /// Where it should be.
        path: PathBuf,
    },
    /// The keys and values cannot be opened.
    #[error("cannot open the state in data_dir")]
    State(#[source] StorageError),
    /// The Raft node does not start.
    #[error("cannot start the node")]
    Node(#[source] NodeError),
    /// The node failed while it ran.
    #[error("the node failed: {reason}; it stopped so that nothing is lost")]
    Failed {
        /// Why.
        reason: String,
    },
    /// The node is no member of its cluster any more.
    #[error(
        "the node was removed from its cluster; its data_dir is of no use any more, and its number is not given out again"
    )]
    Removed,
    /// The client port failed.
    #[error("cannot serve clients any more")]
    Serve(#[source] io::Error),
}
