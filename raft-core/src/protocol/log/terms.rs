//! The term of any index, kept by runs: a log of millions of entries has few terms.

use crate::types::{LogId, LogIndex, Term};

/// Terms of the positions from `start` (the purged one) to `last`.
#[derive(Clone, Debug)]
pub(super) struct TermRuns {
    /// First position of each run; the first run starts at the purged position.
    runs: Vec<LogId>,
    /// The first of them and the last: what is mostly asked for.
    start: LogId,
    latest: LogId,
    last: LogIndex,
}

impl TermRuns {
    pub(super) fn starting_after(purged: LogId) -> Self {
        Self {
            runs: vec![purged],
            start: purged,
            latest: purged,
            last: purged.index,
        }
    }

    pub(super) const fn start(&self) -> LogId {
        self.start
    }

    pub(super) const fn last(&self) -> LogId {
        LogId {
            term: self.latest.term,
            index: self.last,
        }
    }

    /// The runs changed: notes the first and the last of them.
    fn note_ends(&mut self) {
        let ends = self.runs.first().zip(self.runs.last());
        let (start, latest) = ends.expect("the run of the purged position is never removed");
        (self.start, self.latest) = (*start, *latest);
    }

    /// Adds the position after the last one; the caller has checked that it follows.
    pub(super) fn push(&mut self, id: LogId) {
        if id.term > self.latest.term {
            self.runs.push(id);
            self.latest = id;
        }
        self.last = id.index;
    }

    pub(super) fn truncate_from(&mut self, index: LogIndex) {
        assert!(
            index > self.start().index,
            "cannot cut at {index}, below {}",
            self.start()
        );
        self.runs.retain(|run| run.index < index);
        self.note_ends();
        self.last = self.last.min(
            index
                .previous()
                .expect("index is above the purged position"),
        );
    }

    /// Forgets the positions below `index`, which becomes the start.
    pub(super) fn purge_to(&mut self, index: LogIndex) {
        let Some(term) = self.term_at(index) else {
            return;
        };
        let following = self.runs.partition_point(|run| run.index <= index);
        self.runs.drain(..following - 1);
        self.runs[0] = LogId { term, index };
        self.note_ends();
    }

    pub(super) fn term_at(&self, index: LogIndex) -> Option<Term> {
        if index < self.start.index || index > self.last {
            return None;
        }
        if index >= self.latest.index {
            return Some(self.latest.term);
        }
        let following = self.runs.partition_point(|run| run.index <= index);
        Some(self.runs[following - 1].term)
    }

    /// See `RaftLog::highest_at_most`; the purged position when nothing above it qualifies.
    pub(super) fn highest_at_most(&self, index: LogIndex, term: Term) -> LogId {
        let mut end = index.min(self.last);
        for run in self.runs.iter().rev() {
            if run.index <= end {
                if run.term <= term {
                    return LogId {
                        term: run.term,
                        index: end,
                    };
                }
                end = run.index.previous().unwrap_or_default();
            }
        }
        self.start()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(terms: &[u64]) -> TermRuns {
        let mut runs = TermRuns::starting_after(LogId::ZERO);
        for (i, &term) in (1..).zip(terms) {
            runs.push(LogId::new(term, i));
        }
        runs
    }

    #[test]
    fn every_position_knows_its_term_and_nothing_beyond_does() {
        let runs = runs(&[1, 1, 4, 4, 6]);
        let found: Vec<_> = (0..7)
            .map(|i| runs.term_at(LogIndex::new(i)).map(Term::get))
            .collect();
        assert_eq!(
            found,
            [Some(0), Some(1), Some(1), Some(4), Some(4), Some(6), None]
        );
    }

    #[test]
    fn a_cut_inside_a_run_keeps_its_beginning() {
        let mut runs = runs(&[1, 1, 4, 4, 6]);
        runs.truncate_from(LogIndex::new(4));
        assert_eq!(runs.last(), LogId::new(4, 3));
        assert_eq!(runs.term_at(LogIndex::new(4)), None);
    }

    #[test]
    fn purging_moves_the_start_and_keeps_what_follows() {
        let mut runs = runs(&[1, 1, 4, 4, 6]);
        runs.purge_to(LogIndex::new(3));
        assert_eq!(runs.start(), LogId::new(4, 3));
        assert_eq!(runs.term_at(LogIndex::new(2)), None);
        assert_eq!(runs.term_at(LogIndex::new(4)), Some(Term::new(4)));
        assert_eq!(runs.last(), LogId::new(6, 5));
    }

    #[test]
    fn backing_up_skips_whole_terms() {
        let runs = runs(&[1, 1, 4, 4, 6]);
        assert_eq!(
            runs.highest_at_most(LogIndex::new(9), Term::new(5)),
            LogId::new(4, 4)
        );
        assert_eq!(
            runs.highest_at_most(LogIndex::new(4), Term::new(3)),
            LogId::new(1, 2)
        );
        assert_eq!(
            runs.highest_at_most(LogIndex::new(4), Term::new(0)),
            LogId::ZERO
        );
    }
}
