//! P21: a state that was restored from a snapshot is the one that applying the log up
//! to there leads to (Raft §7).

use super::Check;
use super::state_machine_safety::StateMachineSafety;
use crate::testing::sim::report::Violation;
use crate::types::{LogIndex, NodeId};

/// `node` was restored to `index` and has `state` now; `applied` knows where applying leads.
pub(crate) fn restored(
    applied: &StateMachineSafety,
    node: NodeId,
    index: LogIndex,
    state: u64,
) -> Check {
    if applied.state_after(index) == Some(state) {
        return Ok(());
    }
    let reason = format!("{node} was restored to {index}, to another state than applying gives");
    Err(Violation::new("P21 snapshot equivalence", reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_state_and_one_that_nobody_reached_are_caught() {
        let mut applied = StateMachineSafety::default();
        for (previous, state) in [(0, 5), (1, 6)] {
            let previous = LogIndex::new(previous);
            let node = NodeId::new(1);
            applied
                .applied(node, previous, previous.next(), state)
                .unwrap();
        }
        let check = |index, state| restored(&applied, NodeId::new(2), LogIndex::new(index), state);
        check(2, 6).unwrap();
        assert!(check(2, 5).is_err());
        assert!(check(3, 7).is_err());
    }
}
