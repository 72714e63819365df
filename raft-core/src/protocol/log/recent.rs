//! The entries kept in memory: the tail of the log.
//!
//! Kept in the runs in which they came, which are shared with whoever gets them:
//! the disk, the followers, the state machine.

use std::collections::VecDeque;

use crate::entry::{Entry, LogSlice};
use crate::types::LogIndex;

/// A run with so many entries is handed out by itself, because copying them with
/// those of the next run costs more than handing out twice.
const SENT_ALONE: usize = 16;

/// A contiguous tail of the log, bounded in bytes but for what must stay.
#[derive(Clone, Debug)]
pub(super) struct Recent {
    runs: VecDeque<Run>,
    /// The end of the tail, while it grows entry by entry.
    growing: Vec<Entry>,
    /// In the runs; what grows is not counted yet.
    bytes: usize,
    target_bytes: usize,
}

#[derive(Clone, Debug)]
struct Run {
    entries: LogSlice,
    first: LogIndex,
    last: LogIndex,
}

impl Run {
    /// Nothing for a run without entries.
    fn of(entries: LogSlice) -> Option<Self> {
        Some(Self {
            first: entries.first()?.index,
            last: entries.last()?.index,
            entries,
        })
    }

    fn cut(&self, first: LogIndex, last: LogIndex) -> LogSlice {
        let position = |index: LogIndex| {
            usize::try_from(index.distance_from(self.first)).unwrap_or(usize::MAX)
        };
        self.entries.cut(position(first), position(last.next()))
    }
}

impl Recent {
    pub(super) const fn new(target_bytes: usize) -> Self {
        Self {
            runs: VecDeque::new(),
            growing: Vec::new(),
            bytes: 0,
            target_bytes,
        }
    }

    /// Adds the entry after the last one of the log.
    pub(super) fn push(&mut self, entry: Entry) {
        self.growing.push(entry);
    }

    /// Adds the entries after the last one of the log.
    pub(super) fn push_run(&mut self, entries: LogSlice) {
        self.seal();
        self.push_sealed(entries);
    }

    fn push_sealed(&mut self, entries: LogSlice) {
        if let Some(run) = Run::of(entries) {
            self.bytes += run.entries.size();
            self.runs.push_back(run);
        }
    }

    /// Makes what grew a run, to be shared.
    fn seal(&mut self) {
        if !self.growing.is_empty() {
            let grown = LogSlice::take_from(&mut self.growing);
            self.push_sealed(grown.expect("the tail of a log is a run"));
        }
    }

    pub(super) fn truncate_from(&mut self, index: LogIndex) {
        self.seal();
        while self.runs.back().is_some_and(|run| run.last >= index) {
            let run = self.runs.pop_back().expect("back was just seen");
            self.bytes -= run.entries.size();
            if let Some(before) = index.previous().filter(|_| run.first < index) {
                return self.push_run(run.cut(run.first, before));
            }
        }
    }

    /// Drops everything up to `index`; a run that goes on beyond it stays whole.
    pub(super) fn drop_up_to(&mut self, index: LogIndex) {
        self.seal();
        while self.runs.front().is_some_and(|run| run.last <= index) {
            self.drop_front();
        }
    }

    /// Drops the oldest runs that lie at or below `index`, while there are too many bytes.
    pub(super) fn evict_up_to(&mut self, index: LogIndex) {
        while self.bytes > self.target_bytes
            && self.runs.front().is_some_and(|run| run.last <= index)
        {
            self.drop_front();
        }
    }

    fn drop_front(&mut self) {
        if let Some(run) = self.runs.pop_front() {
            self.bytes -= run.entries.size();
        }
    }

    /// The index before the first entry kept here.
    pub(super) fn before_first(&self) -> Option<LogIndex> {
        let first = self.runs.front().map(|run| run.first);
        let first = first.or_else(|| self.growing.first().map(Entry::index));
        first.and_then(LogIndex::previous)
    }

    /// The entries `first..=last` up to the limits, at least one; nothing if
    /// `first` is not here. Shares them where one run holds them all, and ends
    /// with a run that has many: small ones are gathered, large ones go alone.
    pub(super) fn slice(
        &mut self,
        first: LogIndex,
        last: LogIndex,
        max_entries: usize,
        max_bytes: usize,
    ) -> Option<LogSlice> {
        self.seal();
        if let Some(whole) = self.whole_run(first, last, max_entries, max_bytes) {
            return Some(whole);
        }
        let start = self.runs.front()?.first;
        let end = self.runs.back()?.last;
        if first < start || first > last || first > end {
            return None;
        }
        let max_entries = max_entries.max(1);
        let position = self.position_of(first);
        let run = &self.runs[position];
        let head = run.cut(first, last.min(run.last)).cut(0, max_entries);
        let fits = match run.entries.size() <= max_bytes {
            true => head.len(),
            false => fitting(head.entries(), max_bytes),
        };
        let is_all = run.last >= last.min(end) || head.len() == max_entries || fits < head.len();
        if is_all || fits >= SENT_ALONE {
            return Some(head.cut(0, fits));
        }
        let mut bytes = 0;
        let gathered: Vec<Entry> = self
            .runs
            .range(position..)
            .flat_map(|run| run.entries.entries())
            .skip_while(|entry| entry.index() < first)
            .take_while(|entry| entry.index() <= last)
            .take(max_entries)
            .enumerate()
            .take_while(|(position, entry)| {
                bytes += entry.size();
                *position == 0 || bytes <= max_bytes
            })
            .map(|(_, entry)| entry.clone())
            .collect();
        Some(LogSlice::new(gathered).expect("the tail of a log is a run"))
    }

    /// The range as one of the last runs holds it from end to end, which is the
    /// rule while everybody keeps up.
    fn whole_run(
        &self,
        first: LogIndex,
        last: LogIndex,
        max_entries: usize,
        max_bytes: usize,
    ) -> Option<LogSlice> {
        let is_wanted = |run: &&Run| run.first == first && run.last == last;
        let mut run = self.runs.back().filter(is_wanted);
        if run.is_none() {
            let before = self.runs.len().checked_sub(2)?;
            run = self.runs.get(before).filter(is_wanted);
        }
        let run = run?;
        let fits = run.entries.len() <= max_entries && run.entries.size() <= max_bytes;
        fits.then(|| run.entries.clone())
    }

    /// The run that holds `index`, which is here. Mostly it is one of the last.
    fn position_of(&self, index: LogIndex) -> usize {
        const LAST_FEW: usize = 4;
        let from_back = self.runs.iter().rev().take(LAST_FEW);
        match from_back
            .map(|run| run.first)
            .position(|first| first <= index)
        {
            Some(back) => self.runs.len() - 1 - back,
            None => self.runs.partition_point(|run| run.last < index),
        }
    }
}

/// How many of `entries` fit into `max_bytes`; at least one.
fn fitting(entries: &[Entry], max_bytes: usize) -> usize {
    let mut bytes = 0;
    let fits = entries.iter().take_while(|entry| {
        bytes += entry.size();
        bytes <= max_bytes
    });
    fits.count().max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::LogId;

    const ENTRY_BYTES: usize = 32;

    fn blanks(first: u64, count: u64) -> Vec<Entry> {
        let ids = (first..first + count).map(|index| LogId::new(1, index));
        ids.map(Entry::blank).collect()
    }

    #[test]
    fn what_one_run_holds_is_shared() {
        let mut recent = Recent::new(usize::MAX);
        let run = LogSlice::new(blanks(1, 4)).unwrap();
        recent.push_run(run.clone());

        let found = recent.slice(LogIndex::new(2), LogIndex::new(4), 2, usize::MAX);

        let found = found.unwrap();
        assert_eq!(found.entries(), &run.entries()[1..3]);
        assert!(std::ptr::eq(&found.entries()[0], &run.entries()[1]));
    }

    #[test]
    fn small_runs_are_gathered_and_large_ones_go_alone() {
        let mut recent = Recent::new(usize::MAX);
        let large = SENT_ALONE as u64;
        let sizes = [2, 2, large];
        let mut first = 1;
        for size in sizes {
            recent.push_run(LogSlice::new(blanks(first, size)).unwrap());
            first += size;
        }
        recent.push(blanks(first, 1).remove(0));
        let mut found = |at| {
            let last = LogIndex::new(first);
            let found = recent.slice(LogIndex::new(at), last, usize::MAX, usize::MAX);
            found.unwrap().len() as u64
        };

        assert_eq!(found(1), first);
        assert_eq!(found(5), large);
        assert_eq!(found(6), large);
        assert_eq!(found(5 + large), 1);
    }

    proptest! {
        /// Against a plain list of entries.
        #[test]
        fn a_tail_in_runs_is_a_tail(
            steps in prop::collection::vec((0_u8..5, 0_u64..8), 1..40),
            first in 1_u64..40, count in 0_u64..20,
            max_entries in 0_usize..12, max_bytes in 0_usize..12 * ENTRY_BYTES,
        ) {
            let mut recent = Recent::new(0);
            let (mut naive, mut end) = (Vec::<Entry>::new(), 0);
            for (kind, number) in steps {
                match kind {
                    0 | 1 => {
                        for entry in blanks(end + 1, number) {
                            recent.push(entry.clone());
                            naive.push(entry);
                        }
                        end += number;
                    }
                    2 => {
                        let run = blanks(end + 1, number);
                        naive.extend(run.clone());
                        recent.push_run(LogSlice::new(run).unwrap());
                        end += number;
                    }
                    3 => {
                        end = end.saturating_sub(number);
                        recent.truncate_from(LogIndex::new(end + 1));
                        naive.retain(|entry| entry.index().get() <= end);
                    }
                    _ => {
                        let up_to = end.saturating_sub(number);
                        recent.drop_up_to(LogIndex::new(up_to));
                        // Runs stay whole, so some of what was to go may be there still.
                        let before = recent.before_first().map_or(end, LogIndex::get);
                        let was = naive.first().map_or(end, |entry| entry.index().get() - 1);
                        prop_assert!(was <= before && before <= up_to.max(was));
                        naive.retain(|entry| entry.index().get() > before);
                    }
                }
            }
            let last = first + count;
            let mut bytes = 0;
            let expected: Vec<Entry> = naive
                .iter()
                .filter(|e| (first..=last).contains(&e.index().get()))
                .take(max_entries.max(1))
                .enumerate()
                .take_while(|(position, entry)| {
                    bytes += entry.size();
                    *position == 0 || bytes <= max_bytes
                })
                .map(|(_, entry)| entry.clone())
                .collect();
            let starts_here = expected.first().is_some_and(|e| e.index().get() == first);

            let found = recent.slice(LogIndex::new(first), LogIndex::new(last), max_entries, max_bytes);

            prop_assert_eq!(found.map(LogSlice::into_entries), starts_here.then_some(expected));
        }
    }
}
