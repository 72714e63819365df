//! P6: a replica that leads holds every entry committed in earlier terms
//! (Raft figure 3, Leader Completeness).

use super::Check;
use super::committed::Committed;
use crate::testing::sim::image::LogImage;
use crate::testing::sim::report::Violation;
use crate::types::{NodeId, Term};

/// `node` leads `term` with `log`.
pub(crate) fn leads(node: NodeId, term: Term, log: &LogImage, committed: &Committed) -> Check {
    let last = committed.last();
    if last.term >= term || log.digest_at(last.index) == Some(committed.digest()) {
        return Ok(());
    }
    let reason = format!(
        "{node} leads {term} with a log up to {}, which lacks committed {last}",
        log.last()
    );
    Err(Violation::new("P6 leader completeness", reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sim::image::tests::image;
    use crate::types::LogIndex;

    fn committed() -> Committed {
        let mut committed = Committed::default();
        let log = image(&[1, 1, 2], 5);
        committed
            .reported(NodeId::new(1), LogIndex::new(3), &log)
            .unwrap();
        committed
    }

    #[test]
    fn a_leader_that_lacks_a_committed_entry_is_caught() {
        for log in [
            image(&[1, 1], 5),
            image(&[1, 1, 3], 5),
            image(&[1, 1, 2], 6),
        ] {
            assert!(leads(NodeId::new(2), Term::new(4), &log, &committed()).is_err());
        }
    }

    #[test]
    fn a_deposed_leader_may_lack_what_was_committed_after_its_term() {
        let log = image(&[1, 1], 5);
        leads(NodeId::new(2), Term::new(1), &log, &committed()).unwrap();
    }
}
