//! What a leader knows of the others.

mod inflight;
mod progress;

use std::collections::BTreeMap;

pub(super) use progress::{Limits, Progress, ProgressState};

use crate::membership::Membership;
use crate::time::Timestamp;
use crate::types::{LogIndex, NodeId, ReplicaId};

/// All followers of a leader, in the order of their ids.
#[derive(Debug, Default)]
pub(super) struct ProgressMap {
    followers: BTreeMap<NodeId, Progress>,
    last_session: u64,
}

impl ProgressMap {
    /// Starts replication to every member but `own`, guessing that their logs end with ours.
    pub(super) fn start(
        membership: &Membership,
        own: NodeId,
        next_index: LogIndex,
        now: Timestamp,
    ) -> Self {
        let mut map = Self::default();
        for replica in membership.replicas().filter(|replica| replica.node != own) {
            map.add(replica, next_index, now);
        }
        map
    }

    /// Begins a new session with `replica`: acknowledgements of an earlier one do not count.
    fn add(&mut self, replica: ReplicaId, next_index: LogIndex, now: Timestamp) {
        self.last_session += 1;
        let progress = Progress::new(replica, self.last_session, next_index, now);
        self.followers.insert(replica.node, progress);
    }

    pub(super) fn nodes(&self) -> Vec<NodeId> {
        self.followers.keys().copied().collect()
    }

    pub(super) fn get(&self, node: NodeId) -> Option<&Progress> {
        self.followers.get(&node)
    }

    pub(super) fn get_mut(&mut self, node: NodeId) -> Option<&mut Progress> {
        self.followers.get_mut(&node)
    }

    /// The progress that a message with this sender and session is about.
    pub(super) fn in_session(&mut self, from: ReplicaId, session: u64) -> Option<&mut Progress> {
        self.followers
            .get_mut(&from.node)
            .filter(|progress| progress.replica == from && progress.session == session)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Progress> {
        self.followers.values()
    }
}
