//! One message of every kind, for the tests of the wire format.

use std::time::Duration;

use bytes::Bytes;
use raft_core::message::{
    Absence, AppendEntries, AppendReply, AppendResult, ChangeMembership, ChangeMembershipReply,
    Commit, EntryAbsent, FetchEntry, FetchedEntry, Heartbeat, HeartbeatReply, PreVote,
    PreVoteReply, Propose, ProposeRefused, ReadIndex, ReadIndexReply, Refusal, RequestVote,
    RequestVoteReply, TimeoutNow,
};
use raft_core::{
    ChangeMembershipError, Entry, GroupId, Incarnation, LogId, LogIndex, LogSlice, MemberInfo,
    Membership, MembershipChange, Message, NodeId, Payload, ReplicaId, RequestId, SnapshotHeader,
    SnapshotMeta, Term,
};
use raft_transport_quic::wire::{
    SnapshotBegin, SnapshotEnd, SnapshotHave, SnapshotReply, TransferId, decode, encode,
};
use serde::{Serialize, de::DeserializeOwned};

pub(crate) const REQUEST: RequestId = RequestId {
    boot: 0x1234_5678_9abc_def0,
    sequence: 300,
};

fn entries() -> LogSlice {
    let membership = Payload::Membership(Box::new(Membership::of_ids([1, 2, 70_000])));
    LogSlice::new(vec![
        Entry::blank(LogId::new(4, 41)),
        Entry::command(LogId::new(5, 42), REQUEST, Bytes::from_static(b"set x")),
        Entry {
            log_id: LogId::new(5, 43),
            payload: membership,
        },
    ])
    .unwrap()
}

/// One message of every kind and variant, in the order of their numbers.
pub(crate) fn messages() -> Vec<(&'static str, Message)> {
    let log = LogId::new(5, 43);
    let index = LogIndex::new(43);
    let rejected = AppendResult::Rejected {
        previous: index,
        hint: LogId::new(4, 40),
    };
    let accepted = AppendResult::Accepted {
        received: log,
        durable: LogId::new(5, 42),
    };
    let named = |name: &'static str, message: Message| (name, message);
    vec![
        named(
            "pre_vote",
            Message::PreVote(PreVote {
                round: 300,
                proposed_term: Term::new(6),
                last_log: log,
            }),
        ),
        named(
            "pre_vote_reply",
            Message::PreVoteReply(PreVoteReply {
                round: 300,
                proposed_term: Term::new(6),
                granted: true,
            }),
        ),
        named(
            "request_vote",
            Message::RequestVote(RequestVote {
                last_log: log,
                leadership_transfer: false,
            }),
        ),
        named(
            "request_vote_reply",
            Message::RequestVoteReply(RequestVoteReply {
                vote_term: Term::new(6),
                granted: false,
            }),
        ),
        named(
            "append_entries",
            Message::AppendEntries(AppendEntries {
                session: 9,
                previous: LogId::new(4, 40),
                entries: entries(),
                commit: LogIndex::new(39),
            }),
        ),
        named(
            "append_reply/accepted",
            Message::AppendReply(AppendReply {
                session: 9,
                result: accepted,
            }),
        ),
        named(
            "append_reply/rejected",
            Message::AppendReply(AppendReply {
                session: 9,
                result: rejected,
            }),
        ),
        named(
            "heartbeat",
            Message::Heartbeat(Heartbeat {
                session: 9,
                round: 1000,
                commit: index,
            }),
        ),
        named(
            "heartbeat_reply",
            Message::HeartbeatReply(HeartbeatReply {
                session: 9,
                round: 1000,
                received: log,
                durable: LogId::new(5, 42),
                promise: Duration::from_millis(300),
            }),
        ),
        named("commit", Message::Commit(Commit { commit: index })),
        named(
            "read_index",
            Message::ReadIndex(ReadIndex {
                request: REQUEST,
                lease: true,
            }),
        ),
        named(
            "read_index_reply/some",
            Message::ReadIndexReply(ReadIndexReply {
                request: REQUEST,
                index: Some(index),
                commit: index,
            }),
        ),
        named(
            "read_index_reply/none",
            Message::ReadIndexReply(ReadIndexReply {
                request: REQUEST,
                index: None,
                commit: index,
            }),
        ),
        named(
            "propose",
            Message::Propose(Propose {
                boot: 7,
                commands: vec![(1, Bytes::from_static(b"a")), (2, Bytes::new())],
            }),
        ),
        named(
            "propose_refused",
            Message::ProposeRefused(ProposeRefused {
                boot: 7,
                sequences: vec![1, 2],
                reason: Refusal::Overloaded,
            }),
        ),
        named(
            "propose_refused_by_a_full_disk",
            Message::ProposeRefused(ProposeRefused {
                boot: 7,
                sequences: vec![],
                reason: Refusal::DiskFull,
            }),
        ),
    ]
    .into_iter()
    .chain(rare_messages())
    .collect()
}

/// Those that go with changes of members and leaders, and with damage.
fn rare_messages() -> Vec<(&'static str, Message)> {
    let info = MemberInfo {
        incarnation: Incarnation::new(1),
        address: "10.0.0.4:7000".into(),
        context: Bytes::from_static(b"four"),
    };
    let change = MembershipChange::new()
        .add_learner(NodeId::new(4), info.clone())
        .promote(NodeId::new(3))
        .demote(NodeId::new(2))
        .remove(NodeId::new(1))
        .update(NodeId::new(5), info);
    let reply = |result| {
        Message::ChangeMembershipReply(ChangeMembershipReply {
            request: REQUEST,
            result,
        })
    };
    let refusal = ChangeMembershipError::NotCaughtUp {
        node: NodeId::new(3),
        behind: 5000,
        allowed: 1000,
    };
    vec![
        (
            "change_membership",
            Message::ChangeMembership(ChangeMembership {
                request: REQUEST,
                change,
            }),
        ),
        (
            "change_membership_reply/begun",
            reply(Ok(LogId::new(5, 44))),
        ),
        ("change_membership_reply/refused", reply(Err(refusal))),
        (
            "timeout_now",
            Message::TimeoutNow(TimeoutNow { round: 1000 }),
        ),
        (
            "fetch_entry",
            Message::FetchEntry(FetchEntry {
                log_id: LogId::new(4, 41),
            }),
        ),
        (
            "fetched_entry",
            Message::FetchedEntry(FetchedEntry {
                entry: Entry::command(LogId::new(5, 42), REQUEST, Bytes::from_static(b"set x")),
            }),
        ),
        ("entry_absent/not_held", absent(Absence::NotHeld)),
        (
            "entry_absent/purged",
            absent(Absence::Purged {
                up_to: LogId::new(5, 60),
                membership: Box::new(Membership::of_ids([1, 2])),
            }),
        ),
    ]
}

const fn absent(absence: Absence) -> Message {
    let log_id = LogId::new(4, 41);
    Message::EntryAbsent(EntryAbsent { log_id, absence })
}

/// What goes over a snapshot's stream beside its chunks, as bodies of frames.
pub(crate) fn snapshot_bodies() -> Vec<(&'static str, Vec<u8>)> {
    let transfer = TransferId {
        boot: REQUEST.boot,
        sequence: 300,
    };
    let header = SnapshotHeader {
        group: GroupId::new(3),
        from: ReplicaId::first(1),
        to: ReplicaId::first(70_000),
        term: Term::new(5),
    };
    let meta = SnapshotMeta {
        last_included: LogId::new(4, 40),
        membership: Membership::of_ids([1, 2, 70_000]),
    };
    let mut begin = SnapshotBegin::new(transfer, header, meta);
    begin.acknowledged = 1000;
    let end = SnapshotEnd {
        chunks: 1000,
        bytes: 70_000,
    };
    let refused = SnapshotReply::Refused("stale".into());
    vec![
        ("snapshot_begin", body(&begin)),
        ("snapshot_have", body(&SnapshotHave { chunks: 1000 })),
        ("snapshot_end", body(&end)),
        ("snapshot_reply/installed", body(&SnapshotReply::Installed)),
        ("snapshot_reply/refused", body(&refused)),
    ]
}

/// The body of a value, which comes back from it.
fn body<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) -> Vec<u8> {
    let mut body = Vec::new();
    encode(value, &mut body).unwrap();
    assert_eq!(&decode::<T>(&body).unwrap(), value);
    body
}
