//! One replica, with its disk and the least of a state machine.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::fingerprint::{self, mix};
use crate::config::Config;
use crate::hard_state::HardState;
use crate::membership::Membership;
use crate::protocol::{Persist, PersistToken, Raft, Restored};
use crate::testing::sim::image::LogImage;
use crate::time::Timestamp;
use crate::types::{LogId, LogIndex, ReplicaId};

/// A node through all its starts.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) raft: Raft,
    pub(super) clock: Timestamp,
    /// What is durable.
    pub(super) hard_state: HardState,
    pub(super) log: LogImage,
    /// What is on its way to the disk.
    pub(super) queue: VecDeque<Persist>,
    starts: u64,
}

impl Node {
    /// A founder of `founders` that has nothing yet.
    pub(super) fn new(replica: ReplicaId, founders: &Membership) -> Self {
        let restored = Restored::new_group(founders.clone());
        Self {
            raft: build(replica, 0, restored),
            clock: Timestamp::ZERO,
            hard_state: HardState::default(),
            log: LogImage::default(),
            queue: VecDeque::new(),
            starts: 0,
        }
    }

    /// How long after a leader was heard it votes for nobody.
    pub(super) fn patience(&self) -> Duration {
        self.raft.config().election_timeout_min
    }

    /// The oldest write is done.
    pub(super) fn finish_write(&mut self) -> Option<PersistToken> {
        let persist = self.queue.pop_front()?;
        self.save(&persist);
        Some(persist.token)
    }

    fn save(&mut self, persist: &Persist) {
        self.hard_state = persist.hard_state.unwrap_or(self.hard_state);
        self.log
            .write(persist.truncate_from, &persist.entries)
            .expect("the specification has seen that it follows");
    }

    /// It stops after so many of its writes, perhaps with term and vote of the next, and
    /// starts again.
    pub(super) fn restart(&mut self, kept: usize, and_ballot: bool, founders: &Membership) {
        let queue = std::mem::take(&mut self.queue);
        for persist in queue.iter().take(kept) {
            self.save(persist);
        }
        if let Some(next) = queue.get(kept).filter(|_| and_ballot) {
            self.hard_state = next.hard_state.unwrap_or(self.hard_state);
        }
        self.starts += 1;
        let restored = Restored {
            hard_state: self.hard_state,
            purged: LogId::ZERO,
            entries: self.log.metas(),
            membership: Arc::new(founders.clone()),
            membership_entries: self.log.memberships(),
            last_applied: LogIndex::ZERO,
            damaged: Vec::new(),
        };
        self.raft = build(self.raft.config().replica, self.starts, restored);
        self.clock = Timestamp::ZERO;
    }

    /// Tells this node's states apart.
    pub(super) fn fingerprint(&self) -> u64 {
        let on_disk = (self.hard_state, &self.queue, self.starts);
        let state = mix(fingerprint::of(&self.raft), fingerprint::of(&on_disk));
        mix(mix(state, self.log.digest()), fingerprint::of(&self.clock))
    }
}

fn build(replica: ReplicaId, starts: u64, restored: Restored) -> Raft {
    let seed = replica.node.get() + 1000 * starts;
    let config = Config::new(replica, seed);
    Raft::restore(config, restored, Timestamp::ZERO).expect("a crash leaves a state to start from")
}
