//! P17: while a leader serves a read by its lease, nobody leads a later term
//! (Thesis §6.4.1). That is more than what a lease promises, which is that
//! nobody has committed there.

use super::Check;
use crate::testing::sim::report::Violation;
use crate::types::{NodeId, Term};

/// `leader` serves a read by its lease of `term`; `latest` is the latest
/// leadership that ever began.
pub(crate) fn serves(leader: NodeId, term: Term, latest: Option<(Term, NodeId)>) -> Check {
    match latest {
        Some((later, other)) if later > term => {
            let reason = format!("{leader} serves by its lease of {term}, {other} leads {later}");
            Err(Violation::new("P17 lease exclusion", reason))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_outlives_the_next_election_is_caught() {
        let at = |latest: u64| {
            let latest = Some((Term::new(latest), NodeId::new(2)));
            serves(NodeId::new(1), Term::new(3), latest)
        };
        assert!(at(4).is_err());
        at(3).unwrap();
    }
}
