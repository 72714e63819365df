//! One node: its replica while it runs, its disk, its state machine and its clients.

use std::collections::BTreeMap;

use raft_core::protocol::{SnapshotToken, Ticket};
use raft_core::{
    Config, Entry, HardState, Incarnation, LogId, Membership, Payload, Raft, ReplicaId, Timestamp,
};

use super::disk::{Disk, Machine, State};
use super::network::Offers;

/// A node.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) replica: ReplicaId,
    first_membership: Membership,
    /// Nothing while it is down.
    pub(crate) raft: Option<Raft>,
    /// It does not run for a while: messages wait, and it sees no clock.
    pub(crate) is_paused: bool,
    pub(crate) disk: Disk,
    pub(crate) machine: Machine,
    /// What its clients proposed since it started.
    pub(crate) proposals: BTreeMap<Ticket, String>,
    pub(crate) offers: Offers,
    last_offer: SnapshotToken,
    starts: u64,
}

impl Host {
    /// A node with an empty disk.
    pub(crate) fn new(replica: ReplicaId, membership: Membership) -> Self {
        let state = State {
            membership: membership.clone(),
            ..State::default()
        };
        Self {
            replica,
            first_membership: membership,
            raft: None,
            is_paused: false,
            disk: Disk::default(),
            machine: Machine {
                state: state.clone(),
                durable: state,
                ..Machine::default()
            },
            proposals: BTreeMap::new(),
            offers: Offers::new(),
            last_offer: SnapshotToken(0),
            starts: 0,
        }
    }

    /// Starts the replica from what the disk holds.
    pub(crate) fn start(&mut self, options: &Config, now: Timestamp) -> Result<(), String> {
        self.starts += 1;
        let life = 100 * self.replica.incarnation.get() + self.starts;
        let config = Config {
            replica: self.replica,
            seed: self.replica.node.get() * 10_000 + life,
            ..options.clone()
        };
        let applied = self.machine.durable.applied;
        if !self.disk.holds(applied) {
            // The state machine got a snapshot, and the log did not follow.
            self.disk.reset(applied);
        }
        let restored = self
            .disk
            .restored(&self.machine.durable, &self.first_membership);
        let raft = Raft::restore(config, restored, now).map_err(|error| error.to_string())?;
        self.raft = Some(raft);
        Ok(())
    }

    /// Stops at once; only what is durable stays.
    pub(crate) fn crash(&mut self) {
        self.raft = None;
        self.disk.waiting.clear();
        self.machine.waiting.clear();
        self.machine.state = self.machine.durable.clone();
        self.proposals.clear();
        self.offers.clear();
    }

    /// Its vote is lost: it is its next life from now on, in the term of what it holds.
    pub(crate) fn lose_vote(&mut self) {
        let next = self.replica.incarnation.get() + 1;
        self.replica.incarnation = Incarnation::new(next);
        let applied = self.machine.durable.applied;
        self.disk.hard_state = HardState {
            current_term: self.disk.last().term.max(applied.term),
            voted_for: None,
        };
    }

    /// Applies committed entries.
    pub(crate) fn apply(&mut self, entries: &[Entry]) {
        for entry in entries {
            let state = &mut self.machine.state;
            assert_eq!(
                state.applied.index.next(),
                entry.index(),
                "applied out of order"
            );
            state.applied = entry.log_id;
            match &entry.payload {
                Payload::Blank => {}
                Payload::Command { data, .. } => {
                    let text = String::from_utf8_lossy(data).into_owned();
                    state.commands.push(text);
                }
                Payload::Membership(membership) => state.membership = membership.as_ref().clone(),
            }
        }
    }

    /// The state machine becomes durable as it is.
    pub(crate) fn checkpoint(&mut self) -> LogId {
        self.machine.durable = self.machine.state.clone();
        self.machine.durable.applied
    }

    /// The state machine takes a snapshot's state, durably.
    pub(crate) fn install(&mut self, state: State) {
        self.machine.durable = state.clone();
        self.machine.state = state;
    }

    /// A name for a snapshot that is offered.
    pub(crate) fn next_offer(&mut self) -> SnapshotToken {
        self.last_offer = SnapshotToken(self.last_offer.0 + 1);
        self.last_offer
    }
}
