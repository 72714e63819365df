//! P1: a term never has two replicas that ever acted as its leader (Raft §5.2).
//!
//! Judged over the whole run, so the dead and the restarted count.

use std::collections::BTreeMap;

use super::Check;
use crate::testing::sim::report::Violation;
use crate::types::{NodeId, Term};

/// Who led which term.
#[derive(Debug, Default)]
pub(crate) struct ElectionSafety {
    leaders: BTreeMap<Term, NodeId>,
}

impl ElectionSafety {
    /// `node` acts as the leader of `term`.
    pub(crate) fn leads(&mut self, term: Term, node: NodeId) -> Check {
        let first = *self.leaders.entry(term).or_insert(node);
        if first == node {
            return Ok(());
        }
        let reason = format!("{node} leads {term}, which {first} led");
        Err(Violation::new("P1 election safety", reason))
    }

    /// The latest term that anyone led, and who.
    pub(crate) fn latest(&self) -> Option<(Term, NodeId)> {
        self.leaders.last_key_value().map(|(t, n)| (*t, *n))
    }

    /// Whether `node` led a term, `since` that one or later.
    pub(crate) fn has_led(&self, node: NodeId, since: Term) -> bool {
        self.leaders
            .range(since..)
            .any(|(_, leader)| *leader == node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_leaders_of_one_term_are_caught_even_far_apart() {
        let mut checker = ElectionSafety::default();
        checker.leads(Term::new(2), NodeId::new(1)).unwrap();
        checker.leads(Term::new(3), NodeId::new(2)).unwrap();
        checker.leads(Term::new(2), NodeId::new(1)).unwrap();
        assert!(checker.leads(Term::new(2), NodeId::new(3)).is_err());
    }

    #[test]
    fn who_led_and_since_when_is_known() {
        let mut checker = ElectionSafety::default();
        checker.leads(Term::new(2), NodeId::new(1)).unwrap();
        checker.leads(Term::new(4), NodeId::new(2)).unwrap();
        assert_eq!(checker.latest(), Some((Term::new(4), NodeId::new(2))));
        assert!(checker.has_led(NodeId::new(1), Term::new(2)));
        assert!(!checker.has_led(NodeId::new(1), Term::new(3)));
    }
}
