//! The driver: one replica running on tokio, around your backends.
//!
//! ```text
//!  clients ──► inbox ──┐           ┌─► writer ───► StableStore, LogStore ─► inbox
//!  network ──► inbox ──┼─► loop ───┼─► applier ──► StateMachine, answers ─► inbox
//!  clock ────► timer ──┘  (Raft)   ├─► log reads ► LogStore ──────────────► inbox
//!                                  └─► outbound ─► Network
//! ```
//!
//! A turn of the loop takes everything that waits, steps the protocol, and hands
//! out what comes of it. It awaits no peer, no disk and no state machine, so the
//! leader's sync, replication and the followers' syncs overlap, and heartbeats
//! go out while a disk is busy. Batches come from draining, never from waiting.
//!
//! Deliberately absent: any rule of Raft.

mod answers;
mod apply;
mod clock;
mod driver;
mod error;
mod held_up;
mod helpers;
mod inbound;
mod life;
mod mend;
mod metrics;
mod operator;
mod outbound;
mod pending;
mod persist;
mod reader;
mod report;
mod requests;
mod restore;
mod snapshots;
mod status;
mod stored;
mod streams;
mod turn;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

pub use self::clock::random_seed;
use self::clock::{Clock, Stopwatch, within};
use self::driver::{Driver, Parts};
pub use self::error::{CheckpointError, NodeError};
use self::helpers::Helpers;
use self::inbound::{Completion, Mailbox};
use self::metrics::Metrics;
use self::outbound::Outbound;
use self::persist::Stores;
pub use self::requests::MembershipChanged;
use self::requests::Request;
pub use self::status::NodeStatus;
use self::status::Publisher;
use crate::config::Config;
use crate::error::{ChangeMembershipError, ProposeError, ReadError, TransferError};
use crate::log_store::LogStore;
use crate::membership::{MemberInfo, Membership};
use crate::membership_change::MembershipChange;
use crate::network::{Inbox, Network};
use crate::protocol::{Consistency, Raft, RoleKind};
use crate::stable_store::StableStore;
use crate::state_machine::StateMachine;
use crate::types::{LogId, LogIndex, NodeId};

/// How one node runs. [`NodeConfig::new`] gives sound defaults.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeConfig {
    /// The replica: identity, timeouts, limits.
    pub raft: Config,
    /// The members that the group started with; the same on each of them and at
    /// each start. Memberships in the log take its place.
    ///
    /// A node that joins a running group starts with the empty membership, and
    /// learns from the log who belongs to it.
    pub initial_membership: Membership,
    /// Where others are, until the membership that this node belongs to says so.
    /// For a node that joins: the members it may hear from. Default: none.
    pub peers: Vec<(NodeId, MemberInfo)>,
    /// Most bytes a second of each snapshot sent to a follower. Default: no limit.
    pub snapshot_bytes_per_second: Option<u64>,
    /// A snapshot of which nothing came for this long is given up. Default 30 s.
    pub snapshot_idle_timeout: Duration,
    /// How long the state machine may take to finish what it has when the node stops.
    /// Then it is given up, as by a crash: what it lacks is in the log and is applied at
    /// the next start. Default 10 s.
    pub stop_timeout: Duration,
    /// Most messages that wait for the loop; beyond, they are dropped and counted. Default 65,536.
    pub max_inbox_messages: usize,
    /// Most bytes of entries and commands in messages that wait for the loop. Default 64 MiB.
    pub max_inbox_bytes: usize,
}

impl NodeConfig {
    /// Defaults for the replica of `raft`, in a group that started with `initial_membership`.
    pub const fn new(raft: Config, initial_membership: Membership) -> Self {
        Self {
            raft,
            initial_membership,
            peers: Vec::new(),
            snapshot_bytes_per_second: None,
            snapshot_idle_timeout: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(10),
            max_inbox_messages: 65_536,
            max_inbox_bytes: 64 << 20,
        }
    }
}

/// What a node runs on.
pub struct Backends {
    /// Where its entries are durable.
    pub log: Arc<dyn LogStore>,
    /// Where its term and vote are durable.
    pub stable: Arc<dyn StableStore>,
    /// How it reaches its peers; may serve other groups too.
    pub network: Arc<dyn Network>,
    /// What the log drives. Keep a handle to its data for your queries.
    pub state_machine: Box<dyn StateMachine>,
}

impl fmt::Debug for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backends").finish_non_exhaustive()
    }
}

/// A committed and applied proposal.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Committed {
    /// The entry it became.
    pub log_id: LogId,
    /// What the state machine answered.
    pub response: Bytes,
}

/// A running replica. A cheap clone; when the last one is dropped, the node stops.
#[derive(Clone)]
pub struct Node {
    handle: Arc<Handle>,
}

struct Handle {
    config: Config,
    mailbox: Arc<Mailbox>,
    status: watch::Receiver<NodeStatus>,
    /// Closes when all tasks have ended.
    ended: watch::Receiver<()>,
    metrics: Arc<Metrics>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.mailbox.request_stop();
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("replica", &self.handle.config.replica)
            .field("group", &self.handle.config.group)
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Starts a replica from what its stores hold; on the current tokio runtime,
    /// which needs its timers enabled.
    ///
    /// The life of the replica is the configured one until the vote store knows a
    /// later one. If the vote is lost, the node goes on in its next life with the
    /// data that it has, as a replica that has no vote until its group readmits
    /// it ([`MembershipChange::readmit`]); [`Node::config`] says which life it is.
    ///
    /// # Errors
    ///
    /// A configuration that cannot work, a store that fails, a lost vote of which
    /// the store cannot tell whose it was, or stored state that contradicts
    /// itself. Nothing runs then.
    pub async fn spawn(mut config: NodeConfig, backends: Backends) -> Result<Self, NodeError> {
        let clock = Clock::started_now();
        let Backends {
            log,
            stable,
            network,
            mut state_machine,
        } = backends;
        let applied = state_machine
            .applied()
            .await
            .map_err(|source| NodeError::storage("the state machine", source))?;
        let (replica, restored) =
            restore::load(&config, log.as_ref(), stable.as_ref(), applied).await?;
        config.raft.replica = replica;
        let raft = Raft::restore(config.raft.clone(), restored, clock.now())?;

        let durable_applied = state_machine.durable_applied();
        let group = config.raft.group;
        let metrics = Arc::new(Metrics::of(replica.node, group));
        let mailbox = Arc::new(Mailbox::new(&config, Arc::clone(&metrics)));
        let status = raft.status();
        let mut outbound = Outbound::new(Arc::clone(&network), replica, group, config.peers);
        outbound.follow(&status.membership);
        network.register(group, Arc::clone(&mailbox) as Arc<dyn Inbox>);
        let stores = Stores {
            log: Arc::clone(&log),
            stable,
            incarnation: replica.incarnation,
        };
        let parts = Parts {
            raft,
            clock,
            helpers: Helpers::spawn(stores, state_machine, &mailbox, &metrics),
            mailbox,
            outbound,
            publisher: Publisher::new(status, durable_applied, Arc::clone(&metrics)),
            durable_applied,
            metrics,
            network,
            log,
            snapshot_rate: config.snapshot_bytes_per_second,
            snapshot_patience: config.snapshot_idle_timeout,
            stop_timeout: config.stop_timeout,
        };
        Ok(Self {
            handle: Arc::new(spawn_loop(config.raft, parts)),
        })
    }

    /// Has `command` committed and applied, from whichever node this is.
    ///
    /// Dropping the future does not take the proposal back.
    ///
    /// # Errors
    ///
    /// Refused, or of unknown outcome; see [`ProposeError`]. Unknown at the
    /// latest after [`Config::request_timeout`] without a commit, and as long again
    /// without an answer of the state machine.
    pub async fn propose(&self, command: Bytes) -> Result<Committed, ProposeError> {
        let watch = Stopwatch::started();
        let (reply, outcome) = oneshot::channel();
        self.handle.mailbox.propose(command, reply)?;
        // The loop ends each proposal in time, so none needs a timer of its own.
        let outcome = outcome.await.unwrap_or(Err(ProposeError::Unknown {
            reason: "the node stopped before the outcome was known",
        }));
        if outcome.is_ok() {
            self.handle.metrics.proposal_seconds.record(watch.elapsed());
        }
        outcome
    }

    /// Waits until this node's state machine may be read as `consistency` says:
    /// linearizably, once it holds everything that was acknowledged before the
    /// call. Answers the index it holds at least.
    ///
    /// # Errors
    ///
    /// See [`ReadError`]; [`ReadError::Unconfirmed`] at the latest after
    /// [`Config::request_timeout`].
    pub async fn read(&self, consistency: Consistency) -> Result<LogIndex, ReadError> {
        let watch = Stopwatch::started();
        let (reply, outcome) = oneshot::channel();
        self.handle.mailbox.read(consistency, reply)?;
        let outcome = outcome.await.unwrap_or(Err(ReadError::Stopped));
        if outcome.is_ok() {
            self.handle.metrics.read_seconds.record(watch.elapsed());
        }
        outcome
    }

    /// Changes who belongs to the group, from whichever node this is. Returns
    /// once the new configuration is committed and no joint one is in force.
    ///
    /// Dropping the future does not take the change back.
    ///
    /// # Errors
    ///
    /// See [`ChangeMembershipError`]; unknown at the latest after
    /// [`Config::request_timeout`].
    pub async fn change_membership(
        &self,
        change: MembershipChange,
    ) -> Result<MembershipChanged, ChangeMembershipError> {
        let (reply, outcome) = oneshot::channel();
        let request = Request::Change(change, reply);
        self.handle.mailbox.request(request);
        let outcome = within(self.handle.config.request_timeout * 2, outcome).await;
        match outcome {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) | None => Err(ChangeMembershipError::Unknown),
        }
    }

    /// Says that whoever looks through this node's log store found `entry` damaged. The
    /// node fetches it from the others, and has the store replace it; see its events and
    /// `raft_damaged_entries_total`. What is not in the log any more is ignored.
    pub fn report_damage(&self, entry: LogId) {
        self.handle.mailbox.complete(Completion::Damaged(entry));
    }

    /// Hands this node's leadership over: to `to`, or to the most advanced other
    /// voter. Returns when the next leader is known. Proposals that arrive
    /// meanwhile wait, or are refused, as [`Config::during_transfer`] says.
    ///
    /// # Errors
    ///
    /// See [`TransferError`]; this node may go on leading.
    pub async fn transfer_leadership(&self, to: Option<NodeId>) -> Result<NodeId, TransferError> {
        let (reply, outcome) = oneshot::channel();
        self.handle.mailbox.request(Request::Transfer(to, reply));
        outcome.await.unwrap_or(Err(TransferError::Stopped))
    }

    /// Makes the state machine durable as it is now, and cuts the log as far as
    /// the configuration lets. Answers the position that is durable then.
    ///
    /// # Errors
    ///
    /// When the node is stopped, or stops because the state cannot be written.
    pub async fn checkpoint(&self) -> Result<LogIndex, CheckpointError> {
        let (reply, outcome) = oneshot::channel();
        self.handle.mailbox.request(Request::Checkpoint(reply));
        outcome.await.unwrap_or(Err(CheckpointError::Stopped))
    }

    /// The node at a glance. Copies the status; [`Node::watch`] lends it.
    pub fn status(&self) -> NodeStatus {
        self.handle.status.borrow().clone()
    }

    /// The status, and word of each change. Changes that follow each other
    /// quickly are seen as one.
    pub fn watch(&self) -> watch::Receiver<NodeStatus> {
        self.handle.status.clone()
    }

    /// How the replica is configured; its identity is that of the life it lives.
    pub fn config(&self) -> &Config {
        &self.handle.config
    }

    /// Stops the node and returns when all its tasks have ended and its stores
    /// are let go. A log's disk that hangs is waited for, a full one is not, and a state
    /// machine for [`NodeConfig::stop_timeout`]. Requests that wait end at once: as stopped,
    /// or as unknown if they may be in the log. Stopping again is no harm.
    ///
    /// A leader hands its leadership over first, which takes at most twice
    /// [`Config::transfer_timeout`]; dropping all handles stops without that.
    pub async fn shutdown(&self) {
        self.leave_leadership().await;
        self.handle.mailbox.request_stop();
        let mut ended = self.handle.ended.clone();
        // It never changes: an error is the word that it closed.
        while ended.changed().await.is_ok() {}
    }
}

impl Node {
    /// Whether or not it works: the others elect a leader in any case.
    async fn leave_leadership(&self) {
        let leads_others = {
            let status = self.handle.status.borrow();
            status.is_running
                && status.raft.role == RoleKind::Leader
                && status.raft.membership.voters().len() > 1
        };
        if leads_others {
            let limit = self.handle.config.transfer_timeout * 2;
            let transfer = within(limit, self.transfer_leadership(None)).await;
            if let Some(Err(error)) = transfer {
                tracing::debug!(%error, "stops without having handed leadership over");
            }
        }
    }
}

/// Starts the loop, and a guard that speaks for it if it panics.
fn spawn_loop(config: Config, parts: Parts) -> Handle {
    let mailbox = Arc::clone(&parts.mailbox);
    let publisher = parts.publisher.clone();
    let (running, ended) = watch::channel(());
    let handle = Handle {
        config,
        mailbox: Arc::clone(&mailbox),
        status: publisher.subscribe(),
        ended,
        metrics: Arc::clone(&parts.metrics),
    };
    let driver = tokio::spawn(Driver::new(parts).run());
    tokio::spawn(async move {
        if let Err(error) = driver.await {
            let error = NodeError::panicked("loop", error);
            tracing::error!(error = %error, "the node failed");
            publisher.stopped(Some(&error));
            // Whoever still waits learns it from its reply being dropped.
            drop(mailbox.close());
        }
        drop(running);
    });
    handle
}
