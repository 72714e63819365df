//! This node's proposals without an outcome, by sequence number.
//!
//! A queue, because they come in the order of their numbers and mostly end in
//! it: both ends cost nothing, and the middle is found by halving.

use std::collections::VecDeque;

use crate::time::Timestamp;
use crate::types::Term;

/// A proposal without an outcome.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct PendingProposal {
    /// The term it is bound to.
    pub(super) term: Term,
    /// When its outcome is given up.
    pub(super) deadline: Timestamp,
}

/// All of them. Those that ended amid others leave a gap until it is at the front.
#[derive(Clone, Debug, Default)]
pub(super) struct PendingProposals {
    queue: VecDeque<(u64, Option<PendingProposal>)>,
    count: usize,
}

impl PendingProposals {
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    pub(super) fn insert(&mut self, sequence: u64, pending: PendingProposal) {
        let place = match self.queue.back() {
            Some(&(last, _)) if last >= sequence => self.place_of(sequence),
            _ => self.queue.len(),
        };
        self.queue.insert(place, (sequence, Some(pending)));
        self.count += 1;
    }

    pub(super) fn remove(&mut self, sequence: u64) -> Option<PendingProposal> {
        let place = match self.queue.front() {
            Some(&(first, _)) if first == sequence => 0,
            _ => self.place_of(sequence),
        };
        let (_, pending) = self.queue.get_mut(place).filter(|(s, _)| *s == sequence)?;
        let pending = pending.take()?;
        self.count -= 1;
        while self.queue.front().is_some_and(|(_, ended)| ended.is_none()) {
            self.queue.pop_front();
        }
        Some(pending)
    }

    /// The one with the lowest number.
    pub(super) fn first(&self) -> Option<(u64, PendingProposal)> {
        let (sequence, pending) = self.queue.front()?;
        pending.map(|pending| (*sequence, pending))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, PendingProposal)> + '_ {
        let entries = self.queue.iter();
        entries.filter_map(|&(sequence, pending)| Some((sequence, pending?)))
    }

    fn place_of(&self, sequence: u64) -> usize {
        self.queue.partition_point(|(other, _)| *other < sequence)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn pending(term: u64) -> PendingProposal {
        PendingProposal {
            term: Term::new(term),
            deadline: Timestamp::ZERO,
        }
    }

    proptest! {
        /// Against a map.
        #[test]
        fn it_is_a_map_by_sequence_number(
            steps in prop::collection::vec((any::<bool>(), 0_u64..30), 1..60)
        ) {
            let mut queue = PendingProposals::default();
            let mut naive = BTreeMap::new();
            for (adds, sequence) in steps {
                if !adds {
                    prop_assert_eq!(queue.remove(sequence), naive.remove(&sequence));
                } else if queue.place_of(sequence) == queue.place_of(sequence + 1) {
                    // A number is given out once.
                    queue.insert(sequence, pending(sequence));
                    naive.insert(sequence, pending(sequence));
                }
                prop_assert_eq!(queue.len(), naive.len());
                let first = naive.first_key_value().map(|(s, p)| (*s, *p));
                prop_assert_eq!(queue.first(), first);
                let all: Vec<_> = naive.iter().map(|(s, p)| (*s, *p)).collect();
                prop_assert_eq!(queue.iter().collect::<Vec<_>>(), all);
            }
        }
    }
}
