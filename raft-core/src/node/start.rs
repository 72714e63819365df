//! Starting a node: reading back what is durable, then spawning the tasks.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::clock::Clock;
use super::driver::Driver;
use super::inbound::NodeInbox;
use super::pending::Pending;
use super::status::StatusBoard;
use super::{Backends, Node, NodeConfig, NodeError, apply, persist};
use crate::entry::{EntryKind, EntryMeta, Payload};
use crate::error::StorageError;
use crate::hard_state::HardState;
use crate::log_store::{LogStore, StoredEntry};
use crate::membership::Membership;
use crate::protocol::{Raft, Restored};
use crate::stable_store::{StableState, StableStore};
use crate::types::LogIndex;

/// Reads the backends, builds the replica and spawns its tasks.
pub(super) async fn start(config: NodeConfig, mut backends: Backends) -> Result<Node, NodeError> {
    let clock = Clock::start();
    let restored = restore(&config, &mut backends).await?;
    let group = config.raft.group;
    let raft = Raft::restore(config.raft, restored, clock.now())?;

    let (requests, requests_queue) = mpsc::channel(config.queue_length);
    let (inbox, inbox_queue) = mpsc::channel(config.queue_length);
    // Unbounded: at most one completion for each persist, apply and log read
    // under way, and the protocol bounds those.
    let (completed, completed_queue) = mpsc::unbounded_channel();
    let (stop, stop_signal) = watch::channel(false);
    let (board, status) = StatusBoard::new(&raft);

    let persist = persist::spawn(
        backends.stable,
        Arc::clone(&backends.log),
        completed.clone(),
    );
    let apply = apply::spawn(backends.state_machine, completed.clone());
    backends
        .network
        .register(group, Arc::new(NodeInbox::new(inbox)));
    let driver = Driver {
        raft,
        clock,
        requests: requests_queue,
        inbox: inbox_queue,
        completed: completed_queue,
        report: completed,
        stop: stop_signal,
        persist,
        apply,
        log: backends.log,
        network: backends.network,
        pending: Pending::default(),
        board,
        named_peers: None,
    };
    let task = tokio::spawn(driver.run());
    Ok(Node {
        requests,
        status,
        stop: Arc::new(stop),
        driver: Arc::new(tokio::sync::Mutex::new(Some(task))),
    })
}

async fn restore(config: &NodeConfig, backends: &mut Backends) -> Result<Restored, NodeError> {
    let hard_state = load_hard_state(backends.stable.as_ref()).await?;
    let log = backends.log.as_ref();
    let failed = |what| move |source| NodeError::Backend { what, source };
    let bounds = log
        .bounds()
        .await
        .map_err(failed("reading the log's bounds"))?;
    let applied = backends
        .state_machine
        .applied()
        .await
        .map_err(failed("reading the state machine"))?;

    let entries = read_metadata(log, bounds.purged.index.next(), bounds.last.index).await?;
    let mut membership_entries = Vec::new();
    for meta in entries
        .iter()
        .filter(|meta| meta.kind == EntryKind::Membership)
    {
        let index = meta.log_id.index;
        membership_entries.push((index, Arc::new(read_membership(log, index).await?)));
    }
    // Before the first entry: the group's first membership, or once entries are
    // purged, the one that the state machine has kept.
    let membership = match applied.membership {
        Some(membership) if bounds.purged.index > LogIndex::ZERO => membership,
        _ => config.initial_membership.clone(),
    };
    Ok(Restored {
        hard_state,
        purged: bounds.purged,
        entries,
        membership: Arc::new(membership),
        membership_entries,
        last_applied: applied.last_applied.index,
    })
}

async fn load_hard_state(stable: &dyn StableStore) -> Result<HardState, NodeError> {
    let loaded = stable.load().await.map_err(|source| NodeError::Backend {
        what: "reading the vote",
        source,
    })?;
    match loaded {
        StableState::Empty => Ok(HardState::default()),
        StableState::Saved(hard_state) => Ok(hard_state),
        StableState::Lost { reason } => Err(NodeError::LostVote { reason }),
    }
}

async fn read_metadata(
    log: &dyn LogStore,
    first: LogIndex,
    last: LogIndex,
) -> Result<Vec<EntryMeta>, NodeError> {
    let mut all: Vec<EntryMeta> = Vec::new();
    let mut next = first;
    while next <= last {
        let page = log
            .metadata(next, last)
            .await
            .map_err(|source| NodeError::Backend {
                what: "reading the log's metadata",
                source,
            })?;
        let end = page
            .last()
            .ok_or(NodeError::MissingEntry { index: next })?
            .log_id
            .index;
        all.extend(page);
        next = end.next();
    }
    Ok(all)
}

async fn read_membership(log: &dyn LogStore, index: LogIndex) -> Result<Membership, NodeError> {
    let read = log
        .read(index, index, usize::MAX)
        .await
        .map_err(|source| NodeError::Backend {
            what: "reading the log",
            source,
        })?;
    match read.into_iter().next() {
        Some(StoredEntry::Entry(entry)) => match entry.payload {
            Payload::Membership(membership) => Ok(*membership),
            _ => Err(NodeError::CorruptEntry {
                index,
                reason: "its metadata says membership, its payload does not".into(),
            }),
        },
        Some(StoredEntry::Corrupt { reason, .. }) => Err(NodeError::CorruptEntry { index, reason }),
        Some(StoredEntry::Absent { .. }) | None => Err(NodeError::MissingEntry { index }),
    }
}

impl From<(&'static str, StorageError)> for NodeError {
    fn from((what, source): (&'static str, StorageError)) -> Self {
        Self::Backend { what, source }
    }
}
