//! The driver: one protocol value on tokio, around your backends.
//!
//! ```text
//!  clients ──► requests ─┐                 ┌─► persist task ──► StableStore, LogStore
//!  network ──► inbox ────┼─► loop ── Raft ─┼─► apply task ────► StateMachine, answers
//!  tasks ────► completed ┘    (one input,  ├─► log reads ─────► LogStore
//!  clock ────► timeout        all outputs) └─► outbound ──────► Network
//! ```
//!
//! Nothing in the loop awaits a peer, a disk or the state machine, so heartbeats
//! go out while a disk is busy. Batches come from draining queues, never from
//! waiting. What is deliberately absent here: any rule of Raft.

mod apply;
mod clock;
mod driver;
mod error;
mod inbound;
mod metrics;
mod outbound;
mod pending;
mod persist;
mod reader;
mod start;
mod status;

use std::sync::Arc;

use bytes::Bytes;
pub use clock::random_seed;
pub use error::NodeError;
pub use status::NodeStatus;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::error::{ProposeError, ReadError};
use crate::log_store::LogStore;
use crate::membership::Membership;
use crate::network::Network;
use crate::stable_store::StableStore;
use crate::state_machine::StateMachine;
use crate::types::{LogId, LogIndex};

/// What a node is started with, besides its backends.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The protocol's configuration.
    pub raft: Config,
    /// The membership the group starts with; the same on each of its nodes.
    /// Counts only as long as neither log nor state machine knows a later one.
    pub initial_membership: Membership,
    /// Most requests and most messages that queue in front of the loop. Default 65,536.
    pub queue_length: usize,
}

impl NodeConfig {
    /// Defaults for this replica and this group.
    pub const fn new(raft: Config, initial_membership: Membership) -> Self {
        Self {
            raft,
            initial_membership,
            queue_length: 65_536,
        }
    }
}

/// The four backends of a node.
pub struct Backends {
    /// Where entries are durable.
    pub log: Arc<dyn LogStore>,
    /// Where term and vote are durable.
    pub stable: Arc<dyn StableStore>,
    /// How peers are reached.
    pub network: Arc<dyn Network>,
    /// What the log drives.
    pub state_machine: Box<dyn StateMachine>,
}

/// A committed proposal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Committed {
    /// Its entry.
    pub log_id: LogId,
    /// What the state machine answered.
    pub response: Bytes,
}

/// A running replica. Clones are cheap and mean the same node; it stops when
/// the last one is dropped, or with [`Node::shutdown`].
#[derive(Clone, Debug)]
pub struct Node {
    requests: mpsc::Sender<Request>,
    status: watch::Receiver<NodeStatus>,
    stop: Arc<watch::Sender<bool>>,
    driver: Arc<tokio::sync::Mutex<Option<JoinHandle<()>>>>,
}

/// What a client wants of the loop.
#[derive(Debug)]
enum Request {
    Propose {
        command: Bytes,
        answer: ProposeAnswer,
    },
    Read {
        answer: ReadAnswer,
    },
}

type ProposeAnswer = oneshot::Sender<Result<Committed, ProposeError>>;
type ReadAnswer = oneshot::Sender<Result<LogIndex, ReadError>>;

impl Node {
    /// Reads back what the backends hold and starts the replica's tasks on the
    /// current tokio runtime.
    ///
    /// Costs one pass over the metadata of the log.
    ///
    /// # Errors
    ///
    /// When a backend fails, when what they hold contradicts itself, or when the
    /// vote store lost what it held.
    pub async fn spawn(config: NodeConfig, backends: Backends) -> Result<Self, NodeError> {
        start::start(config, backends).await
    }

    /// Proposes a command, on whichever node leads, and waits until it is
    /// committed and applied here.
    ///
    /// Costs one commit. Dropping the future does not take the proposal back.
    ///
    /// # Errors
    ///
    /// See [`ProposeError`]: after a refusal the command has no effect and never
    /// will; after `Unknown` it may have one.
    pub async fn propose(&self, command: Bytes) -> Result<Committed, ProposeError> {
        let (answer, outcome) = oneshot::channel();
        self.requests
            .try_send(Request::Propose { command, answer })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => ProposeError::Overloaded {
                    pending: self.requests.max_capacity(),
                },
                mpsc::error::TrySendError::Closed(_) => ProposeError::Stopped,
            })?;
        // An answer is dropped only by a loop that stopped with it in hand.
        outcome.await.unwrap_or(Err(ProposeError::Unknown {
            reason: "the node stopped",
        }))
    }

    /// Waits until a read of the local state machine is linearizable: it then
    /// shows every write that was acknowledged, anywhere, before this call.
    ///
    /// Costs a round of heartbeats, shared by all reads that wait for it; on a
    /// follower also a round trip to the leader.
    ///
    /// # Errors
    ///
    /// See [`ReadError`]. Trying again is always safe.
    pub async fn read_index(&self) -> Result<LogIndex, ReadError> {
        let (answer, outcome) = oneshot::channel();
        self.requests
            .try_send(Request::Read { answer })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => ReadError::Overloaded {
                    pending: self.requests.max_capacity(),
                },
                mpsc::error::TrySendError::Closed(_) => ReadError::Stopped,
            })?;
        outcome.await.unwrap_or(Err(ReadError::Stopped))
    }

    /// The node at a glance, as of the latest change.
    pub fn status(&self) -> NodeStatus {
        self.status.borrow().clone()
    }

    /// Follows the node's status.
    pub fn watch(&self) -> watch::Receiver<NodeStatus> {
        self.status.clone()
    }

    /// Stops the node and waits until its tasks have ended. What waits for an
    /// outcome gets one: `Unknown` for proposals that may be in the log.
    pub async fn shutdown(&self) {
        // Fails only when the loop has ended already.
        let _ = self.stop.send(true);
        if let Some(driver) = self.driver.lock().await.take() {
            // A loop that panicked has told the panic hook; it has stopped, too.
            let _ = driver.await;
        }
    }
}
