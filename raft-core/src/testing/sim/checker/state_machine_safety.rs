//! P7: what is applied at an index is the same everywhere, and so is the state
//! it leads to (Raft figure 3, State Machine Safety).

use super::Check;
use crate::testing::sim::report::Violation;
use crate::types::{LogIndex, NodeId};

/// The digest of the state after each index.
#[derive(Debug, Default)]
pub(crate) struct StateMachineSafety {
    states: Vec<u64>,
}

impl StateMachineSafety {
    /// `node` applied the entry at `index`, right after `previous`; its state is `state` now.
    pub(crate) fn applied(
        &mut self,
        node: NodeId,
        previous: LogIndex,
        index: LogIndex,
        state: u64,
    ) -> Check {
        const PROPERTY: &str = "P7 state machine safety";
        if previous.next() != index {
            let reason = format!("{node} applies {index} right after {previous}");
            return Err(Violation::new(PROPERTY, reason));
        }
        let place = usize::try_from(previous.get()).expect("logs of a run fit in memory");
        match self.states.get(place) {
            Some(&first) if first != state => {
                let reason = format!("{node} applies another entry at {index} than others did");
                Err(Violation::new(PROPERTY, reason))
            }
            Some(_) => Ok(()),
            None if place == self.states.len() => {
                self.states.push(state);
                Ok(())
            }
            None => {
                let reason = format!("{node} applies {index}, but nobody applied {previous}");
                Err(Violation::new(PROPERTY, reason))
            }
        }
    }
}

impl StateMachineSafety {
    /// The state that everybody who applied up to `index` has.
    pub(super) fn state_after(&self, index: LogIndex) -> Option<u64> {
        let place = usize::try_from(index.previous()?.get()).ok()?;
        self.states.get(place).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(steps: &[(u64, u64, u64)]) -> Check {
        let mut checker = StateMachineSafety::default();
        let node = NodeId::new(1);
        steps.iter().try_for_each(|&(previous, index, state)| {
            checker.applied(node, LogIndex::new(previous), LogIndex::new(index), state)
        })
    }

    #[test]
    fn two_entries_at_one_index_are_caught() {
        assert!(apply(&[(0, 1, 7), (0, 1, 8)]).is_err());
    }

    #[test]
    fn a_gap_and_a_repetition_are_caught() {
        assert!(apply(&[(0, 1, 7), (1, 3, 8)]).is_err());
        assert!(apply(&[(0, 1, 7), (1, 1, 7)]).is_err());
    }

    #[test]
    fn the_same_on_two_replicas_is_fine() {
        apply(&[(0, 1, 7), (1, 2, 8), (0, 1, 7), (1, 2, 8)]).unwrap();
    }
}
