//! [`QuicNetwork`]: the transport as `raft-core` sees it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use raft_core::{
    Envelope, GroupId, Inbox, MemberInfo, MessageClass, Network, NetworkError, NodeId, Snapshot,
    SnapshotHeader, async_trait,
};

use crate::certificates::NodeCertificates;
use crate::config::QuicConfig;
use crate::credentials::Credentials;
use crate::endpoint;
use crate::error::{BindError, CertificateError, CloseCode, Refusal};
use crate::identity::Identity;
use crate::peer::count_dropped;
use crate::server;
use crate::shared::Shared;
use crate::snapshot;
use crate::vigil;

/// How long a stopping node waits for its peers to hear of it.
const FAREWELL: Duration = Duration::from_secs(1);

/// Connects a node to its peers, over one QUIC endpoint.
///
/// Made by [`QuicNetwork::bind`] within a tokio runtime. Dropping it ends all
/// connections; [`QuicNetwork::shutdown`] also waits for that.
pub struct QuicNetwork {
    shared: Arc<Shared>,
    local_addr: SocketAddr,
}

/// How a peer is doing, for status pages and tests.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PeerStatus {
    /// Where it is said to be.
    pub address: String,
    /// Whether there is a connection, whoever dialled it.
    pub connected: bool,
    /// The version of the message format that both sides agreed on.
    pub version: Option<u8>,
    /// How often the certificates of either side had been replaced when the
    /// connection was made.
    pub renewals: Option<u64>,
    /// Urgent messages that wait.
    pub waiting_control: usize,
    /// Appends and forwarded proposals that wait.
    pub waiting_append: usize,
    /// Messages dropped so far because too many waited, or too long.
    pub dropped: u64,
}

impl QuicNetwork {
    /// Opens the endpoint and accepts peers from then on; [`Network::set_peers`]
    /// says who they are.
    ///
    /// # Errors
    ///
    /// A certificate that peers would refuse, a port in use, a configuration
    /// that cannot work, or no tokio runtime.
    pub fn bind(config: QuicConfig) -> Result<Arc<Self>, BindError> {
        Self::bind_with(config, endpoint::open)
    }

    /// The same on a socket that the caller made, whose address counts instead of
    /// [`listen`](QuicConfig::listen): a network in memory, for tests that decide what
    /// is lost, late or doubled. Time is tokio's, so it may be paused.
    ///
    /// The trait is quinn's, and changes with quinn's versions: this method is no part
    /// of what the versions of this crate promise.
    ///
    /// # Errors
    ///
    /// As for [`QuicNetwork::bind`].
    #[cfg(feature = "testing")]
    pub fn bind_on(
        config: QuicConfig,
        socket: Arc<dyn quinn::AsyncUdpSocket>,
    ) -> Result<Arc<Self>, BindError> {
        Self::bind_with(config, |config, credentials| {
            endpoint::open_on(config, credentials, socket)
        })
    }

    fn bind_with(
        config: QuicConfig,
        open: impl FnOnce(&QuicConfig, &Credentials) -> Result<quinn::Endpoint, BindError>,
    ) -> Result<Arc<Self>, BindError> {
        config.validate()?;
        let own = Identity::new(config.cluster.clone(), config.node)
            .map_err(CertificateError::Identity)?;
        let transport = Arc::new(endpoint::transport(&config)?);
        let credentials = Credentials::new(config.certificates.clone(), &own, transport)?;
        let endpoint = open(&config, &credentials)?;
        let local_addr = endpoint.local_addr().map_err(|source| BindError::Listen {
            address: config.listen,
            source,
        })?;
        tracing::info!(identity = %own, %local_addr, "transport listens");
        let shared = Arc::new(Shared::new(config, own, endpoint, credentials));
        shared.spawn(server::accept(Arc::clone(&shared)));
        shared.spawn(vigil::watch_over_own(Arc::clone(&shared)));
        Ok(Arc::new(Self { shared, local_addr }))
    }

    /// Puts other certificates in the place of those in use: the node's own,
    /// the authorities, and the list of revoked ones.
    ///
    /// All is checked first; what is refused changes nothing. Then every
    /// handshake uses them, in both directions, and
    ///
    /// - a peer that would be refused now is disconnected at once,
    /// - connections made with another own certificate are replaced by new
    ///   ones, and end only when those are up; if a peer refuses the new
    ///   certificate, the old connection stays, and
    ///   [`refusals`](Self::refusals) tells,
    /// - all other connections live on.
    ///
    /// So an authority is replaced without a pause in three rounds over all
    /// nodes: trust both; show the new certificates; trust only the new one.
    ///
    /// # Errors
    ///
    /// What [`bind`](Self::bind) would refuse: an expired certificate, another
    /// node's, one that none of the authorities signed or that the list
    /// revokes, or a list that is not theirs.
    pub fn reload(&self, certificates: NodeCertificates) -> Result<(), CertificateError> {
        let current = self.shared.reload(certificates)?;
        tracing::info!(
            certificate = %current.certificates.shown(),
            authorities = current.certificates.authorities().len(),
            revoked = current.trust.revoked().len(),
            renewals = current.renewals,
            "certificates reloaded"
        );
        Ok(())
    }

    /// The certificates in use.
    pub fn certificates(&self) -> NodeCertificates {
        self.shared.credentials().certificates.clone()
    }

    /// Where the node listens, with the port it got.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// How a peer is doing; nothing if it is not one.
    pub fn peer_status(&self, node: NodeId) -> Option<PeerStatus> {
        let peer = self.shared.peer(node)?;
        let control = peer.queue(MessageClass::Control);
        let append = peer.queue(MessageClass::Append);
        Some(PeerStatus {
            address: peer.address(),
            connected: peer.is_connected(),
            version: peer.version(),
            renewals: peer.renewals(),
            waiting_control: control.len(),
            waiting_append: append.len(),
            dropped: control.dropped() + append.dropped(),
        })
    }

    /// How many connections are open, those included that are on their way out.
    pub fn open_connections(&self) -> usize {
        self.shared.endpoint.open_connections()
    }

    /// The latest connection or message that was refused, by either side.
    pub fn last_refusal(&self) -> Option<Refusal> {
        self.shared.refusals.last()
    }

    /// The refusals that stand: one per direction and peer that is still not connected.
    pub fn refusals(&self) -> Vec<Refusal> {
        self.shared.refusals.current()
    }

    /// How often a connection or message was refused so far, by either side.
    pub fn refusal_count(&self) -> u64 {
        self.shared.refusals.count()
    }

    /// Says farewell to all peers and ends all tasks.
    pub async fn shutdown(&self) {
        self.close();
        let mut tasks = self.shared.take_tasks();
        let ended = async {
            while tasks.join_next().await.is_some() {}
            self.shared.endpoint.wait_idle().await;
        };
        if tokio::time::timeout(FAREWELL, ended).await.is_err() {
            tracing::debug!("not all peers heard that this node stops");
        }
    }

    fn close(&self) {
        self.shared
            .endpoint
            .close(CloseCode::Shutdown.code(), b"the node stops");
        self.shared.stop();
    }
}

impl Drop for QuicNetwork {
    fn drop(&mut self) {
        self.close();
    }
}

#[async_trait]
impl Network for QuicNetwork {
    fn send(&self, to: NodeId, batch: Vec<Envelope>) {
        if let Some(peer) = self.shared.peer(to) {
            peer.push(batch);
        } else {
            for envelope in batch {
                count_dropped(envelope.message.class(), "unknown_peer", 1);
            }
        }
    }

    fn set_peers(&self, group: GroupId, peers: Vec<(NodeId, MemberInfo)>) {
        self.shared.set_peers(group, peers);
    }

    fn register(&self, group: GroupId, inbox: Arc<dyn Inbox>) {
        self.shared.register(group, inbox);
    }

    async fn send_snapshot(
        &self,
        header: SnapshotHeader,
        snapshot: Snapshot,
    ) -> Result<(), NetworkError> {
        snapshot::send(&self.shared, header, snapshot).await
    }
}
