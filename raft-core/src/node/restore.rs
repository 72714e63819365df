//! What a node reads back from its stores at start.

use std::sync::Arc;

use super::NodeConfig;
use super::error::NodeError;
use super::life::{self, Life};
use super::stored::{self, Stored};
use crate::entry::EntryMeta;
use crate::hard_state::HardState;
use crate::log_store::{LogBounds, LogStore};
use crate::protocol::Restored;
use crate::stable_store::StableStore;
use crate::state_machine::AppliedState;
use crate::types::{LogId, LogIndex, ReplicaId};

/// Reads the durable state of a replica, and which one it is.
pub(super) async fn load(
    config: &NodeConfig,
    log: &dyn LogStore,
    stable: &dyn StableStore,
    applied: AppliedState,
) -> Result<(ReplicaId, Restored), NodeError> {
    let life = life::read(config.raft.replica, stable).await?;
    let mut bounds = log
        .bounds()
        .await
        .map_err(|source| NodeError::storage("reading the log", source))?;
    check_bounds(bounds)?;
    let mut entries = load_metadata(log, bounds).await?;
    let (replica, hard_state) = match life {
        Life::Known(replica, hard_state) => (replica, hard_state),
        Life::Next(replica) => {
            let term = bounds.last.term.max(applied.last_applied.term);
            (replica, life::begin(replica, term, stable).await?)
        }
    };
    if install_was_interrupted(bounds, &entries, applied.last_applied) {
        check_vote(replica, hard_state, applied.last_applied)?;
        log.reset(applied.last_applied)
            .await
            .map_err(|source| NodeError::storage("resetting the log to the snapshot", source))?;
        entries.clear();
        bounds = LogBounds {
            purged: applied.last_applied,
            last: applied.last_applied,
        };
    }
    let Stored {
        memberships,
        damaged,
    } = stored::read(log, &entries, &applied).await?;
    // Where the log starts at a snapshot, the state machine knows who was a
    // member there. A later membership in the log takes its place in any case.
    let membership = applied
        .membership
        .filter(|_| bounds.purged.index > LogIndex::ZERO)
        .unwrap_or_else(|| config.initial_membership.clone());
    let restored = Restored {
        hard_state,
        purged: bounds.purged,
        entries,
        membership: Arc::new(membership),
        membership_entries: memberships,
        last_applied: applied.last_applied.index,
        damaged,
    };
    Ok((replica, restored))
}

/// Refuses bounds that no log has: what is counted on from them must not overflow.
fn check_bounds(bounds: LogBounds) -> Result<(), NodeError> {
    let LogBounds { purged, last } = bounds;
    if purged.index <= last.index && last.index.get() < u64::MAX {
        return Ok(());
    }
    Err(NodeError::LogStoreContract {
        what: format!("it is purged up to {purged} and ends at {last}"),
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
fn check_vote(replica: ReplicaId, state: HardState, applied: LogId) -> Result<(), NodeError> {
    if state.current_term >= applied.term {
        return Ok(());
    }
    Err(NodeError::LogVanished { replica, applied })
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
        let end = last.log_id.index;
        if end < next || end > bounds.last.index {
            return Err(NodeError::LogStoreContract {
                what: format!(
                    "asked for metadata from {next}, it answered {}",
                    last.log_id
                ),
            });
        }
        next = end.next();
        entries.extend(page);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_no_log_has_are_refused() {
        let bounds = |purged, last| LogBounds {
            purged: LogId::new(1, purged),
            last: LogId::new(1, last),
        };

        assert!(check_bounds(bounds(3, 3)).is_ok());
        assert!(check_bounds(bounds(0, 7)).is_ok());
        assert!(check_bounds(bounds(4, 3)).is_err());
        assert!(check_bounds(bounds(u64::MAX, u64::MAX)).is_err());
    }
}
