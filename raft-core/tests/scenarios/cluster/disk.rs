//! The disk and the state machine of a node: what a crash leaves, and work that waits.

use std::collections::VecDeque;
use std::sync::Arc;

use raft_core::protocol::{Apply, Persist, ReadLog, Restored, SnapshotToken};
use raft_core::{Entry, EntryMeta, HardState, LogId, LogIndex, LogSlice, Membership, Payload};

/// What a node's disk holds, and what it has been asked to write.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) hard_state: HardState,
    pub(crate) purged: LogId,
    pub(crate) entries: Vec<Entry>,
    pub(crate) waiting: VecDeque<DiskWork>,
    pub(crate) is_held: bool,
}

/// Takes effect in the order in which it was asked for.
#[derive(Debug)]
pub(crate) enum DiskWork {
    Persist(Persist),
    Purge(LogId),
}

impl Disk {
    pub(crate) fn last(&self) -> LogId {
        self.entries.last().map_or(self.purged, |e| e.log_id)
    }

    /// Whether this very entry is durable here, or was before it was purged.
    pub(crate) fn holds(&self, id: LogId) -> bool {
        id.index < self.purged.index || id == self.purged || self.find(id.index) == Some(id)
    }

    fn find(&self, index: LogIndex) -> Option<LogId> {
        self.entries
            .iter()
            .map(|entry| entry.log_id)
            .find(|id| id.index == index)
    }

    /// Finishes a piece of work.
    pub(crate) fn finish(&mut self, work: DiskWork) {
        match work {
            DiskWork::Purge(up_to) => {
                self.entries.retain(|entry| entry.index() > up_to.index);
                self.purged = up_to;
            }
            DiskWork::Persist(persist) => {
                self.hard_state = persist.hard_state.unwrap_or(self.hard_state);
                if let Some(snapshot) = persist.reset {
                    self.reset(snapshot);
                }
                if let Some(from) = persist.truncate_from {
                    self.entries.retain(|entry| entry.index() < from);
                }
                for entry in persist.entries.into_entries() {
                    assert_eq!(
                        self.last().index.next(),
                        entry.index(),
                        "a write leaves a gap"
                    );
                    self.entries.push(entry);
                }
            }
        }
    }

    /// The log starts anew after `snapshot`.
    pub(crate) fn reset(&mut self, snapshot: LogId) {
        self.entries.clear();
        self.purged = snapshot;
    }

    pub(crate) fn read(&self, request: ReadLog) -> LogSlice {
        let wanted = request.first..=request.last;
        let entries = self.entries.iter();
        let entries = entries.filter(|entry| wanted.contains(&entry.index()));
        LogSlice::new(entries.cloned().collect()).expect("a log is a run")
    }

    /// Replaces damaged entries by sound ones.
    pub(crate) fn repair(&mut self, sound: &LogSlice) {
        for entry in &mut self.entries {
            let same = |other: &&Entry| other.log_id == entry.log_id;
            if let Some(other) = sound.entries().iter().find(same) {
                *entry = other.clone();
            }
        }
    }

    /// What a node starts from, given how far its state machine is, in a group
    /// that began with `first`.
    pub(crate) fn restored(&self, state: &State, first: &Membership) -> Restored {
        let is_whole = self.purged == LogId::ZERO;
        let before_log = if is_whole { first } else { &state.membership };
        let memberships = self
            .entries
            .iter()
            .filter_map(|entry| match &entry.payload {
                Payload::Membership(membership) => {
                    Some((entry.index(), Arc::new(membership.as_ref().clone())))
                }
                _ => None,
            });
        Restored {
            hard_state: self.hard_state,
            purged: self.purged,
            entries: self.entries.iter().map(EntryMeta::from).collect(),
            membership: Arc::new(before_log.clone()),
            membership_entries: memberships.collect(),
            last_applied: state.applied.index,
            damaged: Vec::new(),
        }
    }
}

/// A state machine's state: the commands applied so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) applied: LogId,
    pub(crate) commands: Vec<String>,
    /// Who was a member at `applied`.
    pub(crate) membership: Membership,
}

/// A state machine, and what it has been asked to do.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    pub(crate) state: State,
    /// What a crash leaves of it.
    pub(crate) durable: State,
    pub(crate) waiting: VecDeque<MachineWork>,
    pub(crate) is_held: bool,
}

/// Takes effect in the order in which it was asked for.
#[derive(Debug)]
pub(crate) enum MachineWork {
    Apply(Apply),
    Install(SnapshotToken),
}
