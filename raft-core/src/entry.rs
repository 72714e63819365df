//! Log entries, and the checked run of them that travels and is stored.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};

use crate::membership::Membership;
use crate::types::{LogId, LogIndex, RequestId, Term};

/// What an entry holds.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Payload {
    /// Nothing: the first entry of each leadership, so that it can commit (Raft §8).
    Blank,
    /// A command for the state machine.
    Command {
        /// The proposal that this entry answers, wherever it was made.
        request: RequestId,
        /// The command, opaque to Raft.
        data: Bytes,
    },
    /// A configuration, in force from the moment it is appended (Raft §6).
    Membership(Box<Membership>),
}

/// Kind of a payload, known even when the payload itself is damaged.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum EntryKind {
    /// [`Payload::Blank`].
    Blank,
    /// [`Payload::Command`].
    Command,
    /// [`Payload::Membership`].
    Membership,
}

/// About what an entry takes beside its payload, in bytes.
const FRAME: usize = 32;

/// The size of the entry that a command of `length` bytes becomes.
pub(crate) const fn size_of_command(length: usize) -> usize {
    FRAME + length
}

/// One entry of the log.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its identity.
    pub log_id: LogId,
    /// What it holds.
    pub payload: Payload,
}

impl Entry {
    /// A blank entry.
    pub const fn blank(log_id: LogId) -> Self {
        Self {
            log_id,
            payload: Payload::Blank,
        }
    }

    /// An entry that carries a command.
    pub const fn command(log_id: LogId, request: RequestId, data: Bytes) -> Self {
        Self {
            log_id,
            payload: Payload::Command { request, data },
        }
    }

    /// Its position.
    pub const fn index(&self) -> LogIndex {
        self.log_id.index
    }

    /// Its term.
    pub const fn term(&self) -> Term {
        self.log_id.term
    }

    /// Kind of the payload.
    pub const fn kind(&self) -> EntryKind {
        match self.payload {
            Payload::Blank => EntryKind::Blank,
            Payload::Command { .. } => EntryKind::Command,
            Payload::Membership(_) => EntryKind::Membership,
        }
    }

    /// About how many bytes the entry takes in memory, on the wire and on disk;
    /// what every byte limit counts.
    pub fn size(&self) -> usize {
        const MEMBER: usize = 64;
        FRAME
            + match &self.payload {
                Payload::Blank => 0,
                Payload::Command { data, .. } => data.len(),
                Payload::Membership(m) => m
                    .members()
                    .values()
                    .map(|info| MEMBER + info.address.len() + info.context.len())
                    .sum(),
            }
    }
}

/// What is known of an entry without reading its payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct EntryMeta {
    /// Its identity.
    pub log_id: LogId,
    /// Kind of its payload.
    pub kind: EntryKind,
}

impl From<&Entry> for EntryMeta {
    fn from(entry: &Entry) -> Self {
        Self {
            log_id: entry.log_id,
            kind: entry.kind(),
        }
    }
}

/// A run of entries without gaps, terms never falling. May be empty.
///
/// Cloning and cutting share the entries: what the log keeps, what goes to each
/// follower, to the disk and to the state machine is one allocation.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "Vec<Entry>")]
pub struct LogSlice {
    /// Nothing where there are no entries.
    run: Option<Arc<[Entry]>>,
    start: usize,
    end: usize,
    /// Sum of the sizes, because everybody asks for it.
    size: usize,
}

impl LogSlice {
    /// Checks that `entries` form a run.
    ///
    /// # Errors
    ///
    /// An index that does not follow its predecessor's, index 0, or a falling term.
    pub fn new(entries: Vec<Entry>) -> Result<Self, NotARun> {
        check_run(&entries)?;
        Ok(Self::of(entries.into()))
    }

    /// As [`LogSlice::new`], and leaves an empty vector, to be filled again.
    pub(crate) fn take_from(entries: &mut Vec<Entry>) -> Result<Self, NotARun> {
        check_run(entries)?;
        Ok(Self::of(entries.drain(..).collect()))
    }

    fn of(entries: Arc<[Entry]>) -> Self {
        Self {
            start: 0,
            end: entries.len(),
            size: entries.iter().map(Entry::size).sum(),
            run: (!entries.is_empty()).then_some(entries),
        }
    }

    /// No entries.
    pub const fn empty() -> Self {
        Self {
            run: None,
            start: 0,
            end: 0,
            size: 0,
        }
    }

    /// The entries, first to last.
    pub fn entries(&self) -> &[Entry] {
        match &self.run {
            Some(run) => &run[self.start..self.end],
            None => &[],
        }
    }

    /// The entries from position `from` to before `to`, as far as there are so many.
    #[must_use]
    pub fn cut(&self, from: usize, to: usize) -> Self {
        let to = to.min(self.len());
        if from >= to {
            return Self::empty();
        }
        if to - from == self.len() {
            return self.clone();
        }
        let sizes = self.entries()[from..to].iter().map(Entry::size);
        Self {
            run: self.run.clone(),
            start: self.start + from,
            end: self.start + to,
            size: sizes.sum(),
        }
    }

    /// How many entries there are.
    pub const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Identity of the first entry.
    pub fn first(&self) -> Option<LogId> {
        self.entries().first().map(|entry| entry.log_id)
    }

    /// Identity of the last entry.
    pub fn last(&self) -> Option<LogId> {
        self.entries().last().map(|entry| entry.log_id)
    }

    /// Sum of the entries' sizes in bytes.
    pub const fn size(&self) -> usize {
        self.size
    }

    /// The entries as a plain vector. Copies them, but for their commands.
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries().to_vec()
    }
}

fn check_run(entries: &[Entry]) -> Result<(), NotARun> {
    if let Some(entry) = entries.first().filter(|e| e.index() == LogIndex::ZERO) {
        return Err(NotARun {
            before: LogId::ZERO,
            after: entry.log_id,
        });
    }
    for pair in entries.windows(2) {
        let (before, after) = (pair[0].log_id, pair[1].log_id);
        let follows = before.index.get().checked_add(1) == Some(after.index.get());
        if !follows || after.term < before.term {
            return Err(NotARun { before, after });
        }
    }
    Ok(())
}

impl PartialEq for LogSlice {
    fn eq(&self, other: &Self) -> bool {
        self.entries() == other.entries()
    }
}

impl Eq for LogSlice {}

impl Serialize for LogSlice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.entries())
    }
}

impl TryFrom<Vec<Entry>> for LogSlice {
    type Error = NotARun;

    fn try_from(entries: Vec<Entry>) -> Result<Self, NotARun> {
        Self::new(entries)
    }
}

impl From<LogSlice> for Vec<Entry> {
    fn from(slice: LogSlice) -> Self {
        slice.into_entries()
    }
}

/// Two neighbours that cannot follow each other in a log.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("entry {after} cannot follow {before}")]
pub struct NotARun {
    /// The former.
    pub before: LogId,
    /// The latter.
    pub after: LogId,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blanks(ids: &[(u64, u64)]) -> Vec<Entry> {
        ids.iter()
            .map(|&(term, index)| Entry::blank(LogId::new(term, index)))
            .collect()
    }

    #[test]
    fn a_run_may_raise_its_term() {
        assert_eq!(
            LogSlice::new(blanks(&[(1, 4), (1, 5), (3, 6)]))
                .unwrap()
                .len(),
            3
        );
    }

    #[test]
    fn a_cut_shares_the_entries_and_ends_where_they_end() {
        let run = LogSlice::new(blanks(&[(1, 4), (1, 5), (3, 6)])).unwrap();

        assert_eq!(run.cut(1, 2).entries(), blanks(&[(1, 5)]));
        assert_eq!(run.cut(1, 2).into_entries(), blanks(&[(1, 5)]));
        assert!(std::ptr::eq(&run.cut(1, 2).entries()[0], &run.entries()[1]));
        assert_eq!(run.cut(1, 2).size(), blanks(&[(1, 5)])[0].size());
        assert_eq!(run.cut(1, 9).into_entries(), blanks(&[(1, 5), (3, 6)]));
        assert_eq!(run.cut(1, 3).cut(1, 2).first(), Some(LogId::new(3, 6)));
        assert!(run.cut(3, 9).is_empty());
        assert_eq!(run.cut(2, 1), LogSlice::empty());
    }

    #[test]
    fn a_gap_is_no_run() {
        assert!(LogSlice::new(blanks(&[(1, 4), (1, 6)])).is_err());
    }

    #[test]
    fn a_falling_term_is_no_run() {
        assert!(LogSlice::new(blanks(&[(2, 4), (1, 5)])).is_err());
    }

    #[test]
    fn no_entry_stands_at_zero() {
        assert!(LogSlice::new(blanks(&[(1, 0), (1, 1)])).is_err());
    }
}
