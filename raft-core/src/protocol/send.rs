//! The leader's appends: what goes to whom and when (Raft §5.3).

use super::log::Fetched;
use super::replication::{Limits, Progress, ProgressState};
use super::role::Role;
use super::{LogReadPurpose, Raft};
use crate::entry::LogSlice;
use crate::message::{AppendEntries, Envelope, Message};
use crate::protocol::output::Output;
use crate::types::{LogIndex, NodeId, ReplicaId};

impl Raft {
    /// Sends every follower what it lacks, as far as flow control lets.
    pub(super) fn pump_appends(&mut self) {
        let mut place = 0;
        while let Some(node) = self.next_in_need(&mut place) {
            while self.send_next_append(node) {}
        }
    }

    /// The first follower from `place` on that something may be sent to; the
    /// place after it is where to look for the next.
    fn next_in_need(&self, place: &mut usize) -> Option<NodeId> {
        let Role::Leader(leader) = &self.role else {
            return None;
        };
        let (last, limits) = (self.log.last().index, self.append_limits());
        let needs = |p: &Progress| {
            let is_behind = p.next_index <= last || p.state != ProgressState::Replicate;
            is_behind && p.may_send(limits)
        };
        let found = leader.followers.iter().skip(*place).position(needs)?;
        *place += found + 1;
        leader.followers.node_at(*place - 1)
    }

    const fn append_limits(&self) -> Limits {
        Limits {
            max_appends: self.config.max_inflight_appends,
            max_bytes: self.config.max_inflight_bytes,
        }
    }

    /// Sends one append, or asks for the entries it needs. Answers whether
    /// another one may follow.
    fn send_next_append(&mut self, node: NodeId) -> bool {
        let limits = self.append_limits();
        let Role::Leader(leader) = &self.role else {
            return false;
        };
        let Some(progress) = leader.followers.get(node).filter(|p| p.may_send(limits)) else {
            return false;
        };
        let (next, last) = (progress.next_index, self.log.last().index);
        let probing = progress.state != ProgressState::Replicate;
        let is_active = self.now.since(progress.last_contact) < self.config.election_timeout_min;
        if next > last || (probing && (!is_active || progress.probe_had_entries)) {
            // A peer that does not answer the probe is not sent entries over and over.
            return probing && self.send_append(node, LogSlice::empty());
        }
        let (entries, bytes) = (self.config.max_append_entries, self.config.max_append_bytes);
        if self.is_damaged(next) {
            if self.is_beyond_mending(next) {
                self.begin_snapshot_for(node);
                return false;
            }
            // Until it is mended, only who has it already gets further.
            return probing && self.send_append(node, LogSlice::empty());
        }
        match self.fetch_log(next, last, entries, bytes) {
            Fetched::Entries(entries) => self.send_append(node, entries),
            // Where the logs part is found without reading anything.
            Fetched::OnDisk(_) if probing => self.send_append(node, LogSlice::empty()),
            Fetched::OnDisk(last) => {
                self.read_for_append(node, next, last);
                false
            }
        }
    }

    /// Sends `entries`, which start at the follower's next index. Answers
    /// whether the follower may get more.
    fn send_append(&mut self, node: NodeId, entries: LogSlice) -> bool {
        let (commit, now) = (self.log.commit_index(), self.now);
        let Role::Leader(leader) = &mut self.role else {
            return false;
        };
        let Some(progress) = leader.followers.get_mut(node) else {
            return false;
        };
        // Nothing there: the entry was purged, and the follower needs a snapshot.
        let previous = progress
            .next_index
            .previous()
            .and_then(|index| self.log.id_at(index));
        let Some(previous) = previous else {
            progress.begin_snapshot();
            return false;
        };
        let last_index = entries.last().unwrap_or(previous).index;
        progress.tells_commit(commit);
        progress.sent(last_index, entries.size(), now);
        let (replica, session) = (progress.replica, progress.session);
        let body = AppendEntries {
            session,
            previous,
            entries,
            commit,
        };
        self.send(replica, Message::AppendEntries(body));
        true
    }

    fn begin_snapshot_for(&mut self, node: NodeId) {
        if let Role::Leader(leader) = &mut self.role
            && let Some(progress) = leader.followers.get_mut(node)
        {
            progress.begin_snapshot();
        }
    }

    fn read_for_append(&mut self, node: NodeId, first: LogIndex, last: LogIndex) {
        let purged = self.log.purged().index;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(progress) = leader.followers.get_mut(node) else {
            return;
        };
        if first <= purged {
            return progress.begin_snapshot();
        }
        progress.reads_log = true;
        let purpose = LogReadPurpose::Append {
            node,
            session: progress.session,
        };
        let max_bytes = self.config.max_append_bytes;
        self.read_log(purpose, first, last, max_bytes);
    }

    /// The log was read for a follower's next append.
    pub(super) fn on_read_for_append(&mut self, node: NodeId, session: u64, entries: LogSlice) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(progress) = leader
            .followers
            .get_mut(node)
            .filter(|p| p.session == session)
        else {
            return;
        };
        progress.reads_log = false;
        let next = progress.next_index;
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            // Not now: try again with the next heartbeat round.
            if !matches!(progress.state, ProgressState::Snapshot { .. }) {
                progress.state = ProgressState::Probe { waiting: true };
            }
            return;
        };
        // Acknowledgements or a rejection may have moved the follower on meanwhile.
        if first.index == next && self.log.contains(first) && self.log.contains(last) {
            self.send_append(node, entries);
        }
    }

    /// Sends `message` in our current term, once term and vote are durable.
    pub(super) fn send(&mut self, to: ReplicaId, message: Message) {
        let envelope = Envelope {
            group: self.config.group,
            from: self.config.replica,
            to,
            term: self.hard_state.current_term,
            message,
        };
        match self.durability.awaited(self.staged.hard_state) {
            None => self.outputs.push_back(Output::Send(envelope)),
            Some(token) => self.durability.hold(token, envelope),
        }
    }
}
