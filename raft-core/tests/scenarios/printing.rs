//! The notation of messages, entries and states.

use raft_core::message::{Absence, AppendEntries, AppendResult, Message, RequestVote};
use raft_core::protocol::{Persist, Status};
use raft_core::{
    Entry, Envelope, LogId, LogIndex, Membership, MembershipChange, MembershipStep, Payload, Raft,
};

use crate::cluster::{Disk, Shipment};

/// A message with the term of its sender, as in `[t2] heartbeat 3, commit i4`.
pub(crate) fn envelope(envelope: &Envelope) -> String {
    format!("[{}] {}", envelope.term, message(&envelope.message))
}

fn message(message: &Message) -> String {
    match message {
        Message::PreVote(body) => {
            format!(
                "pre-vote for {}? log ends at {}",
                body.proposed_term, body.last_log
            )
        }
        Message::PreVoteReply(body) => {
            format!(
                "pre-vote for {} {}",
                body.proposed_term,
                granted(body.granted)
            )
        }
        Message::RequestVote(body) => request_vote(*body),
        Message::RequestVoteReply(body) => {
            format!("vote in {} {}", body.vote_term, granted(body.granted))
        }
        Message::AppendEntries(body) => append(body),
        Message::AppendReply(body) => append_reply(&body.result),
        Message::Heartbeat(body) => format!("heartbeat {}, commit {}", body.round, body.commit),
        Message::HeartbeatReply(body) => {
            let holds = held(body.received, body.durable);
            format!("heartbeat {} answered, holds {holds}", body.round)
        }
        Message::Commit(body) => format!("commit {}", body.commit),
        Message::ReadIndex(body) => {
            let by = if body.lease {
                " (the lease will do)"
            } else {
                ""
            };
            format!("read index?{by}")
        }
        Message::ReadIndexReply(body) => match body.index {
            Some(index) => format!("read index {index}"),
            None => "read index: not the leader".to_owned(),
        },
        Message::Propose(body) => {
            let commands = body.commands.iter();
            let commands = commands.map(|(_, data)| String::from_utf8_lossy(data).into_owned());
            format!("propose {}", commands.collect::<Vec<_>>().join(" "))
        }
        Message::ProposeRefused(body) => format!("refuses {} proposals", body.sequences.len()),
        Message::ChangeMembership(body) => format!("change: {}", change(&body.change)),
        Message::ChangeMembershipReply(body) => match &body.result {
            Ok(id) => format!("the change begins at {id}"),
            Err(error) => format!("no change: {error}"),
        },
        Message::TimeoutNow(body) => format!("take over now, as of heartbeat {}", body.round),
        Message::FetchEntry(body) => format!("who has {}?", body.log_id),
        Message::FetchedEntry(body) => {
            format!("here is {}", entries(std::slice::from_ref(&body.entry)))
        }
        Message::EntryAbsent(body) => match &body.absence {
            Absence::NotHeld => format!("does not hold {}", body.log_id),
            Absence::Purged { up_to, .. } => format!("has {} purged up to {up_to}", body.log_id),
        },
    }
}

const fn granted(granted: bool) -> &'static str {
    if granted { "granted" } else { "refused" }
}

fn request_vote(body: RequestVote) -> String {
    let why = match body.leadership_transfer {
        true => " (the leader wants it)",
        false => "",
    };
    format!("vote? log ends at {}{why}", body.last_log)
}

fn append(body: &AppendEntries) -> String {
    let (previous, commit) = (body.previous, body.commit);
    match body.entries.is_empty() {
        true => format!("do you have {previous}? commit {commit}"),
        false => format!(
            "append after {previous}: {}; commit {commit}",
            entries(body.entries.entries())
        ),
    }
}

fn append_reply(result: &AppendResult) -> String {
    match result {
        AppendResult::Accepted { received, durable } => {
            format!("holds {}", held(*received, *durable))
        }
        AppendResult::Rejected { previous, hint } => {
            format!("does not have that {previous}; try {hint}")
        }
    }
}

fn held(received: LogId, durable: LogId) -> String {
    match received == durable {
        true => received.to_string(),
        false => format!("{received}, on disk {durable}"),
    }
}

/// Entries one by one; blank ones of one term in a row are put together.
pub(crate) fn entries(entries: &[Entry]) -> String {
    listed_entries(entries, &|membership| format!("({membership})"))
}

/// The same, for entries whose memberships were printed before.
pub(crate) fn applied(entries: &[Entry]) -> String {
    listed_entries(entries, &|_| "members".to_owned())
}

fn listed_entries(entries: &[Entry], members: &dyn Fn(&Membership) -> String) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut run: Option<(LogId, LogIndex)> = None;
    let name = |(first, last): (LogId, LogIndex)| match first.index == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    for entry in entries {
        let continues = run.is_some_and(|(first, _)| first.term == entry.term());
        match &entry.payload {
            Payload::Blank if continues => run = run.map(|(first, _)| (first, entry.index())),
            Payload::Blank => {
                words.extend(run.replace((entry.log_id, entry.index())).map(name));
            }
            Payload::Command { data, .. } => {
                words.extend(run.take().map(name));
                words.push(format!(
                    "{} {}",
                    entry.log_id,
                    String::from_utf8_lossy(data)
                ));
            }
            Payload::Membership(membership) => {
                words.extend(run.take().map(name));
                words.push(format!("{} {}", entry.log_id, members(membership)));
            }
        }
    }
    words.extend(run.map(name));
    words.join(", ")
}

/// The steps of a change as a scenario writes them.
pub(crate) fn change(change: &MembershipChange) -> String {
    let steps = change.steps().iter().map(|step| {
        let verb = match step {
            MembershipStep::AddLearner { .. } => "add",
            MembershipStep::Promote { .. } => "promote",
            MembershipStep::Demote { .. } => "demote",
            MembershipStep::Remove { .. } => "remove",
            MembershipStep::Update { .. } => "update",
            MembershipStep::Readmit { .. } => "readmit",
        };
        format!("{verb} {}", step.node())
    });
    steps.collect::<Vec<_>>().join(", ")
}

/// What a disk is asked to write.
pub(crate) fn persist(persist: &Persist) -> String {
    let mut parts = Vec::new();
    if let Some(state) = persist.hard_state {
        let vote = state.voted_for.map(|vote| format!(", vote for {vote}"));
        parts.push(format!(
            "{}{}",
            state.current_term,
            vote.unwrap_or_default()
        ));
    }
    if let Some(snapshot) = persist.reset {
        parts.push(format!("log starts after {snapshot}"));
    }
    if let Some(from) = persist.truncate_from {
        parts.push(format!("log cut from {from}"));
    }
    if !persist.entries.is_empty() {
        parts.push(entries(persist.entries.entries()));
    }
    format!("begins to write {}", parts.join("; "))
}

pub(crate) fn shipment(shipment: &Shipment) -> String {
    let state = &shipment.state;
    format!(
        "[{}] snapshot at {}: {}, {}",
        shipment.term,
        state.applied,
        contents(&state.commands),
        shipment.membership
    )
}

/// What a state machine holds.
pub(crate) fn contents(commands: &[String]) -> String {
    match commands.is_empty() {
        true => "nothing".to_owned(),
        false => commands.join(" "),
    }
}

pub(crate) fn outcome(installed: Option<LogId>) -> String {
    match installed {
        Some(last) => format!("has the snapshot at {last}"),
        None => "does not take the snapshot".to_owned(),
    }
}

/// A replica in one line: role, term, watermarks, and its log as terms by index.
pub(crate) fn status(raft: &Raft) -> String {
    let status = raft.status();
    let mut line = format!(
        "{} {} {}",
        status.replica,
        status.role.name(),
        status.term()
    );
    line.push_str(&format!(", commit {}", status.commit_index));
    if status.last_applied != status.commit_index {
        line.push_str(&format!(", applied {}", status.last_applied));
    }
    if status.durable_index != status.last_log.index {
        line.push_str(&format!(", on disk {}", status.durable_index));
    }
    format!("{line}, log {}", terms(raft, &status))
}

/// A node that is down: what its disk holds.
pub(crate) fn stopped(disk: &Disk) -> String {
    let terms = disk
        .entries
        .iter()
        .map(|entry| entry.term().get().to_string());
    let state = disk.hard_state;
    format!(
        "down, {}, log {}",
        state.current_term,
        listed(disk.purged, terms)
    )
}

fn terms(raft: &Raft, status: &Status) -> String {
    let first = status.purged.index.get() + 1;
    let indices = (first..=status.last_log.index.get()).map(LogIndex::new);
    let terms = indices.filter_map(|index| raft.term_at(index));
    listed(status.purged, terms.map(|term| term.get().to_string()))
}

fn listed(purged: LogId, terms: impl Iterator<Item = String>) -> String {
    let before = (purged != LogId::ZERO).then(|| format!("(up to {purged} gone)"));
    let words: Vec<String> = before.into_iter().chain(terms).collect();
    match words.is_empty() {
        true => "empty".to_owned(),
        false => words.join(" "),
    }
}
