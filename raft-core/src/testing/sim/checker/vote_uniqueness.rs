//! P2: a replica never votes for two candidates in one term, restarts included (Raft §5.2).
//!
//! A vote is what became durable, and what was granted in a message.

use std::collections::BTreeMap;

use super::Check;
use crate::testing::sim::report::Violation;
use crate::types::{NodeId, Term};

/// Every vote of the run.
#[derive(Debug, Default)]
pub(crate) struct VoteUniqueness {
    votes: BTreeMap<(NodeId, Term), NodeId>,
}

impl VoteUniqueness {
    /// `voter` votes for `candidate` in `term`.
    pub(crate) fn votes(&mut self, voter: NodeId, term: Term, candidate: NodeId) -> Check {
        let first = *self.votes.entry((voter, term)).or_insert(candidate);
        if first == candidate {
            return Ok(());
        }
        let reason = format!("{voter} votes for {candidate} in {term} after {first}");
        Err(Violation::new("P2 vote uniqueness", reason))
    }

    /// Whether `voter` voted for `candidate` in `term`.
    pub(crate) fn voted(&self, voter: NodeId, term: Term, candidate: NodeId) -> bool {
        self.votes.get(&(voter, term)) == Some(&candidate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_candidate_in_a_term_is_caught() {
        let [voter, a, b] = [1, 2, 3].map(NodeId::new);
        let mut checker = VoteUniqueness::default();
        checker.votes(voter, Term::new(4), a).unwrap();
        checker.votes(voter, Term::new(4), a).unwrap();
        checker.votes(voter, Term::new(5), b).unwrap();
        assert!(checker.votes(voter, Term::new(4), b).is_err());
        assert!(checker.voted(voter, Term::new(4), a));
        assert!(!checker.voted(voter, Term::new(4), b));
    }
}
