//! What a node reads back from its stores at start.

use std::sync::Arc;

use super::NodeConfig;
use super::error::NodeError;
use crate::entry::{EntryKind, EntryMeta, Payload};
use crate::hard_state::HardState;
use crate::log_store::{LogBounds, LogStore, StoredEntry};
use crate::membership::Membership;
use crate::protocol::Restored;
use crate::stable_store::{StableState, StableStore};
use crate::state_machine::AppliedState;
use crate::types::{LogId, LogIndex};

/// Reads the durable state of a replica.
pub(super) async fn load(
    config: &NodeConfig,
    log: &dyn LogStore,
    stable: &dyn StableStore,
    applied: AppliedState,
) -> Result<Restored, NodeError> {
    let hard_state = load_vote(config, stable).await?;
    let bounds = log
        .bounds()
        .await
        .map_err(|source| NodeError::storage("reading the log", source))?;
    let mut entries = load_metadata(log, bounds).await?;
    let mut bounds = bounds;
    if install_was_interrupted(bounds, &entries, applied.last_applied) {
        check_vote(config, hard_state, applied.last_applied)?;
        log.reset(applied.last_applied)
            .await
            .map_err(|source| NodeError::storage("resetting the log to the snapshot", source))?;
        entries.clear();
        bounds = LogBounds {
            purged: applied.last_applied,
            last: applied.last_applied,
        };
    }
    let membership_entries = load_memberships(log, &entries).await?;
    // Where the log starts at a snapshot, the state machine knows who was a
    // member there. A later membership in the log takes its place in any case.
    let membership = applied
        .membership
        .filter(|_| bounds.purged.index > LogIndex::ZERO)
        .unwrap_or_else(|| config.initial_membership.clone());
    Ok(Restored {
        hard_state,
        purged: bounds.purged,
        entries,
        membership: Arc::new(membership),
        membership_entries,
        last_applied: applied.last_applied.index,
    })
}

/// Whether the state machine was restored from a snapshot and the log did not
/// follow: it ends before it, or holds something else there.
fn install_was_interrupted(bounds: LogBounds, entries: &[EntryMeta], applied: LogId) -> bool {
    if applied.index <= bounds.purged.index {
        return applied.index == bounds.purged.index && applied != bounds.purged;
    }
    let offset = applied.index.distance_from(bounds.purged.index.next());
    let held = usize::try_from(offset).ok().and_then(|at| entries.get(at));
    held.is_none_or(|meta| meta.log_id != applied)
}

/// Nobody gets a snapshot without having been in a term: a node that has a state
/// and no term has lost its log and its vote.
fn check_vote(config: &NodeConfig, state: HardState, applied: LogId) -> Result<(), NodeError> {
    if state.current_term >= applied.term {
        return Ok(());
    }
    Err(NodeError::LogVanished {
        replica: config.raft.replica,
        applied,
    })
}

async fn load_vote(config: &NodeConfig, stable: &dyn StableStore) -> Result<HardState, NodeError> {
    let state = stable
        .load()
        .await
        .map_err(|source| NodeError::storage("reading term and vote", source))?;
    match state {
        StableState::Empty => Ok(HardState::default()),
        StableState::Saved(hard_state) => Ok(hard_state),
        StableState::Lost { reason } => Err(NodeError::VoteLost {
            replica: config.raft.replica,
            reason,
        }),
    }
}

/// Identity and kind of all entries, a page at a time.
async fn load_metadata(log: &dyn LogStore, bounds: LogBounds) -> Result<Vec<EntryMeta>, NodeError> {
    let mut entries: Vec<EntryMeta> = Vec::new();
    let mut next = bounds.purged.index.next();
    while next <= bounds.last.index {
        let page = log
            .metadata(next, bounds.last.index)
            .await
            .map_err(|source| NodeError::storage("reading the log's metadata", source))?;
        let Some(last) = page.last() else {
            return Err(NodeError::LogStoreContract {
                what: format!("it ends at {} but has no entry at {next}", bounds.last),
            });
        };
        let after = last.log_id.index.next();
        if after <= next {
            return Err(NodeError::LogStoreContract {
                what: format!(
                    "asked for metadata from {next}, it answered {}",
                    last.log_id
                ),
            });
        }
        next = after;
        entries.extend(page);
    }
    Ok(entries)
}

async fn load_memberships(
    log: &dyn LogStore,
    entries: &[EntryMeta],
) -> Result<Vec<(LogIndex, Arc<Membership>)>, NodeError> {
    let mut memberships = Vec::new();
    for meta in entries.iter().filter(|e| e.kind == EntryKind::Membership) {
        let index = meta.log_id.index;
        memberships.push((index, Arc::new(load_membership(log, index).await?)));
    }
    Ok(memberships)
}

async fn load_membership(log: &dyn LogStore, index: LogIndex) -> Result<Membership, NodeError> {
    let answer = log
        .read(index, index, usize::MAX)
        .await
        .map_err(|source| NodeError::storage("reading the log", source))?
        .into_iter()
        .next();
    match answer {
        Some(StoredEntry::Entry(entry)) => match entry.payload {
            Payload::Membership(membership) => Ok(*membership),
            _ => Err(NodeError::LogStoreContract {
                what: format!("the metadata of {index} says membership, the entry does not"),
            }),
        },
        Some(StoredEntry::Corrupt { reason, .. }) => Err(NodeError::CorruptEntry { index, reason }),
        Some(StoredEntry::Absent { .. }) | None => Err(NodeError::LogStoreContract {
            what: format!("it has metadata of {index} but no entry"),
        }),
    }
}
