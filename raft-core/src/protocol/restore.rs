//! What a replica is built from after a start.

use std::sync::Arc;

use crate::entry::EntryMeta;
use crate::error::RestoreError;
use crate::hard_state::HardState;
use crate::membership::Membership;
use crate::types::{LogId, LogIndex};

/// The durable state of a replica, as read back at its start.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Term and vote; the default for a new node.
    pub hard_state: HardState,
    /// The entry before the first one of the log (`LogBounds::purged`).
    pub purged: LogId,
    /// Identity and kind of every entry of the log, without gaps.
    pub entries: Vec<EntryMeta>,
    /// The membership in force before the first entry of the log: the
    /// group's first one, or the one of the snapshot.
    pub membership: Arc<Membership>,
    /// The memberships in the log, with the index of their entries, rising.
    pub membership_entries: Vec<(LogIndex, Arc<Membership>)>,
    /// Last entry whose effect the state machine holds. It is committed.
    pub last_applied: LogIndex,
}

impl Restored {
    /// A new replica of a group that starts with `membership`.
    pub fn new_group(membership: Membership) -> Self {
        Self {
            hard_state: HardState::default(),
            purged: LogId::ZERO,
            entries: Vec::new(),
            membership: Arc::new(membership),
            membership_entries: Vec::new(),
            last_applied: LogIndex::ZERO,
        }
    }

    /// Refuses numbers that cannot be counted on from. What peers may make of
    /// them is far below, so that nobody talks a replica into a state like this.
    pub(super) fn check_range(&self) -> Result<(), RestoreError> {
        const LIMIT: u64 = u64::MAX / 4 * 3;
        let (term, purged) = (self.hard_state.current_term, self.purged);
        if term.get() > LIMIT {
            let what = format!("term {term}");
            return Err(RestoreError::OutOfRange { what });
        }
        if purged.index.get() > LIMIT {
            let what = format!("position {purged}");
            return Err(RestoreError::OutOfRange { what });
        }
        Ok(())
    }
}
