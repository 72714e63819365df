//! The trace of a run: a digest of every event, and one line for each if wanted.
//!
//! Two runs with the same digest went the same way.

use super::image::mix;
use crate::message::{Absence, AppendResult, Envelope, Message};
use crate::types::{LogId, LogIndex};

/// The trace of one run.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) hash: u64,
    pub(crate) lines: Vec<String>,
    wanted: bool,
}

impl Trace {
    /// A trace that keeps its lines if they are `wanted`.
    pub(crate) fn new(wanted: bool) -> Self {
        Self {
            wanted,
            ..Self::default()
        }
    }

    /// Something happened, told by numbers.
    pub(crate) fn note(&mut self, numbers: &[u64]) {
        self.hash = numbers.iter().fold(self.hash, |hash, &n| mix(hash, n));
    }

    /// Something happened, told in words, if anyone wants them.
    pub(crate) fn line(&mut self, now: u64, words: impl FnOnce() -> String) {
        if self.wanted {
            let (ms, us) = (now / 1000, now % 1000);
            self.lines.push(format!("{ms:>7}.{us:03} {}", words()));
        }
    }
}

/// A number that tells messages apart.
pub(crate) fn digest(envelope: &Envelope) -> u64 {
    let address = mix(envelope.from.node.get(), envelope.to.node.get());
    let start = mix(address, envelope.term.get());
    let numbers = match &envelope.message {
        Message::PreVote(m) => [1, m.proposed_term.get(), id(m.last_log), 0],
        Message::PreVoteReply(m) => [2, m.proposed_term.get(), m.granted.into(), 0],
        Message::RequestVote(m) => [3, id(m.last_log), m.leadership_transfer.into(), 0],
        Message::RequestVoteReply(m) => [4, m.vote_term.get(), m.granted.into(), 0],
        Message::AppendEntries(m) => {
            let last = m.entries.last().unwrap_or(m.previous);
            let ends = mix(id(m.previous), id(last));
            [5, m.session, ends, m.commit.get()]
        }
        Message::AppendReply(m) => match m.result {
            AppendResult::Accepted { received, durable } => {
                [6, m.session, id(received), id(durable)]
            }
            AppendResult::Rejected { previous, hint } => [7, m.session, previous.get(), id(hint)],
        },
        Message::Heartbeat(m) => [8, m.session, m.round, m.commit.get()],
        Message::HeartbeatReply(m) => [9, m.session, m.round, mix(id(m.received), id(m.durable))],
        Message::Commit(m) => [10, m.commit.get(), 0, 0],
        Message::ReadIndex(m) => [11, m.request.boot, m.request.sequence, m.lease.into()],
        Message::ReadIndexReply(m) => {
            let index = m.index.map_or(u64::MAX, LogIndex::get);
            [12, m.request.sequence, index, m.commit.get()]
        }
        Message::Propose(m) => {
            let last = m.commands.last().map_or(0, |(sequence, _)| *sequence);
            [13, m.boot, m.commands.len() as u64, last]
        }
        Message::ProposeRefused(m) => [14, m.boot, m.sequences.len() as u64, m.reason as u64],
        Message::ChangeMembership(m) => {
            let steps = m.change.steps().len() as u64;
            [15, m.request.boot, m.request.sequence, steps]
        }
        Message::ChangeMembershipReply(m) => {
            let begun = m.result.as_ref().map_or(u64::MAX, |&log_id| id(log_id));
            [16, m.request.boot, m.request.sequence, begun]
        }
        Message::TimeoutNow(m) => [17, m.round, 0, 0],
        Message::FetchEntry(m) => [18, id(m.log_id), 0, 0],
        Message::FetchedEntry(m) => [19, id(m.entry.log_id), m.entry.size() as u64, 0],
        Message::EntryAbsent(m) => match &m.absence {
            Absence::NotHeld => [20, id(m.log_id), 0, 0],
            Absence::Purged { up_to, .. } => [20, id(m.log_id), 1, id(*up_to)],
        },
    };
    numbers.into_iter().fold(start, mix)
}

fn id(id: LogId) -> u64 {
    mix(id.term.get(), id.index.get())
}
