//! A long random history of one log, and a list that says what the log must hold.

use crate::log_store::LogBounds;
use crate::types::{LogId, LogIndex};

/// A log as the contract has it, with nothing but identities.
#[derive(Debug, Default)]
pub(super) struct ModelLog {
    purged: LogId,
    entries: Vec<LogId>,
}

impl ModelLog {
    pub(super) fn bounds(&self) -> LogBounds {
        LogBounds {
            purged: self.purged,
            last: self.entries.last().copied().unwrap_or(self.purged),
        }
    }

    pub(super) fn ids(&self) -> &[LogId] {
        &self.entries
    }

    /// Takes one step's effect on.
    pub(super) fn take(&mut self, step: &Step) {
        match step {
            Step::Append { cut, first, terms } => {
                if let Some(cut) = cut {
                    self.entries.retain(|id| id.index.get() < *cut);
                }
                let run = (*first..).zip(terms);
                self.entries
                    .extend(run.map(|(index, &term)| LogId::new(term, index)));
            }
            Step::Purge(up_to) => {
                self.entries.retain(|id| id.index > up_to.index);
                self.purged = *up_to;
            }
            Step::Reset(snapshot) => {
                self.entries.clear();
                self.purged = *snapshot;
            }
            Step::Crash => {}
        }
    }
}

/// One thing that happens to a log.
#[derive(Debug)]
pub(super) enum Step {
    Append {
        cut: Option<u64>,
        first: u64,
        terms: Vec<u64>,
    },
    Purge(LogId),
    Reset(LogId),
    Crash,
}

/// Numbers that look random and are the same in every run.
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        // A step of a 64-bit linear congruential generator; its high bits are good enough.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn entry_of(&mut self, log: &ModelLog) -> Option<LogId> {
        let count = log.entries.len() as u64;
        (count > 0).then(|| log.entries[usize::try_from(self.below(count)).unwrap_or(0)])
    }

    /// A step that the contract allows after `log`.
    pub(super) fn step(&mut self, log: &ModelLog) -> Step {
        let last = log.bounds().last;
        match (self.below(10), self.entry_of(log)) {
            (0 | 1, Some(at)) => self.append(Some(at.index), at.index, last.term.get() + 1),
            (2, Some(at)) => Step::Purge(at),
            (3, _) if self.below(4) == 0 => {
                let beyond = last.index.get() + self.below(5);
                Step::Reset(LogId::new(last.term.get() + 1, beyond))
            }
            (4 | 5, _) => Step::Crash,
            _ => {
                let term = last.term.get().max(1) + self.below(2);
                self.append(None, last.index.next(), term)
            }
        }
    }

    fn append(&mut self, cut: Option<LogIndex>, first: LogIndex, term: u64) -> Step {
        let fewest = u64::from(cut.is_none());
        let count = fewest + self.below(6);
        Step::Append {
            cut: cut.map(LogIndex::get),
            first: first.get(),
            terms: (0..count).map(|_| term).collect(),
        }
    }
}
