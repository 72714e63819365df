//! P15: an acknowledged write is committed, for ever. And every proposal ends at
//! most once, a refused one never takes effect, and none takes effect twice.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Check;
use crate::entry::{Entry, Payload};
use crate::testing::sim::report::Violation;
use crate::types::{LogIndex, NodeId, RequestId};

/// How a proposal stands with its client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Standing {
    Open,
    Acknowledged,
    Refused,
    Unknown,
}

#[derive(Debug)]
struct Tracked {
    command: Bytes,
    standing: Standing,
    committed_at: Option<LogIndex>,
}

/// Every proposal of the run.
#[derive(Debug, Default)]
pub(crate) struct Proposals {
    tracked: BTreeMap<RequestId, Tracked>,
}

impl Proposals {
    /// A client proposes `command`.
    pub(crate) fn proposed(&mut self, request: RequestId, command: Bytes) {
        let tracked = Tracked {
            command,
            standing: Standing::Open,
            committed_at: None,
        };
        self.tracked.insert(request, tracked);
    }

    /// An entry is committed.
    pub(crate) fn committed(&mut self, entry: &Entry) -> Check {
        let Payload::Command { request, data } = &entry.payload else {
            return Ok(());
        };
        let index = entry.index();
        let Some(tracked) = self.tracked.get_mut(request) else {
            return Err(violation(
                *request,
                format!("nobody proposed it, yet {index} holds it"),
            ));
        };
        if tracked.command != *data {
            return Err(violation(*request, format!("{index} holds other bytes")));
        }
        if let Some(first) = tracked.committed_at.replace(index) {
            return Err(violation(
                *request,
                format!("committed at {first} and at {index}"),
            ));
        }
        match tracked.standing {
            Standing::Refused => Err(violation(
                *request,
                format!("refused, yet committed at {index}"),
            )),
            _ => Ok(()),
        }
    }

    /// The client is told that its command took effect at `index`.
    pub(crate) fn acknowledged(&mut self, request: RequestId, index: LogIndex) -> Check {
        let tracked = self.end(request, Standing::Acknowledged)?;
        if tracked.committed_at == Some(index) {
            return Ok(());
        }
        let place = tracked.committed_at;
        Err(violation(
            request,
            format!("acknowledged at {index}, committed at {place:?}"),
        ))
    }

    /// The client is told that its command failed.
    pub(crate) fn failed(&mut self, request: RequestId, is_refusal: bool) -> Check {
        if !is_refusal {
            self.end(request, Standing::Unknown)?;
            return Ok(());
        }
        match self.end(request, Standing::Refused)?.committed_at {
            None => Ok(()),
            Some(index) => Err(violation(
                request,
                format!("refused after its commit at {index}"),
            )),
        }
    }

    /// The start `boot` ended in a crash, and its clients got no answer any more.
    pub(crate) fn crashed(&mut self, boot: u64) {
        for (_, tracked) in self.tracked.range_mut(whole(boot)) {
            if tracked.standing == Standing::Open {
                tracked.standing = Standing::Unknown;
            }
        }
    }

    /// At the end of a run, everything proposed to the running start `boot` has its outcome.
    pub(crate) fn all_ended(&self, node: NodeId, boot: u64) -> Check {
        let open = |tracked: &Tracked| tracked.standing == Standing::Open;
        match self.tracked.range(whole(boot)).find(|(_, t)| open(t)) {
            None => Ok(()),
            Some((request, _)) => Err(violation(*request, format!("no outcome on {node}"))),
        }
    }

    /// At the end of a run: the acknowledged writes and where they are committed.
    pub(crate) fn acknowledgements(&self) -> impl Iterator<Item = (RequestId, LogIndex)> + '_ {
        self.tracked
            .iter()
            .filter(|(_, tracked)| tracked.standing == Standing::Acknowledged)
            .filter_map(|(request, tracked)| Some((*request, tracked.committed_at?)))
    }

    fn end(&mut self, request: RequestId, standing: Standing) -> Result<&Tracked, Violation> {
        let Some(tracked) = self.tracked.get_mut(&request) else {
            return Err(violation(request, "ended, yet nobody proposed it"));
        };
        if tracked.standing != Standing::Open {
            let first = tracked.standing;
            return Err(violation(request, format!("{standing:?} after {first:?}")));
        }
        tracked.standing = standing;
        Ok(tracked)
    }
}

fn whole(boot: u64) -> std::ops::RangeInclusive<RequestId> {
    let at = |sequence| RequestId { boot, sequence };
    at(0)..=at(u64::MAX)
}

fn violation(request: RequestId, what: impl std::fmt::Display) -> Violation {
    let reason = format!(
        "proposal {} of start {:x}: {what}",
        request.sequence, request.boot
    );
    Violation::new("P15 no lost ack, every proposal ends once", reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::LogId;

    const REQUEST: RequestId = RequestId {
        boot: 9,
        sequence: 1,
    };

    fn proposed() -> Proposals {
        let mut proposals = Proposals::default();
        proposals.proposed(REQUEST, Bytes::from_static(b"x"));
        proposals
    }

    fn entry(index: u64, data: &'static [u8]) -> Entry {
        Entry::command(LogId::new(1, index), REQUEST, Bytes::from_static(data))
    }

    #[test]
    fn an_acknowledgement_without_commit_is_caught() {
        assert!(proposed().acknowledged(REQUEST, LogIndex::new(3)).is_err());
    }

    #[test]
    fn an_acknowledgement_of_another_index_is_caught() {
        let mut proposals = proposed();
        proposals.committed(&entry(4, b"x")).unwrap();
        assert!(proposals.acknowledged(REQUEST, LogIndex::new(3)).is_err());
    }

    #[test]
    fn a_command_committed_twice_is_caught() {
        let mut proposals = proposed();
        proposals.committed(&entry(4, b"x")).unwrap();
        assert!(proposals.committed(&entry(5, b"x")).is_err());
    }

    #[test]
    fn a_refused_command_that_is_committed_is_caught_in_either_order() {
        let mut proposals = proposed();
        proposals.failed(REQUEST, true).unwrap();
        assert!(proposals.committed(&entry(4, b"x")).is_err());

        let mut proposals = proposed();
        proposals.committed(&entry(4, b"x")).unwrap();
        assert!(proposals.failed(REQUEST, true).is_err());
    }

    #[test]
    fn a_second_outcome_is_caught() {
        let mut proposals = proposed();
        proposals.failed(REQUEST, false).unwrap();
        assert!(proposals.failed(REQUEST, true).is_err());
    }

    #[test]
    fn invented_and_altered_commands_are_caught() {
        assert!(Proposals::default().committed(&entry(4, b"x")).is_err());
        assert!(proposed().committed(&entry(4, b"y")).is_err());
    }

    #[test]
    fn a_proposal_without_outcome_is_caught_unless_its_node_crashed() {
        let mut proposals = proposed();
        assert!(proposals.all_ended(NodeId::new(1), 9).is_err());
        proposals.crashed(9);
        proposals.all_ended(NodeId::new(1), 9).unwrap();
    }
}
