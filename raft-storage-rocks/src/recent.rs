//! The end of a group's log in memory: what was appended last, shared with whoever
//! appended it.
//!
//! It holds what is durable and nothing else, without a gap, up to the end of the
//! log or not at all. After an opening there is nothing in it.

use std::collections::VecDeque;

use raft_core::{LogIndex, LogSlice};

/// The entries appended last, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    appends: VecDeque<LogSlice>,
    bytes: usize,
}

impl Recent {
    /// Takes in what follows, and lets go of the oldest until `limit` bytes are left.
    pub(crate) fn push(&mut self, entries: LogSlice, limit: usize) {
        if entries.is_empty() {
            return;
        }
        self.bytes += entries.size();
        self.appends.push_back(entries);
        while self.bytes > limit {
            self.forget_oldest();
        }
    }

    /// Forgets the entries from `from` on.
    pub(crate) fn cut(&mut self, from: LogIndex) {
        while let Some(entries) = self.appends.pop_back() {
            self.bytes -= entries.size();
            let Some(first) = first_of(&entries).filter(|first| *first < from) else {
                continue;
            };
            let kept = entries.cut(0, places_between(first, from));
            self.bytes += kept.size();
            self.appends.push_back(kept);
            break;
        }
    }

    /// Forgets entries up to `up_to`, as far as no later one hangs on them.
    pub(crate) fn purge(&mut self, up_to: LogIndex) {
        let is_purged = |entries: &LogSlice| last_of(entries).is_some_and(|last| last <= up_to);
        while self.appends.front().is_some_and(is_purged) {
            self.forget_oldest();
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The entries from `first` to at most `last`, and so many that they exceed
    /// `max_bytes` if there are; nothing if the one at `first` is not here.
    pub(crate) fn slices(
        &self,
        first: LogIndex,
        last: LogIndex,
        max_bytes: usize,
    ) -> Option<Vec<LogSlice>> {
        let oldest = self.appends.front().and_then(first_of)?;
        if first < oldest {
            return None;
        }
        let ends_before = |entries: &LogSlice| last_of(entries).is_some_and(|last| last < first);
        let from = self.appends.partition_point(ends_before);
        let (mut slices, mut bytes) = (Vec::new(), 0);
        for entries in self.appends.range(from..) {
            let begin = first_of(entries).filter(|begin| *begin <= last);
            let Some(begin) = begin.filter(|_| slices.is_empty() || bytes <= max_bytes) else {
                break;
            };
            let to = places_between(begin, last).saturating_add(1);
            let slice = entries.cut(places_between(begin, first), to);
            bytes += slice.size();
            slices.push(slice);
        }
        Some(slices).filter(|slices| !slices.is_empty())
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.appends.pop_front() {
            self.bytes -= oldest.size();
        }
    }
}

fn first_of(entries: &LogSlice) -> Option<LogIndex> {
    entries.first().map(|id| id.index)
}

fn last_of(entries: &LogSlice) -> Option<LogIndex> {
    entries.last().map(|id| id.index)
}

/// How many positions lie from `first` to before `end`.
fn places_between(first: LogIndex, end: LogIndex) -> usize {
    usize::try_from(end.distance_from(first)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use raft_core::{Entry, LogId};

    use super::*;

    fn blanks(term: u64, range: std::ops::RangeInclusive<u64>) -> LogSlice {
        LogSlice::new(
            range
                .map(|index| Entry::blank(LogId::new(term, index)))
                .collect(),
        )
        .unwrap()
    }

    fn ids(recent: &Recent, first: u64, last: u64) -> Option<Vec<LogId>> {
        let slices = recent.slices(LogIndex::new(first), LogIndex::new(last), usize::MAX)?;
        let entries = slices.iter().flat_map(|slice| slice.entries());
        Some(entries.map(|entry| entry.log_id).collect())
    }

    fn expected(pairs: &[(u64, u64)]) -> Option<Vec<LogId>> {
        let ids = pairs.iter().map(|&(term, index)| LogId::new(term, index));
        Some(ids.collect())
    }

    #[test]
    fn a_range_over_several_appends_is_here_whole() {
        let mut recent = Recent::default();
        recent.push(blanks(1, 4..=6), usize::MAX);
        recent.push(blanks(1, 7..=7), usize::MAX);
        recent.push(blanks(2, 8..=9), usize::MAX);

        assert_eq!(ids(&recent, 6, 8), expected(&[(1, 6), (1, 7), (2, 8)]));
        assert_eq!(ids(&recent, 9, 99), expected(&[(2, 9)]));
        assert_eq!(ids(&recent, 3, 8), None);
        assert_eq!(ids(&recent, 10, 12), None);
    }

    #[test]
    fn a_cut_forgets_from_there_on_and_what_follows_takes_its_place() {
        let mut recent = Recent::default();
        recent.push(blanks(1, 4..=6), usize::MAX);
        recent.push(blanks(1, 7..=9), usize::MAX);

        recent.cut(LogIndex::new(6));
        recent.push(blanks(2, 6..=6), usize::MAX);

        assert_eq!(ids(&recent, 4, 9), expected(&[(1, 4), (1, 5), (2, 6)]));
        recent.cut(LogIndex::new(2));
        assert_eq!(ids(&recent, 4, 9), None);
        assert_eq!(recent.bytes, 0);
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_bytes_or_they_are_purged() {
        let one = blanks(1, 4..=4).size();
        let mut recent = Recent::default();
        for index in 4..=8 {
            recent.push(blanks(1, index..=index), 3 * one);
        }
        assert_eq!(ids(&recent, 5, 8), None);
        assert_eq!(ids(&recent, 6, 6), expected(&[(1, 6)]));

        recent.purge(LogIndex::new(7));

        assert_eq!(ids(&recent, 7, 8), None);
        assert_eq!(ids(&recent, 8, 8), expected(&[(1, 8)]));
    }

    #[test]
    fn an_append_larger_than_all_there_is_room_for_leaves_nothing() {
        let mut recent = Recent::default();
        recent.push(blanks(1, 4..=4), 100);
        recent.push(blanks(1, 5..=9), 100);
        assert_eq!(ids(&recent, 4, 4), None);
        assert_eq!(ids(&recent, 9, 9), None);
    }

    #[test]
    fn a_byte_limit_ends_the_answer_behind_the_append_that_exceeds_it() {
        let mut recent = Recent::default();
        for index in 4..=8 {
            recent.push(blanks(1, index..=index), usize::MAX);
        }
        let slices = recent
            .slices(LogIndex::new(4), LogIndex::new(8), 0)
            .unwrap();
        assert_eq!(slices.len(), 1);
    }
}
