//! P6: a replica that leads holds every entry committed in earlier terms
//! (Raft figure 3, Leader Completeness). And when an entry is committed, nobody
//! without it could win any more: the crash and the election that would lose it
//! need not come for that to be seen (Raft figure 8).

use super::Check;
use super::committed::Committed;
use crate::membership::Membership;
use crate::testing::sim::image::LogImage;
use crate::testing::sim::report::Violation;
use crate::types::{LogId, LogIndex, NodeId, ReplicaId, Term};

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

/// A replica as a power cut would leave it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Survivor<'run> {
    pub(crate) replica: ReplicaId,
    /// The last entry that it has durable.
    pub(crate) last: LogId,
    /// The membership in force there.
    pub(crate) membership: &'run Membership,
    /// Whether it has the entry in question.
    pub(crate) holds: bool,
}

impl Survivor<'_> {
    /// Whether it would win, if only `others` were left and all voted for it.
    fn wins(&self, others: &[Survivor<'_>]) -> bool {
        let grants = |voter: &&NodeId| {
            let voter = self.membership.replica(**voter);
            let grants =
                |other: &Survivor<'_>| Some(other.replica) == voter && other.last <= self.last;
            others.iter().any(grants)
        };
        let sets = [Some(self.membership.voters()), self.membership.outgoing()];
        self.membership.votes(self.replica)
            && sets
                .into_iter()
                .flatten()
                .all(|voters| voters.iter().filter(grants).count() > voters.len() / 2)
    }
}

/// `leader` reports `commit`, and `survivors` is what a power cut would leave.
pub(crate) fn stays(leader: NodeId, commit: LogIndex, survivors: &[Survivor<'_>]) -> Check {
    let mut lack_it = survivors.iter().filter(|survivor| !survivor.holds);
    match lack_it.find(|without| without.wins(survivors)) {
        None => Ok(()),
        Some(without) => {
            let reason = format!(
                "{leader} reports {commit} committed, and {}, which lacks it, could win with {} among {}",
                without.replica, without.last, without.membership
            );
            Err(Violation::new(PROPERTY, reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sim::image::tests::image;
    use crate::types::Incarnation;

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

    /// Replicas with these last terms, at index 3; the first `holders` hold entry 2.
    fn survivors<'run>(
        voters: &'run Membership,
        last_terms: &[u64],
        holders: u64,
    ) -> Vec<Survivor<'run>> {
        let survivor = |(number, &term): (u64, &u64)| Survivor {
            replica: ReplicaId::first(number),
            last: LogId::new(term, 3),
            membership: voters,
            holds: number <= holders,
        };
        (1..).zip(last_terms).map(survivor).collect()
    }

    fn commits_among(survivors: &[Survivor<'_>]) -> Check {
        stays(NodeId::new(1), LogIndex::new(2), survivors)
    }

    #[test]
    fn an_entry_that_a_later_log_could_replace_is_caught() {
        // Raft figure 8, (c): the entry of term 2 is on three of five, and the
        // fifth has one of term 3.
        let five = Membership::of_ids(1..=5);
        assert!(commits_among(&survivors(&five, &[2, 2, 2, 1, 3], 3)).is_err());
        // And (e): one of term 4 is on the three as well.
        commits_among(&survivors(&five, &[4, 4, 4, 1, 3], 3)).unwrap();
        assert!(commits_among(&survivors(&five, &[2, 2, 2, 2, 2], 2)).is_err());
    }

    #[test]
    fn who_lost_its_vote_neither_wins_nor_helps() {
        let three = Membership::of_ids(1..=3);
        let mut all = survivors(&three, &[2, 1, 2], 1);
        assert!(commits_among(&all).is_err());
        all[1].replica.incarnation = Incarnation::new(1);
        assert!(commits_among(&all).is_err(), "1 and 3 are a majority");
        all[0].last = LogId::new(3, 3);
        commits_among(&all).unwrap();
    }

    #[test]
    fn a_quorum_of_another_membership_is_caught() {
        // Two of four hold it. The others are no quorum of the four, but were a
        // group of their own once, and one of them knows of nothing else.
        let four = Membership::of_ids(1..=4);
        let [apart, mixed] = [[3, 4], [1, 4]].map(Membership::of_ids);
        let mut all = survivors(&four, &[2, 2, 1, 1], 2);
        commits_among(&all).unwrap();
        all[3].membership = &apart;
        assert!(commits_among(&all).is_err());
        all[3].membership = &mixed;
        commits_among(&all).unwrap();
    }

    #[test]
    fn a_deposed_leader_may_lack_what_was_committed_after_its_term() {
        let log = image(&[1, 1], 5);
        leads(NodeId::new(2), Term::new(1), &log, &committed()).unwrap();
    }
}
