//! Numbers, positions, entries and memberships near the state of a replica.

use std::collections::BTreeMap;

use bytes::Bytes;
use raft_core::protocol::Status;
use raft_core::{
    Entry, Incarnation, LogId, LogIndex, LogSlice, MemberInfo, Membership, MembershipChange,
    NodeId, Payload, Raft, ReplicaId, RequestId, Term,
};

use crate::choices::Choices;

/// What a wrong message is aimed by.
pub struct View<'a> {
    /// The replica at a glance.
    pub status: Status,
    /// Its start.
    pub boot: u64,
    /// The replica itself, for the terms of its entries.
    pub raft: &'a Raft,
    /// Sessions that it leads or follows in.
    pub sessions: Vec<u64>,
    /// Its latest round, and the latest it heard of.
    pub rounds: Vec<u64>,
    /// Its latest ticket.
    pub ticket: u64,
}

impl View<'_> {
    /// A term near its own.
    pub fn term(&self, choices: &mut Choices<'_>) -> Term {
        let (term, last) = (self.status.term(), self.status.last_log.term);
        Term::new(choices.near(&[term.get(), term.get(), last.get()]))
    }

    /// An index near one of its watermarks.
    pub fn index(&self, choices: &mut Choices<'_>) -> LogIndex {
        let status = &self.status;
        let marks = [
            status.last_log.index,
            status.commit_index,
            status.last_applied,
            status.durable_index,
            status.purged.index,
            status.membership_index,
        ];
        LogIndex::new(choices.near(&marks.map(LogIndex::get)))
    }

    /// An entry of its log, mostly.
    pub fn log_id(&self, choices: &mut Choices<'_>) -> LogId {
        let index = self.index(choices);
        let term = match self.raft.term_at(index).filter(|_| !choices.once_in(4)) {
            Some(term) => term,
            None => self.term(choices),
        };
        LogId { term, index }
    }

    /// A session of its own, mostly.
    pub fn session(&self, choices: &mut Choices<'_>) -> u64 {
        choices.near(&self.sessions)
    }

    /// A round near its own.
    pub fn round(&self, choices: &mut Choices<'_>) -> u64 {
        choices.near(&self.rounds)
    }

    /// A request of this start or of another.
    pub fn request(&self, choices: &mut Choices<'_>) -> RequestId {
        let boot = match choices.below(3) {
            0 => choices.byte().into(),
            _ => self.boot,
        };
        let sequence = choices.near(&[self.ticket]);
        RequestId { boot, sequence }
    }

    /// The leader or another member, mostly.
    pub fn peer(&self, choices: &mut Choices<'_>) -> ReplicaId {
        let (members, own) = (&self.status.membership, self.status.replica.node);
        let others = members.replicas().filter(|replica| replica.node != own);
        let others: Vec<_> = others.collect();
        let leader = self.status.leader.filter(|leader| *leader != own);
        let leader = leader.and_then(|node| members.replica(node));
        match (choices.below(16), leader) {
            (0, _) => any_replica(choices),
            (1..=8, Some(leader)) => leader,
            _ if others.is_empty() => any_replica(choices),
            _ => choices.one_of(&others),
        }
    }

    /// A run that begins right after `previous`, mostly.
    pub fn entries(&self, previous: LogId, choices: &mut Choices<'_>) -> LogSlice {
        let shape = choices.byte();
        let mut index = previous.index.get();
        if shape & 0xe0 == 0xe0 {
            index = self.index(choices).get();
        }
        let mut term = previous.term.get();
        let mut entries = Vec::new();
        for _ in 0..(shape & 7) {
            let (next, rise) = (index.checked_add(1), choices.below(6));
            let Some(next) = next else { break };
            (index, term) = (next, term.saturating_add(rise as u64 / 4));
            if rise == 3 {
                term = term.max(self.status.term().get());
            }
            let log_id = LogId::new(term, index);
            let payload = self.payload(choices);
            entries.push(Entry { log_id, payload });
        }
        LogSlice::new(entries).unwrap_or_default()
    }

    /// What an entry holds.
    pub fn payload(&self, choices: &mut Choices<'_>) -> Payload {
        match choices.below(8) {
            0 => Payload::Membership(Box::new(membership(choices))),
            1..=3 => Payload::Command {
                request: self.request(choices),
                data: command(choices),
            },
            _ => Payload::Blank,
        }
    }
}

/// A command, mostly small.
pub fn command(choices: &mut Choices<'_>) -> Bytes {
    let length = choices.one_of(&[0, 0, 1, 8, 150, 1000]);
    Bytes::from(vec![7; length])
}

/// Any replica of a few nodes.
pub fn any_replica(choices: &mut Choices<'_>) -> ReplicaId {
    let byte = choices.byte();
    ReplicaId {
        node: NodeId::new(match byte & 7 {
            7 => u64::MAX,
            node => node.into(),
        }),
        incarnation: Incarnation::new((byte >> 3 & 3) as u64 / 3),
    }
}

/// Any membership of a few nodes, perhaps an empty one.
pub fn membership(choices: &mut Choices<'_>) -> Membership {
    let [who, voting, leaving] = [choices.byte(), choices.byte(), choices.byte()];
    let nodes = (0..6).filter(|bit| who >> bit & 1 == 1 || who == 0);
    let life = Incarnation::new((who >> 7).into());
    let info = |node: u64| MemberInfo {
        incarnation: if node == 3 {
            life
        } else {
            Incarnation::default()
        },
        ..MemberInfo::default()
    };
    let members: BTreeMap<_, _> = nodes
        .map(|bit| (NodeId::new(bit + 1), info(bit + 1)))
        .collect();
    let those_in = |mask: u8| {
        let ids = members.keys().copied();
        let ids = ids.filter(|id| mask >> (id.get() - 1) & 1 == 1 || mask & 63 == 0);
        ids.collect()
    };
    let outgoing = (leaving & 128 != 0).then(|| those_in(leaving));
    let voters = those_in(voting);
    Membership::from_parts(members, voters, outgoing).unwrap_or_default()
}

/// Any change of a few steps.
pub fn change(choices: &mut Choices<'_>) -> MembershipChange {
    let mut change = MembershipChange::new();
    for _ in 0..choices.below(4) {
        let replica = any_replica(choices);
        let info = MemberInfo {
            incarnation: replica.incarnation,
            ..MemberInfo::default()
        };
        change = match choices.below(5) {
            0 => change.add_learner(replica.node, info),
            1 => change.promote(replica.node),
            2 => change.demote(replica.node),
            3 => change.remove(replica.node),
            _ => change.update(replica.node, info),
        };
    }
    change
}
