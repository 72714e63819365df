//! Which message goes where, and which go nowhere.

use super::{MAX_TERM, Raft};
use crate::message::{Commit, Envelope, Message};
use crate::types::{LogIndex, ReplicaId};

impl Raft {
    pub(super) fn on_message(&mut self, envelope: Envelope) {
        let from = envelope.from;
        if envelope.group != self.config.group || envelope.to != self.config.replica {
            return self.on_message_to_another(&envelope);
        }
        if envelope.term > MAX_TERM {
            return self.drop_message(from, "a term that no cluster reaches");
        }
        if from.node == self.config.replica.node || self.is_from_the_past(from) {
            return self.drop_message(from, "from an earlier life of a member");
        }
        let term = envelope.term;
        match envelope.message {
            Message::PreVote(body) => self.on_pre_vote(from, body),
            Message::PreVoteReply(body) => self.on_pre_vote_reply(term, from, body),
            Message::RequestVote(body) => self.on_request_vote(&envelope, body),
            Message::RequestVoteReply(body) => self.on_request_vote_reply(&envelope, body),
            Message::Heartbeat(body) => self.on_heartbeat(&envelope, body),
            Message::Commit(body) => self.on_commit(&envelope, body),
            Message::AppendReply(body) => self.on_append_reply(&envelope, body),
            Message::HeartbeatReply(body) => self.on_heartbeat_reply(&envelope, body),
            Message::ReadIndex(body) => self.on_read_index(&envelope, body),
            Message::ReadIndexReply(body) => self.on_read_index_reply(&envelope, body),
            Message::ProposeRefused(ref body) => self.on_propose_refused(body),
            Message::TimeoutNow(body) => self.on_timeout_now(&envelope, body),
            Message::FetchEntry(body) => self.on_fetch_entry(from, body),
            Message::EntryAbsent(ref body) => self.on_entry_absent(&envelope, body),
            Message::ChangeMembership(ref body) => self.on_forwarded_change(&envelope, body),
            Message::AppendEntries(_)
            | Message::Propose(_)
            | Message::FetchedEntry(_)
            | Message::ChangeMembershipReply(_) => self.on_bulk(envelope),
        }
    }

    /// Whether a later life of the node is a member. The reverse is no objection:
    /// whoever catches up reads of memberships that are long past.
    pub(super) fn is_from_the_past(&self, from: ReplicaId) -> bool {
        let known = self.log.membership().replica(from.node);
        known.is_some_and(|known| from.incarnation < known.incarnation)
    }

    /// The messages that carry payloads; taken apart without copying them.
    fn on_bulk(&mut self, mut envelope: Envelope) {
        let empty = Message::Commit(Commit {
            commit: LogIndex::ZERO,
        });
        match std::mem::replace(&mut envelope.message, empty) {
            Message::AppendEntries(body) => self.on_append_entries(&envelope, body),
            Message::Propose(body) => self.on_forwarded(&envelope, body),
            Message::FetchedEntry(body) => self.on_fetched_entry(&envelope, body),
            Message::ChangeMembershipReply(body) => self.on_change_reply(body),
            _ => {}
        }
    }
}
