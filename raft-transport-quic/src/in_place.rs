//! Envelopes as they are read: commands lie where they were received, so that
//! a large one is handed on without being copied.
//!
//! The shapes repeat those of [`raft_core::message`] field by field, and the
//! bytes are the same; `tests/it/wire_format.rs` holds both to them. Only what
//! carries commands needs a shape of its own.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use raft_core::message::{
    AppendEntries, AppendReply, ChangeMembership, ChangeMembershipReply, Commit, EntryAbsent,
    FetchEntry, FetchedEntry, Heartbeat, HeartbeatReply, PreVote, PreVoteReply, Propose,
    ProposeRefused, ReadIndex, ReadIndexReply, Refusal, RequestVote, RequestVoteReply, TimeoutNow,
};
use raft_core::{
    Entry, Envelope, GroupId, LogId, LogIndex, LogSlice, Membership, Message, NotARun, Payload,
    ReplicaId, RequestId, Term,
};
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use crate::wire::MAX_ITEMS;

/// From here on a command stays in the frame it came in, and keeps all of it in
/// memory. A smaller one is copied: a state machine that holds on to a few of
/// them must not hold on to many times as much.
pub(crate) const SHARED_FROM: usize = 16 * 1024;

/// As [`Envelope`].
#[derive(Deserialize)]
pub(crate) struct EnvelopeInPlace<'a> {
    group: GroupId,
    from: ReplicaId,
    to: ReplicaId,
    term: Term,
    #[serde(borrow)]
    message: MessageInPlace<'a>,
}

/// As [`Message`], in the same order.
#[derive(Deserialize)]
enum MessageInPlace<'a> {
    PreVote(PreVote),
    PreVoteReply(PreVoteReply),
    RequestVote(RequestVote),
    RequestVoteReply(RequestVoteReply),
    #[serde(borrow)]
    AppendEntries(AppendInPlace<'a>),
    AppendReply(AppendReply),
    Heartbeat(Heartbeat),
    HeartbeatReply(HeartbeatReply),
    Commit(Commit),
    ReadIndex(ReadIndex),
    ReadIndexReply(ReadIndexReply),
    #[serde(borrow)]
    Propose(ProposeInPlace<'a>),
    ProposeRefused(RefusedInPlace),
    ChangeMembership(ChangeMembership),
    ChangeMembershipReply(ChangeMembershipReply),
    TimeoutNow(TimeoutNow),
    FetchEntry(FetchEntry),
    #[serde(borrow)]
    FetchedEntry(FetchedInPlace<'a>),
    EntryAbsent(EntryAbsent),
}

#[derive(Deserialize)]
struct AppendInPlace<'a> {
    session: u64,
    previous: LogId,
    #[serde(borrow, deserialize_with = "not_too_many")]
    entries: Vec<EntryInPlace<'a>>,
    commit: LogIndex,
}

#[derive(Deserialize)]
struct ProposeInPlace<'a> {
    boot: u64,
    #[serde(borrow, deserialize_with = "not_too_many")]
    commands: Vec<(u64, &'a [u8])>,
}

#[derive(Deserialize)]
struct RefusedInPlace {
    boot: u64,
    #[serde(deserialize_with = "not_too_many")]
    sequences: Vec<u64>,
    reason: Refusal,
}

#[derive(Deserialize)]
struct FetchedInPlace<'a> {
    #[serde(borrow)]
    entry: EntryInPlace<'a>,
}

#[derive(Deserialize)]
struct EntryInPlace<'a> {
    log_id: LogId,
    #[serde(borrow)]
    payload: PayloadInPlace<'a>,
}

#[derive(Deserialize)]
enum PayloadInPlace<'a> {
    Blank,
    Command { request: RequestId, data: &'a [u8] },
    Membership(Box<Membership>),
}

impl EnvelopeInPlace<'_> {
    /// The envelope, its large commands still in `frame`, which it was read from.
    ///
    /// # Errors
    ///
    /// Entries that form no run.
    pub(crate) fn into_envelope(self, frame: &Bytes) -> Result<Envelope, NotARun> {
        Ok(Envelope {
            group: self.group,
            from: self.from,
            to: self.to,
            term: self.term,
            message: self.message.into_message(frame)?,
        })
    }
}

impl MessageInPlace<'_> {
    fn into_message(self, frame: &Bytes) -> Result<Message, NotARun> {
        Ok(match self {
            Self::PreVote(body) => Message::PreVote(body),
            Self::PreVoteReply(body) => Message::PreVoteReply(body),
            Self::RequestVote(body) => Message::RequestVote(body),
            Self::RequestVoteReply(body) => Message::RequestVoteReply(body),
            Self::AppendEntries(body) => Message::AppendEntries(body.into_append(frame)?),
            Self::AppendReply(body) => Message::AppendReply(body),
            Self::Heartbeat(body) => Message::Heartbeat(body),
            Self::HeartbeatReply(body) => Message::HeartbeatReply(body),
            Self::Commit(body) => Message::Commit(body),
            Self::ReadIndex(body) => Message::ReadIndex(body),
            Self::ReadIndexReply(body) => Message::ReadIndexReply(body),
            Self::Propose(body) => Message::Propose(body.into_propose(frame)),
            Self::ProposeRefused(body) => Message::ProposeRefused(ProposeRefused {
                boot: body.boot,
                sequences: body.sequences,
                reason: body.reason,
            }),
            Self::ChangeMembership(body) => Message::ChangeMembership(body),
            Self::ChangeMembershipReply(body) => Message::ChangeMembershipReply(body),
            Self::TimeoutNow(body) => Message::TimeoutNow(body),
            Self::FetchEntry(body) => Message::FetchEntry(body),
            Self::FetchedEntry(body) => Message::FetchedEntry(FetchedEntry {
                entry: body.entry.into_entry(frame),
            }),
            Self::EntryAbsent(body) => Message::EntryAbsent(body),
        })
    }
}

impl AppendInPlace<'_> {
    fn into_append(self, frame: &Bytes) -> Result<AppendEntries, NotARun> {
        let entries = self.entries.into_iter();
        let entries = entries.map(|entry| entry.into_entry(frame)).collect();
        Ok(AppendEntries {
            session: self.session,
            previous: self.previous,
            entries: LogSlice::new(entries)?,
            commit: self.commit,
        })
    }
}

impl ProposeInPlace<'_> {
    fn into_propose(self, frame: &Bytes) -> Propose {
        let commands = self.commands.into_iter();
        Propose {
            boot: self.boot,
            commands: commands
                .map(|(sequence, data)| (sequence, keep(data, frame)))
                .collect(),
        }
    }
}

impl EntryInPlace<'_> {
    fn into_entry(self, frame: &Bytes) -> Entry {
        Entry {
            log_id: self.log_id,
            payload: match self.payload {
                PayloadInPlace::Blank => Payload::Blank,
                PayloadInPlace::Command { request, data } => Payload::Command {
                    request,
                    data: keep(data, frame),
                },
                PayloadInPlace::Membership(membership) => Payload::Membership(membership),
            },
        }
    }
}

/// A command for longer than its frame is read.
fn keep(data: &[u8], frame: &Bytes) -> Bytes {
    if data.len() < SHARED_FROM {
        Bytes::copy_from_slice(data)
    } else {
        frame.slice_ref(data)
    }
}

/// A sequence of at most [`MAX_ITEMS`].
fn not_too_many<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(NotTooMany(PhantomData))
}

struct NotTooMany<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for NotTooMany<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX_ITEMS} entries or commands in one message")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        /// What is only announced takes no more room than this.
        const AT_ONCE: usize = 4096;
        // Bincode always knows how many are announced.
        let announced = items.size_hint().unwrap_or(0);
        if announced > MAX_ITEMS {
            return Err(A::Error::invalid_length(announced, &self));
        }
        let mut found = Vec::with_capacity(announced.min(AT_ONCE));
        while let Some(item) = items.next_element()? {
            found.push(item);
        }
        Ok(found)
    }
}
