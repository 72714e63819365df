//! Looks for an order, for histories of any kind (Wing and Gong 1993; the memory of
//! what was tried: Lowe 2017).
//!
//! Each step takes one of the operations that may come next: nothing else that is
//! still to come was over before it began. The same operations taken in another order,
//! to the same value, are not tried twice.

use std::collections::HashSet;

use super::Verdict;
use super::history::{Action, History, Operation};

/// Looks for an order of each key's operations, in at most `steps` steps for all keys.
pub fn check(history: &History, steps: u64) -> Verdict {
    let mut left = steps;
    for (key, operations) in history.by_key() {
        match Search::of(operations).run(&mut left) {
            Verdict::Linearizable => {}
            Verdict::Violated(why) => return Verdict::Violated(format!("key {key}: {why}")),
            Verdict::GaveUp => return Verdict::GaveUp,
        }
    }
    Verdict::Linearizable
}

struct Search {
    /// By the moment at which they began.
    operations: Vec<Operation>,
    /// Operations taken, with the value that they leave.
    tried: HashSet<(Vec<u64>, Option<u64>)>,
}

/// Where a search stands: what was taken, and what the register holds.
#[derive(Clone)]
struct Place {
    taken: Vec<u64>,
    value: Option<u64>,
}

impl Place {
    fn has(&self, at: usize) -> bool {
        self.taken[at / 64] >> (at % 64) & 1 == 1
    }

    fn with(&self, at: usize, value: Option<u64>) -> Self {
        let mut taken = self.taken.clone();
        taken[at / 64] |= 1 << (at % 64);
        Self { taken, value }
    }
}

impl Search {
    fn of(mut operations: Vec<Operation>) -> Self {
        operations.sort_by_key(|operation| operation.invoked);
        Self {
            operations,
            tried: HashSet::new(),
        }
    }

    fn run(mut self, steps: &mut u64) -> Verdict {
        let start = Place {
            taken: vec![0; self.operations.len().div_ceil(64)],
            value: None,
        };
        let mut open = vec![start];
        let mut furthest = 0;
        while let Some(place) = open.pop() {
            if *steps == 0 {
                return Verdict::GaveUp;
            }
            *steps -= 1;
            let left = self.left_to_explain(&place);
            if left == 0 {
                return Verdict::Linearizable;
            }
            furthest = furthest.max(self.operations.len() - left);
            for next in self.next_places(&place) {
                if self.tried.insert((next.taken.clone(), next.value)) {
                    open.push(next);
                }
            }
        }
        let count = self.operations.len();
        Verdict::Violated(format!(
            "no order explains more than {furthest} of {count} operations"
        ))
    }

    /// Operations that returned and were not taken yet.
    fn left_to_explain(&self, place: &Place) -> usize {
        let mut operations = self.operations.iter().enumerate();
        let left = operations
            .by_ref()
            .filter(|(at, o)| o.returned.is_some() && !place.has(*at));
        left.count()
    }

    fn next_places(&self, place: &Place) -> Vec<Place> {
        let open = || {
            let all = self.operations.iter().enumerate();
            all.filter(|(at, _)| !place.has(*at))
        };
        // Nobody comes next who began after somebody else was over.
        let first_end = open().map(|(_, o)| o.end()).min().unwrap_or(u64::MAX);
        let mut places = Vec::new();
        for (at, operation) in open().take_while(|(_, o)| o.invoked <= first_end) {
            match operation.action {
                Action::Write(value) => places.push(place.with(at, Some(value))),
                Action::Read(found) if found == place.value => places.push(place.with(at, found)),
                Action::Read(_) => {}
            }
        }
        places
    }
}
