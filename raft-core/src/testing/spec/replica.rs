//! One replica: what it acts by, what its disk holds, what is on its way there.

use std::collections::{BTreeSet, VecDeque};

use super::log::{Item, Log};
use crate::time::Timestamp;
use crate::types::{LogId, LogIndex, ReplicaId, Term};

/// What a replica is at the moment.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) enum Role {
    /// It does not run.
    #[default]
    Down,
    Follower,
    PreCandidate,
    Candidate,
    Leader,
}

/// Term and vote, which are saved as one.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Ballot {
    pub(crate) term: Term,
    pub(crate) vote: Option<ReplicaId>,
}

/// A replica through all its starts.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Replica {
    pub(crate) role: Role,
    pub(crate) ballot: Ballot,
    pub(crate) log: Log,
    pub(crate) commit: LogIndex,
    /// The state machine has applied up to here.
    pub(crate) applied: LogIndex,
    /// When a leader was last heard; a start counts as hearing one.
    pub(crate) heard_at: Timestamp,
    pub(crate) disk: Disk,
    /// Asked of the disk and not done.
    pub(crate) writes: VecDeque<Write>,
    /// What the disk will hold when all is done.
    pub(crate) asked: Asked,
    /// Its node goes on as a later one.
    pub(crate) has_ended: bool,
}

/// What a crash leaves.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Disk {
    pub(crate) ballot: Ballot,
    pub(crate) log: Log,
    /// The state machine's durable state.
    pub(crate) state: LogIndex,
    /// Every entry that ever was durable here.
    pub(crate) ever: BTreeSet<LogId>,
}

/// What was asked of a disk comes to this.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Asked {
    pub(crate) ballot: Ballot,
    pub(crate) last: LogId,
}

/// Something on its way to a disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Write {
    /// Names it.
    pub(crate) token: u64,
    pub(crate) ballot: Option<Ballot>,
    /// The log starts anew from this one, which the state machine holds.
    pub(crate) reset: Option<Log>,
    pub(crate) cut: Option<LogIndex>,
    pub(crate) items: Vec<Item>,
}

impl std::hash::Hash for Write {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.token, self.ballot, &self.reset, self.cut).hash(state);
        for item in &self.items {
            (item.term, item.content).hash(state);
        }
    }
}

impl Disk {
    /// Term and vote of `write` are durable.
    pub(crate) fn save_ballot(&mut self, write: &Write) {
        self.ballot = write.ballot.unwrap_or(self.ballot);
    }

    /// What `write` does to the log is durable.
    pub(crate) fn save_log(&mut self, write: &Write) {
        if let Some(log) = &write.reset {
            self.log = log.clone();
        }
        if let Some(cut) = write.cut {
            self.log.cut(cut);
        }
        for item in &write.items {
            self.log.push(item);
            self.ever.insert(self.log.last());
        }
    }
}

impl Replica {
    /// Its term.
    pub(crate) const fn term(&self) -> Term {
        self.ballot.term
    }
}
