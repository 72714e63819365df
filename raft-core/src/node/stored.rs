//! Reads the log at start: the memberships in it, and which entries are damaged.
//!
//! What is not applied yet is read as a whole, because the node is about to say
//! of it that it is durable here. What is applied is read no more than needed.

use std::sync::Arc;

use super::error::NodeError;
use crate::entry::{EntryKind, EntryMeta, Payload};
use crate::log_store::{LogStore, StoredEntry};
use crate::membership::Membership;
use crate::state_machine::AppliedState;
use crate::types::LogIndex;

/// How much of the log is in memory at a time.
const CHUNK_BYTES: usize = 4 << 20;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// With the index of their entries, rising; not those that are damaged.
    pub(super) memberships: Vec<(LogIndex, Arc<Membership>)>,
    /// Rising.
    pub(super) damaged: Vec<LogIndex>,
}

impl Stored {
    fn add(&mut self, stored: StoredEntry) -> Result<(), NodeError> {
        match stored {
            StoredEntry::Entry(entry) => {
                let index = entry.index();
                if let Payload::Membership(membership) = entry.payload {
                    self.memberships.push((index, Arc::new(*membership)));
                }
            }
            StoredEntry::Corrupt { index, reason, .. } => {
                tracing::error!(%index, reason, "a log entry is corrupt");
                self.damaged.push(index);
            }
            StoredEntry::Absent { index } => return Err(absent(index)),
        }
        Ok(())
    }
}

/// Reads the log whose entries are `metas`, of which the state machine holds those
/// up to `applied`.
pub(super) async fn read(
    log: &dyn LogStore,
    metas: &[EntryMeta],
    applied: &AppliedState,
) -> Result<Stored, NodeError> {
    let mut stored = Stored::default();
    let last_applied = applied.last_applied.index;
    read_applied(log, metas, applied, &mut stored).await?;
    let open = metas.partition_point(|meta| meta.log_id.index <= last_applied);
    if let (Some(first), Some(last)) = (metas.get(open), metas.last()) {
        read_all(log, first.log_id.index, last.log_id.index, &mut stored).await?;
    }
    check_kinds(metas, &stored)?;
    Ok(stored)
}

/// The memberships that are applied. The one in force is also in the state
/// machine, so that damage to it is no more than any other.
async fn read_applied(
    log: &dyn LogStore,
    metas: &[EntryMeta],
    applied: &AppliedState,
    stored: &mut Stored,
) -> Result<(), NodeError> {
    let mut in_force = None;
    let is_applied = |meta: &&EntryMeta| meta.log_id.index <= applied.last_applied.index;
    for meta in metas.iter().take_while(is_applied) {
        if meta.kind == EntryKind::Membership {
            let index = meta.log_id.index;
            read_all(log, index, index, stored).await?;
            in_force = Some(index);
        }
    }
    let Some(in_force) = in_force.filter(|index| stored.damaged.contains(index)) else {
        return Ok(());
    };
    let membership = applied.membership.clone();
    let membership = membership.ok_or(NodeError::CorruptEntry { index: in_force })?;
    stored.memberships.push((in_force, Arc::new(membership)));
    Ok(())
}

/// Everything from `first` to `last`, a chunk at a time.
async fn read_all(
    log: &dyn LogStore,
    first: LogIndex,
    last: LogIndex,
    stored: &mut Stored,
) -> Result<(), NodeError> {
    let mut next = first;
    while next <= last {
        let chunk = log
            .read(next, last, CHUNK_BYTES)
            .await
            .map_err(|source| NodeError::storage("reading the log", source))?;
        if chunk.is_empty() {
            return Err(absent(next));
        }
        for answer in chunk {
            let found = index_of(&answer);
            if found != next {
                let what = format!("asked for {next}, it answered {found}");
                return Err(NodeError::LogStoreContract { what });
            }
            stored.add(answer)?;
            next = next.next();
        }
    }
    Ok(())
}

const fn index_of(stored: &StoredEntry) -> LogIndex {
    match stored {
        StoredEntry::Entry(entry) => entry.log_id.index,
        StoredEntry::Absent { index } | StoredEntry::Corrupt { index, .. } => *index,
    }
}

fn absent(index: LogIndex) -> NodeError {
    NodeError::LogStoreContract {
        what: format!("it has metadata of {index} but no entry"),
    }
}

/// What reads as a membership is one by its metadata too, and the other way round.
fn check_kinds(metas: &[EntryMeta], stored: &Stored) -> Result<(), NodeError> {
    let is_read = |index: &LogIndex| stored.memberships.iter().any(|(i, _)| i == index);
    let expected = metas.iter().filter(|m| m.kind == EntryKind::Membership);
    let expected: Vec<LogIndex> = expected.map(|meta| meta.log_id.index).collect();
    let missing = expected
        .iter()
        .find(|index| !is_read(index) && !stored.damaged.contains(index));
    let strange = stored.memberships.iter().map(|(index, _)| index);
    let strange = strange.into_iter().find(|index| !expected.contains(index));
    match missing.or(strange) {
        Some(index) => Err(NodeError::LogStoreContract {
            what: format!("metadata and entry of {index} differ on whether it is a membership"),
        }),
        None => Ok(()),
    }
}
