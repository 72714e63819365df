//! P20: what is damaged is noticed: it keeps its place in the log, nothing else takes it
//! under the same name, and nobody who knows of it calls what follows durable.

use std::collections::{BTreeMap, BTreeSet};

use super::Check;
use crate::entry::Entry;
use crate::message::{Absence, AppendResult, Envelope, Message};
use crate::testing::sim::report::Violation;
use crate::types::{LogId, LogIndex, NodeId, ReplicaId};

/// What replicas know of the damage on their disks.
#[derive(Debug, Default)]
pub(crate) struct Corruption {
    known: BTreeMap<ReplicaId, BTreeSet<LogIndex>>,
    /// Somebody said that it purged its log up to here, which is committed, therefore.
    purged: LogIndex,
}

impl Corruption {
    /// `replica` begins anew, and learns that these are damaged.
    pub(crate) fn starts(&mut self, replica: ReplicaId, damaged: &[LogIndex]) {
        let damaged = damaged.iter().copied().collect();
        self.known.insert(replica, damaged);
    }

    /// `replica` says that it found `index` damaged. What a read says that nobody waits for
    /// any more is none of it: another entry may be there by now.
    pub(crate) fn found(&mut self, replica: ReplicaId, index: LogIndex) {
        self.known.entry(replica).or_default().insert(index);
    }

    /// The disk of `replica` has these `damaged`, and no others: what was written anew is
    /// whole.
    pub(crate) fn remains(&mut self, replica: ReplicaId, damaged: &BTreeSet<LogIndex>) {
        if let Some(known) = self.known.get_mut(&replica) {
            known.retain(|index| damaged.contains(index));
        }
    }

    /// The first entry whose damage `replica` has to know of when it calls `commit`
    /// committed by counting: it has applied less, and nobody said that it is.
    pub(crate) fn in_the_way_of(
        &self,
        replica: ReplicaId,
        applied: LogIndex,
        commit: LogIndex,
    ) -> Option<LogIndex> {
        let is_counted = commit > self.purged;
        let known = self.known_between(replica, applied, commit);
        known.filter(|_| is_counted)
    }

    /// The first entry behind `applied` and up to `index` that `replica` knows to be damaged.
    fn known_between(
        &self,
        replica: ReplicaId,
        applied: LogIndex,
        index: LogIndex,
    ) -> Option<LogIndex> {
        let known = self.known.get(&replica).filter(|_| applied < index)?;
        known.range(applied.next()..=index).next().copied()
    }

    /// The entry at `index` is whole again. It may be damaged anew, unknown to the replica.
    pub(crate) fn whole_again(&mut self, replica: ReplicaId, index: LogIndex) {
        self.known.entry(replica).or_default().remove(&index);
    }

    /// A message leaves a replica whose disk has these entries `damaged`, and whose state
    /// machine has applied all up to `applied`: those it needs no more.
    pub(crate) fn sends(
        &mut self,
        envelope: &Envelope,
        damaged: &BTreeSet<LogIndex>,
        applied: LogIndex,
    ) -> Check {
        let from = envelope.from;
        self.remains(from, damaged);
        if let Message::EntryAbsent(body) = &envelope.message
            && let Absence::Purged { up_to, .. } = body.absence
        {
            self.purged = self.purged.max(up_to.index);
        }
        let durable = called_durable(&envelope.message);
        match self.known_between(from, applied, durable.index) {
            None => Ok(()),
            Some(index) => Err(violation(format!(
                "{from} calls {durable} durable and knows that {index} is damaged"
            ))),
        }
    }
}

/// What a message calls durable, if anything.
const fn called_durable(message: &Message) -> LogId {
    match message {
        Message::AppendReply(reply) => match reply.result {
            AppendResult::Accepted { durable, .. } => durable,
            AppendResult::Rejected { .. } => LogId::ZERO,
        },
        Message::HeartbeatReply(reply) => reply.durable,
        _ => LogId::ZERO,
    }
}

/// A leader calls `commit` committed, and no quorum has it durable but with its own copy,
/// in which it knows `index` to be damaged.
pub(crate) fn counts(leader: NodeId, commit: LogIndex, index: LogIndex) -> Violation {
    violation(format!(
        "{leader} counts its own copy for the commit of {commit} and knows that {index} is damaged"
    ))
}

/// A damaged entry, which was `original`, is replaced.
pub(crate) fn mended(original: &Entry, by: &Entry) -> Check {
    match original.log_id == by.log_id && original != by {
        true => Err(violation(format!(
            "{} is mended with another payload",
            by.log_id
        ))),
        false => Ok(()),
    }
}

/// `node` starts, and its log ends at `shown`; its disk's, damage and all, at `on_disk`.
pub(crate) fn keeps_its_place(node: NodeId, shown: LogId, on_disk: LogId) -> Check {
    match shown == on_disk {
        true => Ok(()),
        false => Err(violation(format!(
            "{node} starts with a log up to {shown}, its disk holds {on_disk}"
        ))),
    }
}

fn violation(reason: String) -> Violation {
    Violation::new("P20 corruption is detected", reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{AppendReply, HeartbeatReply};
    use crate::types::{GroupId, RequestId, Term};

    const fn at(index: u64) -> LogIndex {
        LogIndex::new(index)
    }

    fn sends(message: Message, applied: u64) -> Check {
        let mut checker = Corruption::default();
        let replica = ReplicaId::first(2);
        checker.starts(replica, &[at(3)]);
        checker.found(replica, at(5));
        checker.found(replica, at(7));
        checker.whole_again(replica, at(7));
        // The one at 5 is gone by now, the one at 7 damaged anew.
        let damaged = BTreeSet::from([at(3), at(7), at(9)]);
        let envelope = Envelope {
            group: GroupId::default(),
            from: replica,
            to: ReplicaId::first(1),
            term: Term::new(3),
            message,
        };
        checker.sends(&envelope, &damaged, at(applied))
    }

    fn accepted(index: u64) -> Message {
        let id = LogId::new(1, index);
        let result = AppendResult::Accepted {
            received: id,
            durable: id,
        };
        Message::AppendReply(AppendReply { session: 1, result })
    }

    #[test]
    fn an_acknowledgement_beyond_known_damage_is_caught() {
        assert!(sends(accepted(3), 0).is_err());
        assert!(sends(accepted(6), 0).is_err());
        sends(accepted(2), 0).unwrap();
    }

    #[test]
    fn damage_that_is_mended_applied_or_not_known_is_no_reason() {
        sends(accepted(7), 3).unwrap();
        sends(accepted(9), 3).unwrap();
    }

    #[test]
    fn a_heartbeat_counts_like_an_acknowledgement() {
        let id = LogId::new(1, 4);
        let reply = HeartbeatReply {
            session: 1,
            round: 1,
            received: id,
            durable: id,
            promise: std::time::Duration::ZERO,
        };
        assert!(sends(Message::HeartbeatReply(reply), 0).is_err());
    }

    #[test]
    fn what_a_replica_knows_to_be_damaged_is_none_of_its_copy() {
        let mut checker = Corruption::default();
        let replica = ReplicaId::first(1);
        checker.starts(replica, &[at(3)]);
        checker.found(replica, at(5));
        let between = |checker: &Corruption, applied, index| {
            checker.known_between(replica, at(applied), at(index))
        };
        assert_eq!(between(&checker, 0, 9), Some(at(3)));
        assert_eq!(between(&checker, 0, 2), None);
        assert_eq!(between(&checker, 3, 9), Some(at(5)));
        assert_eq!(between(&checker, 3, 4), None);
        assert_eq!(checker.in_the_way_of(replica, at(3), at(9)), Some(at(5)));
        // Somebody has said that it is committed.
        checker.purged = at(9);
        assert_eq!(checker.in_the_way_of(replica, at(3), at(9)), None);
        // It was written anew.
        checker.remains(replica, &BTreeSet::from([at(3)]));
        assert_eq!(between(&checker, 3, 9), None);
    }

    #[test]
    fn another_payload_under_the_same_name_is_caught() {
        let entry = |boot| {
            let request = RequestId { boot, sequence: 1 };
            Entry::command(LogId::new(1, 3), request, Default::default())
        };
        assert!(mended(&entry(1), &entry(2)).is_err());
        mended(&entry(1), &entry(1)).unwrap();
        // The place holds another entry by now.
        mended(&entry(1), &Entry::blank(LogId::new(2, 3))).unwrap();
    }

    #[test]
    fn a_log_that_ends_before_its_damage_is_caught() {
        let check = |shown| keeps_its_place(NodeId::new(1), shown, LogId::new(2, 5));
        assert!(check(LogId::new(2, 4)).is_err());
        check(LogId::new(2, 5)).unwrap();
    }
}
