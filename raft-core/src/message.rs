//! What replicas say to each other.
//!
//! A message travels in an [`Envelope`] that names the group, both replicas and
//! the sender's term. Every acknowledgement names what it acknowledges: entries
//! by (term, index), rounds by the leader's counter, replication by session.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::entry::{Entry, LogSlice, size_of_command};
use crate::error::ChangeMembershipError;
use crate::membership::Membership;
use crate::membership_change::MembershipChange;
use crate::types::{GroupId, LogId, LogIndex, ReplicaId, RequestId, Term};

/// A message with its address.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// The group it belongs to.
    pub group: GroupId,
    /// Who sent it, in which life.
    pub from: ReplicaId,
    /// Whom it is for, in which life.
    pub to: ReplicaId,
    /// The sender's current term.
    pub term: Term,
    /// What it says.
    pub message: Message,
}

/// Everything one replica says to another.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// Would you vote for me? Changes nobody's term (Thesis §9.6).
    PreVote(PreVote),
    /// Answer to [`Message::PreVote`].
    PreVoteReply(PreVoteReply),
    /// Vote for me in the envelope's term (Raft §5.2).
    RequestVote(RequestVote),
    /// Answer to [`Message::RequestVote`].
    RequestVoteReply(RequestVoteReply),
    /// Entries to append after a given one (Raft §5.3).
    AppendEntries(AppendEntries),
    /// Answer to [`Message::AppendEntries`].
    AppendReply(AppendReply),
    /// The leader is alive; carries no log.
    Heartbeat(Heartbeat),
    /// Answer to [`Message::Heartbeat`].
    HeartbeatReply(HeartbeatReply),
    /// The leader's commit index, for a follower that waits for it. Not answered.
    Commit(Commit),
    /// A follower asks the leader for a read index (Thesis §6.4).
    ReadIndex(ReadIndex),
    /// Answer to [`Message::ReadIndex`].
    ReadIndexReply(ReadIndexReply),
    /// Commands that a follower's clients propose, for the leader of the envelope's term.
    Propose(Propose),
    /// The leader is overloaded and did not append some of them. Success is not
    /// answered: entries name their request, and their origin sees them applied.
    ProposeRefused(ProposeRefused),
    /// A follower's client wants the membership changed, by the leader of the envelope's term.
    ChangeMembership(ChangeMembership),
    /// Answer to [`Message::ChangeMembership`].
    ChangeMembershipReply(ChangeMembershipReply),
    /// The leader asks the receiver to campaign at once (Thesis §3.10).
    TimeoutNow(TimeoutNow),
    /// The sender's copy of an entry is damaged; who has the very same one may send it.
    FetchEntry(FetchEntry),
    /// Answer to [`Message::FetchEntry`].
    FetchedEntry(FetchedEntry),
    /// Answer to [`Message::FetchEntry`] of who has no such entry, or not any more.
    EntryAbsent(EntryAbsent),
}

/// How urgent a message is; a transport keeps the classes apart.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum MessageClass {
    /// Votes, heartbeats, reads, commit: small, and never behind anything large.
    Control,
    /// Entries and what acknowledges them.
    Append,
    /// Snapshot chunks.
    Snapshot,
}

impl Message {
    /// The class this message travels in.
    pub const fn class(&self) -> MessageClass {
        match self {
            Self::AppendEntries(_) | Self::Propose(_) | Self::FetchedEntry(_) => {
                MessageClass::Append
            }
            _ => MessageClass::Control,
        }
    }

    /// About how many bytes of entries and commands it carries.
    pub fn payload_bytes(&self) -> usize {
        match self {
            Self::AppendEntries(body) => body.entries.size(),
            Self::Propose(body) => {
                let sizes = body
                    .commands
                    .iter()
                    .map(|(_, data)| size_of_command(data.len()));
                sizes.sum()
            }
            Self::FetchedEntry(body) => body.entry.size(),
            _ => 0,
        }
    }

    /// A short name for logs and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PreVote(_) => "pre_vote",
            Self::PreVoteReply(_) => "pre_vote_reply",
            Self::RequestVote(_) => "request_vote",
            Self::RequestVoteReply(_) => "request_vote_reply",
            Self::AppendEntries(_) => "append_entries",
            Self::AppendReply(_) => "append_reply",
            Self::Heartbeat(_) => "heartbeat",
            Self::HeartbeatReply(_) => "heartbeat_reply",
            Self::Commit(_) => "commit",
            Self::ReadIndex(_) => "read_index",
            Self::ReadIndexReply(_) => "read_index_reply",
            Self::Propose(_) => "propose",
            Self::ProposeRefused(_) => "propose_refused",
            Self::ChangeMembership(_) => "change_membership",
            Self::ChangeMembershipReply(_) => "change_membership_reply",
            Self::TimeoutNow(_) => "timeout_now",
            Self::FetchEntry(_) => "fetch_entry",
            Self::FetchedEntry(_) => "fetched_entry",
            Self::EntryAbsent(_) => "entry_absent",
        }
    }
}

/// Body of [`Message::PreVote`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct PreVote {
    /// Counts the sender's attempts, so that an answer to an earlier one is recognised.
    pub round: u64,
    /// The term the sender would campaign in; its envelope still carries its current one.
    pub proposed_term: Term,
    /// The last entry of the sender's log.
    pub last_log: LogId,
}

/// Body of [`Message::PreVoteReply`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct PreVoteReply {
    /// Echo of the round.
    pub round: u64,
    /// Echo of the proposed term.
    pub proposed_term: Term,
    /// Whether the sender would vote so.
    pub granted: bool,
}

/// Body of [`Message::RequestVote`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct RequestVote {
    /// The last entry of the candidate's log.
    pub last_log: LogId,
    /// The leader asked for this campaign, so a recent leader is no reason to refuse (Thesis §3.10).
    pub leadership_transfer: bool,
}

/// Body of [`Message::RequestVoteReply`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct RequestVoteReply {
    /// The term of the request that this answers.
    pub vote_term: Term,
    /// Whether the vote was given, durably.
    pub granted: bool,
}

/// Body of [`Message::AppendEntries`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct AppendEntries {
    /// The leader's replication session with this follower.
    pub session: u64,
    /// The entry right before `entries`.
    pub previous: LogId,
    /// What to append; empty for a probe.
    pub entries: LogSlice,
    /// The leader's commit index.
    pub commit: LogIndex,
}

/// Body of [`Message::AppendReply`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct AppendReply {
    /// Echo of the session; 0 in the answer to an earlier term's leader.
    pub session: u64,
    /// What came of it.
    pub result: AppendResult,
}

/// What a follower made of an append.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum AppendResult {
    /// The follower's log agrees with the leader's up to `received`.
    Accepted {
        /// Last entry known to agree with the leader's log, in memory at least.
        received: LogId,
        /// Last of those that is durable; only these count toward commit.
        durable: LogId,
    },
    /// The entry before the append is missing or another one.
    Rejected {
        /// Echo of the previous entry's position.
        previous: LogIndex,
        /// The highest entry of the follower at or below `previous` whose term is
        /// not above the leader's there: where to probe next (Raft §5.3, end).
        hint: LogId,
    },
}

/// Body of [`Message::Heartbeat`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The leader's replication session with this follower.
    pub session: u64,
    /// Counts the leader's rounds in this term; confirms reads.
    pub round: u64,
    /// The leader's commit index.
    pub commit: LogIndex,
}

/// Body of [`Message::HeartbeatReply`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct HeartbeatReply {
    /// Echo of the session; 0 in the answer to an earlier term's leader.
    pub session: u64,
    /// Echo of the round.
    pub round: u64,
    /// Last entry known to agree with the leader's log; lets the leader notice a lost append.
    pub received: LogId,
    /// Last of those that is durable.
    pub durable: LogId,
    /// For how long after the heartbeat the sender votes for nobody else: its own
    /// shortest election timeout. The leader's lease rests on it (Thesis §6.4.1).
    pub promise: Duration,
}

/// Body of [`Message::Commit`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    /// The leader's commit index.
    pub commit: LogIndex,
}

/// Body of [`Message::ReadIndex`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct ReadIndex {
    /// The follower's request, for the answer.
    pub request: RequestId,
    /// The reader trusts the leader's lease (Thesis §6.4.1): no round is needed while it holds.
    pub lease: bool,
}

/// Body of [`Message::ReadIndexReply`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct ReadIndexReply {
    /// Echo of the request.
    pub request: RequestId,
    /// The read may be served once this index is applied; nothing if the sender does not lead.
    pub index: Option<LogIndex>,
    /// The leader's commit index.
    pub commit: LogIndex,
}

/// Body of [`Message::Propose`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Propose {
    /// The start of the origin that numbered the commands.
    pub boot: u64,
    /// Commands with their sequence numbers, rising.
    pub commands: Vec<(u64, Bytes)>,
}

/// Body of [`Message::ProposeRefused`]: too much waits for commit on the leader.
///
/// No other refusal is ever sent: only the leader of the envelope's term knows
/// that it did not append a command, and only as long as it leads.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct ProposeRefused {
    /// Echo of the start.
    pub boot: u64,
    /// Sequence numbers of the commands that were not appended.
    pub sequences: Vec<u64>,
    /// Why.
    pub reason: Refusal,
}

/// Why a leader does not append what it was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Refusal {
    /// Too much waits for commit.
    Overloaded,
    /// Its disk is full.
    DiskFull,
}

/// Body of [`Message::ChangeMembership`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct ChangeMembership {
    /// The origin's request, for the answer; copies of a message are recognised by it.
    pub request: RequestId,
    /// What is wanted.
    pub change: MembershipChange,
}

/// Body of [`Message::ChangeMembershipReply`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct ChangeMembershipReply {
    /// Echo of the request.
    pub request: RequestId,
    /// The entry that the change begins with, or why nothing was appended.
    pub result: Result<LogId, ChangeMembershipError>,
}

/// Body of [`Message::TimeoutNow`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct TimeoutNow {
    /// The leader's latest round. A follower that has seen a later one knows
    /// that this message is late, and that the leader may have gone on leading.
    pub round: u64,
}

/// Body of [`Message::FetchEntry`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct FetchEntry {
    /// The entry wanted.
    pub log_id: LogId,
}

/// Body of [`Message::FetchedEntry`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct FetchedEntry {
    /// The entry, undamaged.
    pub entry: Entry,
}

/// Body of [`Message::EntryAbsent`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct EntryAbsent {
    /// Echo of the entry wanted.
    pub log_id: LogId,
    /// Why the sender does not send it.
    pub absence: Absence,
}

/// What the sender's log has in the place of an entry that was asked for.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Absence {
    /// The log ends before it, or holds another term there, durably: so it is in the
    /// envelope's term at the moment of sending. It may get the entry later.
    NotHeld,
    /// It was applied and purged with all up to here, so it is committed.
    Purged {
        /// The last entry purged.
        up_to: LogId,
        /// The membership in force there.
        membership: Box<Membership>,
    },
}
