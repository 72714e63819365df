//! Messages taken apart: a shape, which says what they are about, and numbers.
//!
//! A shape is the message's name, what it answers, and the names of its numbers. A
//! name that ends in `@` stands for two, a term and an index; one that ends in `#`
//! for a number that only tells requests apart, of which the end is enough.

use crate::message::{Absence, AppendResult, Message};
use crate::types::LogId;

/// The shape of a snapshot, which is no message but goes from node to node like one.
pub(super) const SNAPSHOT: &str = "snapshot||last included@";

/// The shape of a message, and its numbers.
pub(super) fn of(message: &Message) -> (&'static str, Vec<u64>) {
    match message {
        Message::PreVote(m) => {
            let [term, index] = id(m.last_log);
            let numbers = vec![short(m.round), m.proposed_term.get(), term, index];
            ("pre_vote||round#|proposed term|last entry@", numbers)
        }
        Message::PreVoteReply(m) => {
            let shape = match m.granted {
                true => "pre_vote_reply|granted|round#|proposed term",
                false => "pre_vote_reply|denied|round#|proposed term",
            };
            (shape, vec![short(m.round), m.proposed_term.get()])
        }
        Message::RequestVote(m) => {
            let shape = match m.leadership_transfer {
                true => "request_vote|by transfer|last entry@",
                false => "request_vote||last entry@",
            };
            (shape, id(m.last_log).to_vec())
        }
        Message::RequestVoteReply(m) => {
            let shape = match m.granted {
                true => "request_vote_reply|granted|vote in term",
                false => "request_vote_reply|denied|vote in term",
            };
            (shape, vec![m.vote_term.get()])
        }
        Message::TimeoutNow(m) => ("timeout_now||round", vec![m.round]),
        _ => of_replication(message),
    }
}

fn of_replication(message: &Message) -> (&'static str, Vec<u64>) {
    match message {
        Message::AppendEntries(m) => {
            let last = m.entries.last().unwrap_or(m.previous);
            let ([a, b], [c, d]) = (id(m.previous), id(last));
            let count = m.entries.len() as u64;
            let shape = match count {
                0 => "append_entries|probe|after@|up to@|entries|commit|session#",
                _ => "append_entries||after@|up to@|entries|commit|session#",
            };
            (
                shape,
                vec![a, b, c, d, count, m.commit.get(), short(m.session)],
            )
        }
        Message::AppendReply(m) => match m.result {
            AppendResult::Accepted { received, durable } => {
                let ([a, b], [c, d]) = (id(received), id(durable));
                let shape = "append_reply|accepted|received@|durable@|session#";
                (shape, vec![a, b, c, d, short(m.session)])
            }
            AppendResult::Rejected { previous, hint } => {
                let [term, index] = id(hint);
                let shape = "append_reply|rejected|previous|hint@|session#";
                (shape, vec![previous.get(), term, index, short(m.session)])
            }
        },
        Message::Heartbeat(m) => {
            let numbers = vec![m.round, m.commit.get(), short(m.session)];
            ("heartbeat||round|commit|session#", numbers)
        }
        Message::HeartbeatReply(m) => {
            let ([a, b], [c, d]) = (id(m.received), id(m.durable));
            let shape = "heartbeat_reply||round|received@|durable@|session#";
            (shape, vec![m.round, a, b, c, d, short(m.session)])
        }
        Message::Commit(m) => ("commit||commit", vec![m.commit.get()]),
        Message::FetchEntry(m) => ("fetch_entry||entry@", id(m.log_id).to_vec()),
        Message::FetchedEntry(m) => ("fetched_entry||entry@", id(m.entry.log_id).to_vec()),
        Message::EntryAbsent(m) => {
            let mut numbers = id(m.log_id).to_vec();
            match &m.absence {
                Absence::NotHeld => ("entry_absent|not held|entry@", numbers),
                Absence::Purged { up_to, .. } => {
                    numbers.extend(id(*up_to));
                    ("entry_absent|purged|entry@|purged up to@", numbers)
                }
            }
        }
        _ => of_requests(message),
    }
}

fn of_requests(message: &Message) -> (&'static str, Vec<u64>) {
    match message {
        Message::ReadIndex(m) => {
            let shape = match m.lease {
                true => "read_index|by lease|request|of start#",
                false => "read_index||request|of start#",
            };
            (shape, vec![m.request.sequence, short(m.request.boot)])
        }
        Message::ReadIndexReply(m) => {
            let mut numbers = vec![m.request.sequence, m.commit.get()];
            numbers.extend(m.index.map(crate::types::LogIndex::get));
            match m.index {
                Some(_) => (
                    "read_index_reply|granted|request|commit|read index",
                    numbers,
                ),
                None => ("read_index_reply|refused|request|commit", numbers),
            }
        }
        Message::Propose(m) => {
            let last = m.commands.last().map_or(0, |(sequence, _)| *sequence);
            let numbers = vec![m.commands.len() as u64, last, short(m.boot)];
            ("propose||commands|last request|of start#", numbers)
        }
        Message::ProposeRefused(m) => {
            let numbers = vec![m.sequences.len() as u64, short(m.boot)];
            ("propose_refused||commands|of start#", numbers)
        }
        Message::ChangeMembership(m) => {
            let steps = m.change.steps().len() as u64;
            (
                "change_membership||request|steps",
                vec![m.request.sequence, steps],
            )
        }
        Message::ChangeMembershipReply(m) => {
            let mut numbers = vec![m.request.sequence];
            match &m.result {
                Ok(begun) => {
                    numbers.extend(id(*begun));
                    ("change_membership_reply|begun|request|entry@", numbers)
                }
                Err(_) => ("change_membership_reply|refused|request", numbers),
            }
        }
        _ => ("other|", Vec::new()),
    }
}

fn id(id: LogId) -> [u64; 2] {
    [id.term.get(), id.index.get()]
}

/// The end of a number that is drawn at random.
const fn short(number: u64) -> u64 {
    number & 0xffff
}
