//! A real message with one thing wrong.

use raft_core::message::AppendResult;
use raft_core::{Envelope, LogSlice, Message};

use crate::choices::Choices;
use crate::values::View;

/// Changes one value of `envelope`, which is on its way to the replica of `view`.
pub fn damage(envelope: &mut Envelope, view: &View<'_>, choices: &mut Choices<'_>) {
    match choices.below(8) {
        0 => envelope.term = view.term(choices),
        1 => envelope.from = view.peer(choices),
        2 => envelope.to = view.status.replica,
        _ => damage_message(&mut envelope.message, view, choices),
    }
}

fn damage_message(message: &mut Message, view: &View<'_>, choices: &mut Choices<'_>) {
    match message {
        Message::PreVote(body) => match choices.coin() {
            true => body.proposed_term = view.term(choices),
            false => body.last_log = view.log_id(choices),
        },
        Message::PreVoteReply(body) => body.granted ^= true,
        Message::RequestVote(body) => match choices.coin() {
            true => body.leadership_transfer ^= true,
            false => body.last_log = view.log_id(choices),
        },
        Message::RequestVoteReply(body) => match choices.coin() {
            true => body.vote_term = view.term(choices),
            false => body.granted ^= true,
        },
        Message::AppendEntries(body) => match choices.below(4) {
            0 => body.session = view.session(choices),
            1 => body.previous = view.log_id(choices),
            2 => body.commit = view.index(choices),
            _ => body.entries = other_entries(&body.entries, view, choices),
        },
        Message::AppendReply(body) => match (&mut body.result, choices.below(3)) {
            (_, 0) => body.session = view.session(choices),
            (AppendResult::Accepted { received, .. }, 1) => *received = view.log_id(choices),
            (AppendResult::Accepted { durable, .. }, _) => *durable = view.log_id(choices),
            (AppendResult::Rejected { previous, .. }, 1) => *previous = view.index(choices),
            (AppendResult::Rejected { hint, .. }, _) => *hint = view.log_id(choices),
        },
        Message::Heartbeat(body) => match choices.below(3) {
            0 => body.session = view.session(choices),
            1 => body.round = view.round(choices),
            _ => body.commit = view.index(choices),
        },
        Message::HeartbeatReply(body) => match choices.below(4) {
            0 => body.session = view.session(choices),
            1 => body.round = view.round(choices),
            2 => body.received = view.log_id(choices),
            _ => body.durable = view.log_id(choices),
        },
        other => damage_request(other, view, choices),
    }
}

fn damage_request(message: &mut Message, view: &View<'_>, choices: &mut Choices<'_>) {
    match message {
        Message::Commit(body) => body.commit = view.index(choices),
        Message::ReadIndex(body) => body.request = view.request(choices),
        Message::ReadIndexReply(body) => match choices.below(3) {
            0 => body.request = view.request(choices),
            1 => body.index = choices.coin().then(|| view.index(choices)),
            _ => body.commit = view.index(choices),
        },
        Message::Propose(body) => body.commands.reverse(),
        Message::ProposeRefused(body) => body.sequences.push(view.ticket),
        Message::ChangeMembership(body) => body.request = view.request(choices),
        Message::ChangeMembershipReply(body) => match choices.coin() {
            true => body.request = view.request(choices),
            false => body.result = Ok(view.log_id(choices)),
        },
        Message::TimeoutNow(body) => body.round = view.round(choices),
        Message::FetchEntry(body) => body.log_id = view.log_id(choices),
        Message::FetchedEntry(body) => match choices.coin() {
            true => body.entry.log_id = view.log_id(choices),
            false => body.entry.payload = view.payload(choices),
        },
        Message::EntryAbsent(body) => body.log_id = view.log_id(choices),
        _ => {}
    }
}

/// The run without its end, without its beginning, or another one.
fn other_entries(run: &LogSlice, view: &View<'_>, choices: &mut Choices<'_>) -> LogSlice {
    let mut entries = run.clone().into_entries();
    match choices.below(4) {
        0 => drop(entries.pop()),
        1 if !entries.is_empty() => drop(entries.remove(0)),
        2 => {
            if let Some(last) = entries.last_mut() {
                last.payload = view.payload(choices);
            }
        }
        _ => {
            let previous = view.log_id(choices);
            return view.entries(previous, choices);
        }
    }
    LogSlice::new(entries).unwrap_or_default()
}
