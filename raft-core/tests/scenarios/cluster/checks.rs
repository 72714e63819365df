//! What must hold in every scenario, whatever its text expects.

use std::collections::BTreeMap;

use raft_core::message::{AppendResult, Message};
use raft_core::protocol::{Event, RoleKind};
use raft_core::{Entry, Envelope, LogId, LogIndex, NodeId, Raft, Term};

use super::host::Host;

/// What was seen so far, to compare with.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    leaders: BTreeMap<Term, NodeId>,
    committed: BTreeMap<LogIndex, LogId>,
    applied: BTreeMap<LogIndex, Entry>,
}

impl Checks {
    /// The last entry that anybody knew to be committed.
    pub(crate) fn committed(&self) -> LogIndex {
        self.committed
            .keys()
            .next_back()
            .copied()
            .unwrap_or_default()
    }

    /// How many terms `node` has led.
    pub(crate) fn terms_led_by(&self, node: NodeId) -> usize {
        self.leaders
            .values()
            .filter(|leader| **leader == node)
            .count()
    }

    /// After each step: what is committed stays, and a leader has all of it (Raft figure 3).
    pub(crate) fn observe(&mut self, raft: &Raft) -> Result<(), String> {
        let status = raft.status();
        let node = status.replica.node;
        let mut index = status.purged.index.next();
        while index <= status.commit_index {
            let here = raft.term_at(index).map(|term| LogId { term, index });
            let known = here.map(|here| *self.committed.entry(index).or_insert(here));
            if known != here || here.is_none() {
                return Err(format!("{node} committed {here:?}, but {known:?} was"));
            }
            index = index.next();
        }
        if status.role == RoleKind::Leader {
            let of_older_terms = self.committed.values().filter(|id| id.term < status.term());
            for id in of_older_terms.filter(|id| id.index > status.purged.index) {
                if raft.term_at(id.index) != Some(id.term) {
                    return Err(format!("{node} leads without {id}, which is committed"));
                }
            }
        }
        Ok(())
    }

    /// A term has one leader (Raft §5.2).
    pub(crate) fn event(&mut self, node: NodeId, event: &Event) -> Result<(), String> {
        let Event::BecameLeader { term } = event else {
            return Ok(());
        };
        match *self.leaders.entry(*term).or_insert(node) {
            leader if leader == node => Ok(()),
            leader => Err(format!("{node} and {leader} both lead {term}")),
        }
    }

    /// All state machines apply the same (Raft §5.4.3).
    pub(crate) fn applies(&mut self, node: NodeId, entries: &[Entry]) -> Result<(), String> {
        for entry in entries {
            let known = self.applied.entry(entry.index()).or_insert(entry.clone());
            if known != entry {
                return Err(format!(
                    "{node} applies {entry:?}, others applied {known:?}"
                ));
            }
        }
        Ok(())
    }

    /// A linearizable read misses nothing that was committed when it was asked.
    pub(crate) fn reads(&self, asked_at: LogIndex, index: LogIndex) -> Result<(), String> {
        match index >= asked_at {
            true => Ok(()),
            false => Err(format!("a read saw {index}, but {asked_at} was committed")),
        }
    }
}

/// A message claims nothing durable that neither the log on disk nor the durable
/// state of the state machine holds yet.
pub(crate) fn claims_hold(envelope: &Envelope, host: &Host) -> Result<(), String> {
    let state = host.disk.hard_state;
    let is_durable =
        |id: LogId| id.index <= host.machine.durable.applied.index || host.disk.holds(id);
    let holds = match &envelope.message {
        Message::RequestVoteReply(reply) if reply.granted => {
            state.current_term == reply.vote_term && state.voted_for == Some(envelope.to)
        }
        Message::AppendReply(reply) => match reply.result {
            AppendResult::Accepted { durable, .. } => is_durable(durable),
            AppendResult::Rejected { .. } => true,
        },
        Message::HeartbeatReply(reply) => is_durable(reply.durable),
        _ => true,
    };
    match holds && envelope.term <= state.current_term {
        true => Ok(()),
        false => Err(format!("{envelope:?} claims what is not durable")),
    }
}
