//! P12: what a leader believes of a follower. Within one leadership `match_index`
//! never falls and stays below `next_index`, and the follower's disk agrees with
//! the leader's log up to it (Raft figure 2, volatile state on leaders).

use std::collections::BTreeMap;

use super::Check;
use crate::protocol::FollowerStatus;
use crate::testing::sim::report::Violation;
use crate::types::{LogIndex, ReplicaId, Term};

/// The highest match of each follower in the latest leadership of each leader.
#[derive(Debug, Default)]
pub(crate) struct Replication {
    matched: BTreeMap<(ReplicaId, ReplicaId), (Term, LogIndex)>,
}

impl Replication {
    /// The leader of `term` shows what it believes of a follower. `holds` says
    /// whether the follower durably agrees with the leader's log up to an index.
    pub(crate) fn shows(
        &mut self,
        leader: ReplicaId,
        term: Term,
        follower: &FollowerStatus,
        holds: impl FnOnce(LogIndex) -> bool,
    ) -> Check {
        let (matched, next) = (follower.match_index, follower.next_index);
        if next <= matched {
            return Err(violation(leader, follower, "sends it what it holds"));
        }
        let pair = (leader, follower.replica);
        let known = self.matched.get(&pair).filter(|(t, _)| *t == term);
        match known {
            Some(&(_, before)) if before == matched => return Ok(()),
            Some(&(_, before)) if before > matched => {
                return Err(violation(leader, follower, "believed more of it before"));
            }
            _ => {}
        }
        self.matched.insert(pair, (term, matched));
        match holds(matched) {
            true => Ok(()),
            false => Err(violation(leader, follower, "which its disk does not hold")),
        }
    }

    /// The follower is no member any more: if it is one again, it begins anew.
    pub(crate) fn departed(&mut self, leader: ReplicaId, follower: ReplicaId) {
        self.matched.remove(&(leader, follower));
    }
}

fn violation(leader: ReplicaId, follower: &FollowerStatus, what: &str) -> Violation {
    let reason = format!(
        "{leader} believes {} to match up to {} and sends from {} on: {what}",
        follower.replica, follower.match_index, follower.next_index
    );
    Violation::new("P12 replication bookkeeping", reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::FollowerState;

    fn show(checker: &mut Replication, term: u64, matched: u64, next: u64, disk: u64) -> Check {
        let follower = FollowerStatus {
            replica: ReplicaId::first(2),
            match_index: LogIndex::new(matched),
            next_index: LogIndex::new(next),
            is_active: true,
            state: FollowerState::Replicate,
            latest_life: None,
        };
        let holds = |index: LogIndex| index.get() <= disk;
        checker.shows(ReplicaId::first(1), Term::new(term), &follower, holds)
    }

    #[test]
    fn a_match_that_falls_is_caught_unless_the_leadership_is_another() {
        let mut checker = Replication::default();
        show(&mut checker, 2, 5, 6, 9).unwrap();
        assert!(show(&mut checker, 2, 4, 6, 9).is_err());
        show(&mut checker, 3, 0, 6, 9).unwrap();
    }

    #[test]
    fn a_follower_that_joins_again_begins_anew() {
        let mut checker = Replication::default();
        show(&mut checker, 2, 5, 6, 9).unwrap();
        checker.departed(ReplicaId::first(1), ReplicaId::first(2));
        show(&mut checker, 2, 0, 6, 9).unwrap();
    }

    #[test]
    fn a_next_index_that_is_not_above_the_match_is_caught() {
        assert!(show(&mut Replication::default(), 2, 5, 5, 9).is_err());
    }

    #[test]
    fn a_match_beyond_what_the_disk_holds_is_caught() {
        assert!(show(&mut Replication::default(), 2, 5, 6, 4).is_err());
        show(&mut Replication::default(), 2, 5, 6, 5).unwrap();
    }
}
