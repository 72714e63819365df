//! Tells the fuzzer what has happened in which state.
//!
//! Coverage of the code alone rewards each line once. What goes wrong in a
//! protocol goes wrong in a combination: this message, while that is installed,
//! behind damage. So each combination of an input and a rough state counts as
//! new ground, too.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU8, Ordering};

use raft_core::Message;
use raft_core::protocol::{FollowerState, Input, Status};

/// How many combinations are told apart.
const PLACES: usize = 1 << 13;

/// libFuzzer reads every section of this name, and empties it before each run.
#[cfg(target_os = "linux")]
#[unsafe(link_section = "__libfuzzer_extra_counters")]
#[used]
static COUNTERS: [AtomicU8; PLACES] = [const { AtomicU8::new(0) }; PLACES];

#[cfg(not(target_os = "linux"))]
static COUNTERS: [AtomicU8; PLACES] = [const { AtomicU8::new(0) }; PLACES];

/// `what` happened to a replica that looked like `before`.
pub fn note(what: u8, before: &Status) {
    let mut hasher = DefaultHasher::new();
    (what, rough(before)).hash(&mut hasher);
    let place = hasher.finish() as usize % PLACES;
    COUNTERS[place].store(1, Ordering::Relaxed);
}

/// The kind of an input.
pub fn kind(input: &Input) -> u8 {
    match input {
        Input::Tick => 0,
        Input::Propose(_) => 1,
        Input::Read { .. } => 2,
        Input::ChangeMembership { .. } => 3,
        Input::TransferLeadership { .. } => 4,
        Input::Persisted(_) => 5,
        Input::LogRead { corrupt: None, .. } => 6,
        Input::LogRead { .. } => 7,
        Input::Applied(_) => 8,
        Input::StateDurable(_) => 9,
        Input::Checkpoint => 10,
        Input::CheckpointEnded => 11,
        Input::SnapshotOffered(_) => 12,
        Input::SnapshotRestored { ok, .. } => 13 + u8::from(*ok),
        Input::SnapshotSent { installed, .. } => 15 + u8::from(installed.is_some()),
        Input::StorageHealth(_) => 17,
        Input::Repaired(_) => 18,
        Input::SnapshotProgress(_) => 19,
        Input::EntryDamaged(_) => 100,
        Input::Message(envelope) => 20 + kind_of_message(&envelope.message),
    }
}

fn kind_of_message(message: &Message) -> u8 {
    match message {
        Message::PreVote(_) => 0,
        Message::PreVoteReply(_) => 1,
        Message::RequestVote(_) => 2,
        Message::RequestVoteReply(_) => 3,
        Message::AppendEntries(body) => 4 + u8::from(body.entries.is_empty()),
        Message::AppendReply(_) => 6,
        Message::Heartbeat(_) => 7,
        Message::HeartbeatReply(_) => 8,
        Message::Commit(_) => 9,
        Message::ReadIndex(_) => 10,
        Message::ReadIndexReply(_) => 11,
        Message::Propose(_) => 12,
        Message::ProposeRefused(_) => 13,
        Message::ChangeMembership(_) => 14,
        Message::ChangeMembershipReply(_) => 15,
        Message::TimeoutNow(_) => 16,
        Message::FetchEntry(_) => 17,
        Message::FetchedEntry(_) => 18,
        Message::EntryAbsent(_) => 19,
    }
}

/// A state without its numbers.
fn rough(status: &Status) -> impl Hash {
    let last = status.last_log.index;
    let needs_snapshot = |f: &_| matches!(f, FollowerState::Snapshot);
    let waits_for_snapshot = status.followers.iter().any(|f| needs_snapshot(&f.state));
    (
        status.role,
        status.leader.is_some(),
        [
            status.is_installing,
            status.damaged_entries > 0,
            status.durable_index < last,
            status.commit_index < last,
            status.last_applied < status.commit_index,
            status.membership.is_joint(),
            status.membership.votes(status.replica),
            status.transfer_to.is_some(),
            status.disk_is_ill,
            waits_for_snapshot,
        ],
        (status.purged.index == last, status.purged.index.get() == 0),
    )
}
