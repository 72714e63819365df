//! What a leader knows of the others.

mod inflight;
mod progress;

pub(super) use progress::{Limits, Progress, ProgressState};

use crate::membership::Membership;
use crate::protocol::output::SnapshotToken;
use crate::time::Timestamp;
use crate::types::{LogIndex, NodeId, ReplicaId};

/// All followers of a leader.
#[derive(Clone, Debug, Default)]
pub(super) struct ProgressMap {
    /// In the order of their ids. A handful: looking through them is faster than a tree.
    followers: Vec<Progress>,
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

    /// Begins a new session with `replica`: acknowledgements of an earlier one do
    /// not count. Answers the snapshot on its way to the node's former self.
    fn add(
        &mut self,
        replica: ReplicaId,
        next_index: LogIndex,
        now: Timestamp,
    ) -> Option<SnapshotToken> {
        self.last_session += 1;
        let progress = Progress::new(replica, self.last_session, next_index, now);
        match self.place_of(replica.node) {
            Ok(place) => {
                let former = std::mem::replace(&mut self.followers[place], progress);
                former.snapshot_under_way()
            }
            Err(place) => {
                self.followers.insert(place, progress);
                None
            }
        }
    }

    /// Follows whom `membership` names, in new sessions where they are new, from
    /// `next_index` on. Who is not named any more is followed until `grace`, to
    /// learn that it was removed. Answers the snapshots that nobody needs any more.
    pub(super) fn sync(
        &mut self,
        membership: &Membership,
        own: NodeId,
        next_index: LogIndex,
        now: Timestamp,
        grace: Timestamp,
    ) -> Vec<SnapshotToken> {
        let mut stopped = Vec::new();
        for replica in membership.replicas().filter(|replica| replica.node != own) {
            let known = self.get(replica.node);
            if known.is_none_or(|p| p.replica != replica || p.departs_at.is_some()) {
                stopped.extend(self.add(replica, next_index, now));
            }
        }
        for progress in &mut self.followers {
            if !membership.contains(progress.replica) && progress.departs_at.is_none() {
                progress.departs_at = Some(grace);
            }
        }
        stopped
    }

    fn place_of(&self, node: NodeId) -> Result<usize, usize> {
        self.followers
            .binary_search_by_key(&node, |progress| progress.replica.node)
    }

    /// Forgets who was removed a while ago; answers the snapshots on their way to them.
    pub(super) fn drop_departed(&mut self, now: Timestamp) -> Vec<SnapshotToken> {
        let mut tokens = Vec::new();
        self.followers.retain(|progress| {
            let stays = progress.departs_at.is_none_or(|at| now < at);
            if !stays {
                tokens.extend(progress.snapshot_under_way());
            }
            stays
        });
        tokens
    }

    /// Snapshots on their way.
    pub(super) fn snapshot_tokens(&self) -> Vec<SnapshotToken> {
        self.followers
            .iter()
            .filter_map(Progress::snapshot_under_way)
            .collect()
    }

    pub(super) fn snapshots_under_way(&self) -> usize {
        self.snapshot_tokens().len()
    }

    pub(super) fn any_needs_snapshot(&self) -> bool {
        let waits = ProgressState::Snapshot { token: None };
        self.followers
            .iter()
            .any(|progress| progress.state == waits)
    }

    /// The follower that this snapshot is on its way to.
    pub(super) fn sending(&mut self, token: SnapshotToken) -> Option<&mut Progress> {
        let sending = ProgressState::Snapshot { token: Some(token) };
        self.followers
            .iter_mut()
            .find(|progress| progress.state == sending)
    }

    /// The follower at a place, counted from 0 in the order of ids.
    pub(super) fn node_at(&self, place: usize) -> Option<NodeId> {
        self.followers
            .get(place)
            .map(|progress| progress.replica.node)
    }

    pub(super) fn get(&self, node: NodeId) -> Option<&Progress> {
        self.followers.iter().find(|p| p.replica.node == node)
    }

    pub(super) fn get_mut(&mut self, node: NodeId) -> Option<&mut Progress> {
        self.followers.iter_mut().find(|p| p.replica.node == node)
    }

    /// The progress that a message with this sender and session is about.
    pub(super) fn in_session(&mut self, from: ReplicaId, session: u64) -> Option<&mut Progress> {
        self.get_mut(from.node)
            .filter(|progress| progress.replica == from && progress.session == session)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Progress> {
        self.followers.iter_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Progress> {
        self.followers.iter()
    }
}
