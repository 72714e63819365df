//! What all tasks of one transport share.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use raft_core::{GroupId, Inbox, MemberInfo, NodeId};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::certificates::NodeCertificates;
use crate::config::QuicConfig;
use crate::credentials::Credentials;
use crate::error::CertificateError;
use crate::identity::Identity;
use crate::peer::{self, Peer};
use crate::refusals::Refusals;
use crate::snapshot::{Pace, Transfers};
use crate::wire::TransferId;

/// State behind a [`QuicNetwork`](crate::QuicNetwork).
pub(crate) struct Shared {
    pub(crate) config: QuicConfig,
    pub(crate) own: Identity,
    /// Drawn at each start; see [`Hello`](crate::hello::Hello).
    pub(crate) boot: u64,
    pub(crate) endpoint: quinn::Endpoint,
    credentials: watch::Sender<Arc<Credentials>>,
    pub(crate) refusals: Refusals,
    /// Snapshots that come in.
    pub(crate) transfers: Transfers,
    /// How fast snapshots go out.
    pub(crate) snapshot_pace: Pace,
    /// Snapshots sent so far.
    snapshots_sent: AtomicU64,
    inboxes: RwLock<HashMap<GroupId, Arc<dyn Inbox>>>,
    peers: RwLock<HashMap<NodeId, Arc<Peer>>>,
    named: Mutex<BTreeMap<GroupId, BTreeMap<NodeId, String>>>,
    tasks: Mutex<JoinSet<()>>,
    stopped: watch::Sender<bool>,
}

impl Shared {
    pub(crate) fn new(
        config: QuicConfig,
        own: Identity,
        endpoint: quinn::Endpoint,
        credentials: Credentials,
    ) -> Self {
        Self {
            snapshot_pace: Pace::new(config.snapshot_rate),
            config,
            own,
            boot: random(),
            endpoint,
            credentials: watch::Sender::new(Arc::new(credentials)),
            refusals: Refusals::default(),
            transfers: Transfers::default(),
            snapshots_sent: AtomicU64::new(0),
            inboxes: RwLock::default(),
            peers: RwLock::default(),
            named: Mutex::default(),
            tasks: Mutex::default(),
            stopped: watch::Sender::new(false),
        }
    }

    /// What handshakes are made with from now on.
    pub(crate) fn credentials(&self) -> Arc<Credentials> {
        Arc::clone(&self.credentials.borrow())
    }

    /// The same, with word of each change.
    pub(crate) fn watch_credentials(&self) -> watch::Receiver<Arc<Credentials>> {
        self.credentials.subscribe()
    }

    /// Puts others in their place, if they are fit for use.
    pub(crate) fn reload(
        &self,
        certificates: NodeCertificates,
    ) -> Result<Arc<Credentials>, CertificateError> {
        let mut outcome = Ok(());
        self.credentials.send_if_modified(|current| {
            match current.renewed(certificates, &self.own) {
                Ok(next) => *current = Arc::new(next),
                Err(error) => outcome = Err(error),
            }
            outcome.is_ok()
        });
        outcome?;
        let current = self.credentials();
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        for peer in peers.values() {
            peer.renew(current.renewals);
        }
        Ok(current)
    }

    pub(crate) fn peer(&self, node: NodeId) -> Option<Arc<Peer>> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.get(&node).cloned()
    }

    pub(crate) fn inbox(&self, group: GroupId) -> Option<Arc<dyn Inbox>> {
        let inboxes = self.inboxes.read().unwrap_or_else(PoisonError::into_inner);
        inboxes.get(&group).cloned()
    }

    pub(crate) fn register(&self, group: GroupId, inbox: Arc<dyn Inbox>) {
        let mut inboxes = self.inboxes.write().unwrap_or_else(PoisonError::into_inner);
        inboxes.insert(group, inbox);
    }

    /// Takes over the peers of one group; a node stays a peer while any group
    /// names it. The address named last holds.
    pub(crate) fn set_peers(self: &Arc<Self>, group: GroupId, members: Vec<(NodeId, MemberInfo)>) {
        let own = self.own.node();
        let latest: BTreeMap<NodeId, String> = members
            .into_iter()
            .filter(|(node, _)| *node != own)
            .map(|(node, info)| (node, info.address))
            .collect();
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        named.insert(group, latest.clone());
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|node, peer| {
            let stays = named.values().any(|group| group.contains_key(node));
            if !stays {
                peer.remove();
            }
            stays
        });
        for (node, address) in latest {
            if let Some(peer) = peers.get(&node) {
                peer.set_address(address);
            } else {
                let peer = Arc::new(Peer::new(node, address, &self.config));
                peer.renew(self.credentials.borrow().renewals);
                peers.insert(node, Arc::clone(&peer));
                self.spawn(peer::keep(Arc::clone(self), peer));
            }
        }
    }

    /// A name for the next snapshot sent.
    pub(crate) fn next_transfer(&self) -> TransferId {
        TransferId {
            boot: self.boot,
            sequence: self.snapshots_sent.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Runs a task that ends at shutdown at the latest.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut stopped = self.stopped.subscribe();
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // Ended tasks are let go here, so that they do not pile up.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            tokio::select! {
                () = task => {}
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
        });
    }

    /// Ends all tasks, and whoever reads a snapshot that does not come any more.
    pub(crate) fn stop(&self) {
        self.transfers.give_up_all("the node stops");
        self.stopped.send_replace(true);
    }

    /// The tasks, for waiting until they ended.
    pub(crate) fn take_tasks(&self) -> JoinSet<()> {
        std::mem::take(&mut self.tasks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A number that differs at each call and each start. Not for secrets.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0_u8)
}
