//! The entries kept in memory: the tail of the log.

use std::collections::VecDeque;

use crate::entry::{Entry, LogSlice};
use crate::types::LogIndex;

/// A contiguous tail of the log, bounded in bytes but for what must stay.
#[derive(Debug)]
pub(super) struct Recent {
    entries: VecDeque<Entry>,
    bytes: usize,
    target_bytes: usize,
}

impl Recent {
    pub(super) const fn new(target_bytes: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            target_bytes,
        }
    }

    /// Adds the entry after the last one of the log.
    pub(super) fn push(&mut self, entry: Entry) {
        self.bytes += entry.size();
        self.entries.push_back(entry);
    }

    pub(super) fn truncate_from(&mut self, index: LogIndex) {
        while self
            .entries
            .back()
            .is_some_and(|entry| entry.index() >= index)
        {
            let removed = self.entries.pop_back().expect("back was just seen");
            self.bytes -= removed.size();
        }
    }

    /// Drops everything up to `index`.
    pub(super) fn drop_up_to(&mut self, index: LogIndex) {
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.index() <= index)
        {
            let removed = self.entries.pop_front().expect("front was just seen");
            self.bytes -= removed.size();
        }
    }

    /// Drops the oldest entries that lie at or below `index`, while there are too many bytes.
    pub(super) fn evict_up_to(&mut self, index: LogIndex) {
        while self.bytes > self.target_bytes
            && self
                .entries
                .front()
                .is_some_and(|entry| entry.index() <= index)
        {
            let removed = self.entries.pop_front().expect("front was just seen");
            self.bytes -= removed.size();
        }
    }

    /// The index before the first entry kept here.
    pub(super) fn before_first(&self) -> Option<LogIndex> {
        self.entries
            .front()
            .and_then(|entry| entry.index().previous())
    }

    /// The entries `first..=last` up to the limits, at least one; nothing if
    /// `first` is not here.
    pub(super) fn slice(
        &self,
        first: LogIndex,
        last: LogIndex,
        max_entries: usize,
        max_bytes: usize,
    ) -> Option<LogSlice> {
        let start = self.entries.front()?.index();
        if first < start || first > last {
            return None;
        }
        let skip = usize::try_from(first.distance_from(start)).ok()?;
        let mut bytes = 0;
        let taken: Vec<Entry> = self
            .entries
            .range(skip.min(self.entries.len())..)
            .take_while(|entry| entry.index() <= last)
            .take(max_entries.max(1))
            .enumerate()
            .take_while(|(position, entry)| {
                bytes += entry.size();
                *position == 0 || bytes <= max_bytes
            })
            .map(|(_, entry)| entry.clone())
            .collect();
        if taken.is_empty() {
            return None;
        }
        Some(LogSlice::new(taken).expect("the tail of a log is a run"))
    }
}
