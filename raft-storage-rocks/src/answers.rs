//! The answers of one read, under its byte limit.

use raft_core::{LogBounds, LogIndex, StoredEntry};

/// What an answer without an entry counts toward the byte limit of a read.
const EMPTY_ANSWER: usize = size_of::<StoredEntry>();

/// Answers for indices that follow each other. Duty 6: they end once they exceed
/// the limit, and there is at least one.
#[derive(Debug)]
pub(crate) struct Answers {
    max_bytes: usize,
    bytes: usize,
    found: Vec<StoredEntry>,
}

impl Answers {
    pub(crate) const fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            bytes: 0,
            found: Vec::new(),
        }
    }

    pub(crate) const fn has_room(&self) -> bool {
        self.found.is_empty() || self.bytes <= self.max_bytes
    }

    /// How many of answers of these sizes there is room for.
    pub(crate) fn room_for(&self, sizes: impl Iterator<Item = usize>) -> usize {
        let (mut bytes, mut count) = (self.bytes, 0);
        for size in sizes {
            if bytes > self.max_bytes && self.found.len() + count > 0 {
                break;
            }
            bytes = bytes.saturating_add(size);
            count += 1;
        }
        count
    }

    pub(crate) fn put(&mut self, answer: StoredEntry) {
        let size = match &answer {
            StoredEntry::Entry(entry) => entry.size(),
            _ => EMPTY_ANSWER,
        };
        self.bytes = self.bytes.saturating_add(size);
        self.found.push(answer);
    }

    /// Answers for `first` to `last` that lie outside of the log, up to where it
    /// begins. Nothing follows the end of it; one answer says so.
    pub(crate) fn put_absent(&mut self, bounds: LogBounds, first: LogIndex, last: LogIndex) {
        let mut index = first;
        while index <= last && self.has_room() && !spans(bounds, index) {
            self.put(StoredEntry::Absent { index });
            if index > bounds.last.index {
                break;
            }
            index = index.next();
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.found.len() as u64
    }

    pub(crate) fn into_vec(self) -> Vec<StoredEntry> {
        self.found
    }
}

/// Whether an entry stands at `index`.
pub(crate) fn spans(bounds: LogBounds, index: LogIndex) -> bool {
    bounds.purged.index < index && index <= bounds.last.index
}
