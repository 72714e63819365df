//! What operators asked for ends once, and its outcome is true: who is said to
//! lead has led, a change said to be done is committed, one that was refused
//! appears in no log, and one that was superseded is never committed.
//!
//! Memberships do not name the request they come from. So each change that adds
//! or updates a member gives it an address of its own, which tells.

use std::collections::{BTreeMap, BTreeSet};

use super::Check;
use crate::membership::Membership;
use crate::testing::sim::report::Violation;
use crate::types::{RequestId, Term};

/// The addresses that a change gives.
pub(crate) type Tags = Vec<String>;

/// Everything operators asked for, and where the addresses they gave appeared.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    changes: BTreeMap<RequestId, Tags>,
    transfers: BTreeMap<RequestId, Term>,
    appended: BTreeSet<String>,
    committed: BTreeSet<String>,
    refused: BTreeSet<String>,
    superseded: BTreeSet<String>,
}

/// How a change ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Done,
    Refused,
    Superseded,
    Unknown,
}

impl Operations {
    /// An operator asks for a change that gives these addresses.
    pub(crate) fn change_began(&mut self, request: RequestId, tags: Tags) {
        self.changes.insert(request, tags);
    }

    /// An operator asks a replica in `term` to hand its leadership over.
    pub(crate) fn transfer_began(&mut self, request: RequestId, term: Term) {
        self.transfers.insert(request, term);
    }

    /// A membership is in some log.
    pub(crate) fn appended(&mut self, membership: &Membership) -> Check {
        for tag in tags_of(membership) {
            if self.refused.contains(tag) {
                return Err(violation(format!("{tag:?} was refused, yet {membership}")));
            }
            if !self.appended.contains(tag) {
                self.appended.insert(tag.to_owned());
            }
        }
        Ok(())
    }

    /// A membership is committed.
    pub(crate) fn committed(&mut self, membership: &Membership) -> Check {
        for tag in tags_of(membership) {
            if self.superseded.contains(tag) {
                let reason = format!("{tag:?} was superseded, yet {membership} is committed");
                return Err(violation(reason));
            }
            self.committed.insert(tag.to_owned());
        }
        Ok(())
    }

    /// A change ended so.
    pub(crate) fn change_ended(&mut self, request: RequestId, outcome: Outcome) -> Check {
        let Some(tags) = self.changes.remove(&request) else {
            return Err(violation(format!(
                "change {request:?} ends unasked or twice"
            )));
        };
        let is_false = |tag: &&String| match outcome {
            Outcome::Done => !self.committed.contains(*tag),
            Outcome::Refused => self.appended.contains(*tag),
            Outcome::Superseded => self.committed.contains(*tag),
            Outcome::Unknown => false,
        };
        if let Some(tag) = tags.iter().find(is_false) {
            return Err(violation(format!("{tag:?} is said to be {outcome:?}")));
        }
        match outcome {
            Outcome::Refused => self.refused.extend(tags),
            Outcome::Superseded => self.superseded.extend(tags),
            Outcome::Done | Outcome::Unknown => {}
        }
        Ok(())
    }

    /// A transfer ended. Answers the term in which it was asked for.
    pub(crate) fn transfer_ended(&mut self, request: RequestId) -> Result<Term, Violation> {
        let began = self.transfers.remove(&request);
        began.ok_or_else(|| violation(format!("transfer {request:?} ends unasked or twice")))
    }

    /// The start `boot` ended in a crash: nobody waits any more.
    pub(crate) fn crashed(&mut self, boot: u64) {
        self.changes.retain(|request, _| request.boot != boot);
        self.transfers.retain(|request, _| request.boot != boot);
    }

    /// At the end of a run everything has its outcome.
    pub(crate) fn all_ended(&self) -> Check {
        match self.changes.keys().chain(self.transfers.keys()).next() {
            None => Ok(()),
            Some(request) => Err(violation(format!("{request:?} has no outcome"))),
        }
    }
}

fn tags_of(membership: &Membership) -> impl Iterator<Item = &str> {
    let infos = membership
        .members()
        .values()
        .map(|info| info.address.as_str());
    infos.filter(|address| !address.is_empty())
}

fn violation(reason: String) -> Violation {
    Violation::new("what operators are told is true", reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::MemberInfo;
    use crate::types::NodeId;

    const REQUEST: RequestId = RequestId {
        boot: 9,
        sequence: 1,
    };

    fn asked() -> Operations {
        let mut operations = Operations::default();
        operations.change_began(REQUEST, vec!["new".to_owned()]);
        operations
    }

    fn tagged() -> Membership {
        let info = MemberInfo {
            address: "new".to_owned(),
            ..MemberInfo::default()
        };
        Membership::of_voters([(NodeId::new(1), info)])
    }

    #[test]
    fn a_refused_change_in_a_log_is_caught_in_either_order() {
        let mut operations = asked();
        operations.change_ended(REQUEST, Outcome::Refused).unwrap();
        assert!(operations.appended(&tagged()).is_err());

        let mut operations = asked();
        operations.appended(&tagged()).unwrap();
        assert!(operations.change_ended(REQUEST, Outcome::Refused).is_err());
    }

    #[test]
    fn a_superseded_change_that_is_committed_is_caught_in_either_order() {
        let mut operations = asked();
        operations
            .change_ended(REQUEST, Outcome::Superseded)
            .unwrap();
        operations.appended(&tagged()).unwrap();
        assert!(operations.committed(&tagged()).is_err());

        let mut operations = asked();
        operations.committed(&tagged()).unwrap();
        assert!(
            operations
                .change_ended(REQUEST, Outcome::Superseded)
                .is_err()
        );
    }

    #[test]
    fn a_change_said_to_be_done_and_not_committed_is_caught() {
        let mut operations = asked();
        operations.appended(&tagged()).unwrap();
        assert!(operations.change_ended(REQUEST, Outcome::Done).is_err());
    }

    #[test]
    fn a_second_outcome_and_none_are_caught() {
        let mut operations = asked();
        assert!(operations.all_ended().is_err());
        operations.change_ended(REQUEST, Outcome::Unknown).unwrap();
        assert!(operations.change_ended(REQUEST, Outcome::Unknown).is_err());
        assert!(operations.transfer_ended(REQUEST).is_err());
        operations.all_ended().unwrap();
    }

    #[test]
    fn a_crash_ends_what_was_asked_of_it() {
        let mut operations = asked();
        operations.transfer_began(REQUEST, Term::new(1));
        operations.crashed(9);
        operations.all_ended().unwrap();
    }
}
