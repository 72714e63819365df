//! What a run found and what it went through.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::recording::Recording;
use crate::message::Message;
use crate::testing::spec::NAMES;

/// A property that does not hold, and how that shows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// The property, as the checkers name it.
    pub property: &'static str,
    /// What was seen, in one line.
    pub reason: String,
}

impl Violation {
    pub(crate) fn new(property: &'static str, reason: impl Into<String>) -> Self {
        Self {
            property,
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property, self.reason)
    }
}

/// Situations that a long run must meet. A quiet simulator and a blind one look
/// alike; these counts tell them apart.
pub const MARKS: &[&str] = &[
    "a log was truncated",
    "a leader committed before its own disk",
    "a forwarded proposal was acknowledged",
    "a read was served on a follower",
    "a proposal was superseded",
    "a proposal ended unknown",
    "a proposal was refused for overload",
    "a proposal was refused by a full disk",
    "a read was refused or not confirmed",
    "two candidates stood in one term",
    "an election was lost",
    "a leader was deposed by a higher term",
    "a leader lost its quorum",
    "a pre-candidate went back to follow",
    "entries were read back from disk",
    "a crash lost a write",
    "a crash kept a write that was not reported",
    "a restart applied again",
    "an old message was replayed",
    "several inputs were taken in together",
    "a leader crashed",
    "all replicas were down at once",
    "an append was rejected",
    "several writes became durable at once",
    "a log was purged",
    "a snapshot was sent",
    "a snapshot was restored",
    "a snapshot was refused",
    "a restart finished an installation",
    "a local read was served",
    "a lease read was served",
    "the membership was changed",
    "a membership change was refused",
    "a membership change was superseded",
    "a membership change ended unknown",
    "a promotion was refused for lag",
    "leadership was transferred",
    "a transfer failed",
    "a transfer was aborted",
    "a snapshot was stopped",
    "a snapshot took longer than its limit on silence",
    "a snapshot was read no further",
    "a broken stream went on",
    "entries were applied during a checkpoint",
    "a leader removed itself",
    "another leader left the joint membership",
    "a damaged entry was found",
    "a damaged entry was mended",
    "damage that was never committed was cut",
    "damage was found to be committed",
    "the disk of a leader fell ill",
    "the disk of a follower fell ill",
    "a removed node was wiped",
    "a node lost its vote",
    "a leader heard a later life",
];

/// Situations that need so many things to meet that only very long runs must meet them.
pub const RARE_MARKS: &[&str] = &[
    "a log kept its suffix after a snapshot",
    "a node that lost its vote votes again",
];

/// From this many runs on, [`RARE_MARKS`] are missed if they were not met.
const MANY_RUNS: u64 = 10_000;

/// What one run, or many together, went through.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Runs counted together.
    pub runs: u64,
    /// Digest of every event of the run; of all runs by exclusive or, so that their order does not matter.
    pub trace_hash: u64,
    /// Events handled.
    pub steps: u64,
    /// Simulated time.
    pub simulated: Duration,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Elections won.
    pub leaders: u64,
    /// Entries committed.
    pub committed: u64,
    /// Writes acknowledged.
    pub acknowledged: u64,
    /// Reads served.
    pub reads: u64,
    /// The longest time from healing to a whole group.
    pub slowest_recovery: Duration,
    /// Messages sent, by name, whether or not they arrived.
    pub messages: BTreeMap<&'static str, u64>,
    /// Bytes of entries and commands in them.
    pub payload_bytes: u64,
    /// How often each action of the specification explained something.
    pub actions: BTreeMap<&'static str, u64>,
    /// How often each of [`MARKS`] was met.
    pub marks: BTreeMap<&'static str, u64>,
    /// What a user's state machine went through, if there was one.
    pub machine: BTreeMap<&'static str, u64>,
    /// The first property violated, if any.
    pub violation: Option<Violation>,
    /// One line per step, if the plan asks for it.
    pub trace: Vec<String>,
    /// One line of JSON for each action of the specification, if the plan asks for it.
    pub action_lines: Vec<String>,
    /// What a page shows, if the plan asks for it.
    pub(crate) recording: Option<Box<Recording>>,
}

impl Report {
    /// Counts a situation.
    pub(crate) fn mark(&mut self, name: &'static str) {
        debug_assert!(
            MARKS.contains(&name) || RARE_MARKS.contains(&name),
            "{name:?} is not among the marks"
        );
        *self.marks.entry(name).or_default() += 1;
    }

    /// Counts a fault.
    pub(crate) fn fault(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
    }

    /// Counts a message.
    pub(crate) fn message(&mut self, message: &Message) {
        *self.messages.entry(message.name()).or_default() += 1;
        self.payload_bytes += message.payload_bytes() as u64;
    }

    /// Adds another run's counts to these.
    pub fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.trace_hash ^= other.trace_hash;
        self.steps += other.steps;
        self.simulated += other.simulated;
        self.leaders += other.leaders;
        self.committed += other.committed;
        self.acknowledged += other.acknowledged;
        self.reads += other.reads;
        self.slowest_recovery = self.slowest_recovery.max(other.slowest_recovery);
        self.payload_bytes += other.payload_bytes;
        for (&name, count) in &other.messages {
            *self.messages.entry(name).or_default() += count;
        }
        for (&kind, count) in &other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        for (&name, count) in &other.actions {
            *self.actions.entry(name).or_default() += count;
        }
        for (&what, count) in &other.machine {
            *self.machine.entry(what).or_default() += count;
        }
        for (&name, count) in &other.marks {
            *self.marks.entry(name).or_default() += count;
        }
    }

    /// The situations that were never met, and the actions that never happened.
    pub fn marks_missed(&self) -> Vec<&'static str> {
        let is_met = |name: &str| self.marks.contains_key(name) || self.actions.contains_key(name);
        let missed = |name: &&&str| !is_met(name);
        let rare = match self.runs >= MANY_RUNS {
            true => RARE_MARKS,
            false => &[],
        };
        let all = MARKS.iter().chain(rare).chain(&NAMES);
        all.filter(missed).copied().collect()
    }
}
