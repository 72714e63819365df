//! What a leader knows of the others.

mod inflight;
mod progress;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) use progress::{Limits, Progress, ProgressState};

use crate::membership::Membership;
use crate::protocol::output::SnapshotToken;
use crate::time::Timestamp;
use crate::types::{LogIndex, NodeId, ReplicaId};

/// All followers of a leader, in the order of their ids.
#[derive(Debug, Default)]
pub(super) struct ProgressMap {
    followers: BTreeMap<NodeId, Progress>,
    /// Their ids, to go through them while they change.
    nodes: Arc<[NodeId]>,
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
        map.list_nodes();
        map
    }

    /// Begins a new session with `replica`: acknowledgements of an earlier one do not count.
    fn add(&mut self, replica: ReplicaId, next_index: LogIndex, now: Timestamp) {
        self.last_session += 1;
        let progress = Progress::new(replica, self.last_session, next_index, now);
        self.followers.insert(replica.node, progress);
    }

    /// Follows whom `membership` names, in new sessions where they are new, from
    /// `next_index` on. Who is not named any more is followed until `grace`, to
    /// learn that it was removed.
    pub(super) fn sync(
        &mut self,
        membership: &Membership,
        own: NodeId,
        next_index: LogIndex,
        now: Timestamp,
        grace: Timestamp,
    ) {
        for replica in membership.replicas().filter(|replica| replica.node != own) {
            let known = self.followers.get(&replica.node);
            if known.is_none_or(|p| p.replica != replica || p.departs_at.is_some()) {
                self.add(replica, next_index, now);
            }
        }
        for progress in self.followers.values_mut() {
            if !membership.contains(progress.replica) && progress.departs_at.is_none() {
                progress.departs_at = Some(grace);
            }
        }
        self.list_nodes();
    }

    fn list_nodes(&mut self) {
        self.nodes = self.followers.keys().copied().collect();
    }

    /// Forgets who was removed a while ago; answers the snapshots on their way to them.
    pub(super) fn drop_departed(&mut self, now: Timestamp) -> Vec<SnapshotToken> {
        let mut tokens = Vec::new();
        self.followers.retain(|_, progress| {
            let stays = progress.departs_at.is_none_or(|at| now < at);
            if let (false, ProgressState::Snapshot { token }) = (stays, progress.state) {
                tokens.extend(token);
            }
            stays
        });
        self.list_nodes();
        tokens
    }

    /// Snapshots on their way.
    pub(super) fn snapshot_tokens(&self) -> Vec<SnapshotToken> {
        self.followers
            .values()
            .filter_map(|progress| match progress.state {
                ProgressState::Snapshot { token } => token,
                _ => None,
            })
            .collect()
    }

    pub(super) fn snapshots_under_way(&self) -> usize {
        self.snapshot_tokens().len()
    }

    pub(super) fn any_needs_snapshot(&self) -> bool {
        let waits = ProgressState::Snapshot { token: None };
        self.followers
            .values()
            .any(|progress| progress.state == waits)
    }

    /// The follower that this snapshot is on its way to.
    pub(super) fn sending(&mut self, token: SnapshotToken) -> Option<&mut Progress> {
        let sending = ProgressState::Snapshot { token: Some(token) };
        self.followers
            .values_mut()
            .find(|progress| progress.state == sending)
    }

    pub(super) fn nodes(&self) -> Arc<[NodeId]> {
        Arc::clone(&self.nodes)
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

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Progress> {
        self.followers.values_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Progress> {
        self.followers.values()
    }
}
