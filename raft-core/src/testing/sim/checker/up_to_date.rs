//! P6, before it is too late: a vote goes only to a log at least as up to date as
//! the voter's (Raft §5.4.1). Seldom does the election that follows lose anything,
//! but the vote itself shows.

use std::collections::BTreeMap;

use super::Check;
use crate::testing::sim::report::Violation;
use crate::types::{LogId, NodeId, Term};

/// How far the log of each candidate of the run reached.
#[derive(Debug, Default)]
pub(crate) struct UpToDate {
    logs: BTreeMap<(Term, NodeId), LogId>,
}

impl UpToDate {
    /// `candidate` asks for votes in `term`, and says that its log ends with `last`.
    pub(crate) fn asks(&mut self, candidate: NodeId, term: Term, last: LogId) {
        self.logs.insert((term, candidate), last);
    }

    /// `voter`, whose log ends with `own`, has just voted for `candidate` in `term`.
    pub(crate) fn votes(&self, voter: NodeId, own: LogId, term: Term, candidate: NodeId) -> Check {
        match self.logs.get(&(term, candidate)) {
            Some(last) if *last < own => {
                let reason = format!(
                    "{voter} votes for {candidate} in {term}, whose log ends with {last}, its own with {own}"
                );
                Err(Violation::new("P6 leader completeness", reason))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vote_for_an_older_or_shorter_log_is_caught() {
        let [voter, candidate] = [1, 2].map(NodeId::new);
        let mut checker = UpToDate::default();
        checker.asks(candidate, Term::new(5), LogId::new(3, 7));
        let votes = |own| checker.votes(voter, own, Term::new(5), candidate);

        assert!(votes(LogId::new(3, 8)).is_err());
        assert!(votes(LogId::new(4, 1)).is_err());
        votes(LogId::new(3, 7)).unwrap();
        votes(LogId::new(2, 9)).unwrap();
    }
}
