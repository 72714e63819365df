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
use crate::types::LogIndex;

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
    let entries = load_metadata(log, bounds).await?;
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
