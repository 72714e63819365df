//! P3: a durable term never falls, and a durable vote changes only with the
//! term or from none (Raft figure 2).

use super::Check;
use crate::hard_state::HardState;
use crate::testing::sim::report::Violation;
use crate::types::NodeId;

/// The durable term and vote of `node` went from `old` to `new`.
pub(crate) fn changed(node: NodeId, old: HardState, new: HardState) -> Check {
    let keeps_vote = old.voted_for.is_none() || old.voted_for == new.voted_for;
    let rises = new.current_term > old.current_term;
    if rises || (new.current_term == old.current_term && keeps_vote) {
        return Ok(());
    }
    let reason = format!("{node} replaces durable {old:?} by {new:?}");
    Err(Violation::new("P3 hard state monotone", reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ReplicaId, Term};

    fn state(term: u64, vote: Option<u64>) -> HardState {
        HardState {
            current_term: Term::new(term),
            voted_for: vote.map(ReplicaId::first),
        }
    }

    #[test]
    fn a_falling_term_is_caught() {
        assert!(changed(NodeId::new(1), state(3, None), state(2, None)).is_err());
    }

    #[test]
    fn a_vote_that_changes_within_its_term_is_caught() {
        assert!(changed(NodeId::new(1), state(3, Some(1)), state(3, Some(2))).is_err());
        assert!(changed(NodeId::new(1), state(3, Some(1)), state(3, None)).is_err());
    }

    #[test]
    fn a_first_vote_and_a_vote_in_a_new_term_are_fine() {
        changed(NodeId::new(1), state(3, None), state(3, Some(2))).unwrap();
        changed(NodeId::new(1), state(3, Some(2)), state(4, Some(1))).unwrap();
    }
}
