//! P6: a replica that leads holds every entry committed in earlier terms
//! (Raft figure 3, Leader Completeness). And when an entry is committed, nobody
//! without it could win any more: the crash and the election that would lose it
//! need not come for that to be seen (Raft figure 8).

use super::Check;
use super::committed::Committed;
use crate::membership::Membership;
use crate::testing::sim::image::LogImage;
use crate::testing::sim::report::Violation;
use crate::types::{LogId, LogIndex, NodeId, Term};

const PROPERTY: &str = "P6 leader completeness";

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
    Err(Violation::new(PROPERTY, reason))
}

/// A voter as a power cut would leave it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Survivor {
    /// The last entry that it has durable.
    pub(crate) last: LogId,
    /// Whether it has the entry in question.
    pub(crate) holds: bool,
}

/// `node` reports `commit` while `membership` is in force there; `survivor` says
/// what would be left of a voter, nothing if it lost its vote.
pub(crate) fn stays(
    node: NodeId,
    commit: LogIndex,
    membership: &Membership,
    survivor: impl Fn(NodeId) -> Option<Survivor>,
) -> Check {
    let sets = [Some(membership.voters()), membership.outgoing()];
    let wins = |candidate: Survivor| {
        let grants = |voter| survivor(voter).is_some_and(|voter| voter.last <= candidate.last);
        sets.into_iter().flatten().all(|voters| {
            let granted = voters.iter().filter(|&&voter| grants(voter)).count();
            granted > voters.len() / 2
        })
    };
    for &candidate in sets.into_iter().flatten().flatten() {
        let Some(left) = survivor(candidate).filter(|left| !left.holds) else {
            continue;
        };
        if wins(left) {
            let reason = format!(
                "{node} reports {commit} committed, and {candidate}, which lacks it, could win with {}",
                left.last
            );
            return Err(Violation::new(PROPERTY, reason));
        }
    }
    Ok(())
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

    /// Voters with these last terms, at index 3; the first `holders` hold entry 2.
    fn commits_among(last_terms: &[u64], holders: u64) -> Check {
        let voters = Membership::of_ids(1..=last_terms.len() as u64);
        let survivor = |node: NodeId| {
            let place = usize::try_from(node.get() - 1).unwrap();
            Some(Survivor {
                last: LogId::new(last_terms[place], 3),
                holds: node.get() <= holders,
            })
        };
        stays(NodeId::new(1), LogIndex::new(2), &voters, survivor)
    }

    #[test]
    fn an_entry_that_a_later_log_could_replace_is_caught() {
        // Raft figure 8, (c): the entry of term 2 is on three of five, and the
        // fifth has one of term 3.
        assert!(commits_among(&[2, 2, 2, 1, 3], 3).is_err());
        // And (e): one of term 4 is on the three as well.
        commits_among(&[4, 4, 4, 1, 3], 3).unwrap();
        assert!(commits_among(&[2, 2, 2], 1).is_err());
    }

    #[test]
    fn who_lost_its_vote_neither_wins_nor_helps() {
        let survivor = |node: NodeId| {
            let last = LogId::new([2, 3, 1][usize::try_from(node.get() - 1).unwrap()], 3);
            let holds = node == NodeId::new(1);
            (node != NodeId::new(3)).then_some(Survivor { last, holds })
        };
        let at = |voters: Membership| stays(NodeId::new(1), LogIndex::new(2), &voters, survivor);
        assert!(at(Membership::of_ids(1..=2)).is_err());
        at(Membership::of_ids([1, 3])).unwrap();
    }

    #[test]
    fn a_deposed_leader_may_lack_what_was_committed_after_its_term() {
        let log = image(&[1, 1], 5);
        leads(NodeId::new(2), Term::new(1), &log, &committed()).unwrap();
    }
}
