//! Damaged entries: what is known of them, and how they are mended from peers.
//!
//! An entry is identified by term and index (Raft §5.3), and its metadata
//! outlives its payload. So a damaged entry still counts where logs are compared,
//! is not claimed as a durable copy, and any peer that holds the very same
//! entry can replace it.

use std::collections::BTreeMap;

use super::event::Event;
use super::log::Fetched;
use super::output::Output;
use super::replication::ProgressState;
use super::role::Role;
use super::{LogReadPurpose, Raft};
use crate::entry::{Entry, LogSlice};
use crate::message::{Envelope, FetchEntry, FetchedEntry, Message};
use crate::time::Timestamp;
use crate::types::{LogId, LogIndex, ReplicaId};

/// Most entries read for peers at a time.
const MAX_FETCHES: usize = 64;

/// Most mended entries kept in memory; the store has them by then.
const MAX_MENDED: usize = 64;

/// What is known of damage to the log.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    damaged: BTreeMap<LogIndex, Damaged>,
    /// Mended, and perhaps not yet readable from the store.
    mended: BTreeMap<LogIndex, Entry>,
}

#[derive(Debug)]
struct Damaged {
    log_id: LogId,
    since: Timestamp,
    ask_at: Timestamp,
}

impl Repairs {
    pub(super) fn damaged_count(&self) -> usize {
        self.damaged.len()
    }
}

impl Raft {
    /// The log store found the entry at `index` damaged.
    pub(super) fn note_damage(&mut self, index: LogIndex) {
        let Some(log_id) = self.log.id_at(index) else {
            return;
        };
        if index <= self.log.purged().index || self.repairs.damaged.contains_key(&index) {
            return;
        }
        self.repairs.mended.remove(&index);
        self.repairs.damaged.insert(
            index,
            Damaged {
                log_id,
                since: self.now,
                ask_at: self.now,
            },
        );
        self.emit(Event::EntryDamaged { log_id });
        self.check_repairs();
    }

    /// Whether the entry at `index` is known to be damaged and not mended yet.
    pub(super) fn is_damaged(&self, index: LogIndex) -> bool {
        self.repairs.damaged.contains_key(&index)
    }

    /// How far our log is durable and undamaged.
    pub(super) fn sound_index(&self) -> LogIndex {
        self.log.durable_index().min(self.unbroken_index())
    }

    /// How far our log goes without damage to what is not applied yet.
    pub(super) fn unbroken_index(&self) -> LogIndex {
        let next = self.log.last_applied().next();
        match self.repairs.damaged.range(next..).next() {
            Some((first, _)) => first.previous().unwrap_or_default(),
            None => self.log.last().index,
        }
    }

    /// Entries as `RaftLog::fetch` gives them, mended ones included.
    pub(super) fn fetch_log(
        &mut self,
        first: LogIndex,
        last: LogIndex,
        max_entries: usize,
        max_bytes: usize,
    ) -> Fetched {
        if let Some(entry) = self.repairs.mended.get(&first) {
            let run = LogSlice::new(vec![entry.clone()]).expect("one entry is a run");
            return Fetched::Entries(run);
        }
        match self.log.fetch(first, last, max_entries, max_bytes) {
            Fetched::OnDisk(end) => {
                // A read stops short of what is known to be damaged or mended.
                let broken = self.repairs.damaged.range(first..=end).next();
                let mended = self.repairs.mended.range(first..=end).next();
                let stop = broken
                    .map(|(i, _)| *i)
                    .into_iter()
                    .chain(mended.map(|(i, _)| *i));
                let stop = stop.min().and_then(LogIndex::previous);
                Fetched::OnDisk(stop.map_or(end, |stop| stop.max(first).min(end)))
            }
            here @ Fetched::Entries(_) => here,
        }
    }

    /// Asks all members for what is damaged, again and again; a leader that gets
    /// no answer in time hands over to somebody whose log is whole.
    pub(super) fn check_repairs(&mut self) {
        if self.repairs.damaged.is_empty() {
            return;
        }
        let (now, interval) = (self.now, self.config.heartbeat_interval);
        let patience = self.config.election_timeout_max;
        let mut wanted = Vec::new();
        let applied = self.log.last_applied();
        let mut is_hopeless = false;
        for (&index, damaged) in self.repairs.damaged.iter_mut().take(MAX_FETCHES) {
            if damaged.ask_at <= now {
                damaged.ask_at = now + interval;
                wanted.push(damaged.log_id);
            }
            is_hopeless |= index > applied && now.since(damaged.since) >= patience;
        }
        let own = self.config.replica;
        let membership = std::sync::Arc::clone(self.log.membership());
        for log_id in wanted {
            // The leader may be nobody we know, if a membership is what is damaged.
            let leader = self.leader().filter(|&leader| !membership.contains(leader));
            let peers = membership.replicas().chain(leader);
            for peer in peers.filter(|&replica| replica != own) {
                self.send(peer, Message::FetchEntry(FetchEntry { log_id }));
            }
        }
        if is_hopeless {
            self.hand_over_for_health();
        }
    }

    /// When `check_repairs` has something to do.
    pub(super) fn repair_deadline(&self) -> Option<Timestamp> {
        let damaged = self.repairs.damaged.values().take(MAX_FETCHES);
        damaged.map(|damaged| damaged.ask_at).min()
    }

    /// A peer's copy is damaged.
    pub(super) fn on_fetch_entry(&mut self, from: ReplicaId, body: FetchEntry) {
        let index = body.log_id.index;
        if index <= self.log.purged().index {
            return self.replace_by_snapshot(from, index);
        }
        let has_it = self.log.contains(body.log_id);
        if !has_it || self.is_damaged(index) {
            return;
        }
        match self.fetch_log(index, index, 1, usize::MAX) {
            Fetched::Entries(entries) => self.send_fetched(from, entries),
            Fetched::OnDisk(_) if index > self.log.durable_index() => {}
            Fetched::OnDisk(_) => {
                let for_peers =
                    |purpose: &&LogReadPurpose| matches!(purpose, LogReadPurpose::Fetch { .. });
                if self.log_reads.values().filter(for_peers).count() < MAX_FETCHES {
                    self.read_log(LogReadPurpose::Fetch { to: from }, index, index, usize::MAX);
                }
            }
        }
    }

    /// A follower lacks, undamaged, what this leader has purged. One that has
    /// applied the entry says that it holds more, and needs nothing.
    fn replace_by_snapshot(&mut self, follower: ReplicaId, index: LogIndex) {
        if let Role::Leader(leader) = &mut self.role
            && let Some(progress) = leader.followers.get_mut(follower.node)
            && progress.replica == follower
            && progress.received < index
            && !matches!(progress.state, ProgressState::Snapshot { .. })
        {
            progress.begin_snapshot();
        }
    }

    /// Whether damage that is not applied yet lies at or below `index`.
    pub(super) fn damage_blocks(&self, index: LogIndex) -> bool {
        let next = self.log.last_applied().next();
        index >= next && self.repairs.damaged.range(next..=index).next().is_some()
    }

    /// Whether peers had time to mend the entry at `index` and did not, though
    /// its effect is applied: then a snapshot can take its place.
    pub(super) fn is_beyond_mending(&self, index: LogIndex) -> bool {
        let patience = self.config.election_timeout_min;
        let damaged = self.repairs.damaged.get(&index);
        index <= self.log.last_applied()
            && damaged.is_some_and(|damaged| self.now.since(damaged.since) >= patience)
    }

    /// Sends a peer the entry it asked for.
    pub(super) fn send_fetched(&mut self, to: ReplicaId, entries: LogSlice) {
        if let Some(entry) = entries.into_entries().into_iter().next() {
            self.send(to, Message::FetchedEntry(FetchedEntry { entry }));
        }
    }

    /// A peer sent an entry. Only one that we asked for is taken.
    pub(super) fn on_fetched_entry(&mut self, envelope: &Envelope, body: FetchedEntry) {
        let entry = body.entry;
        let index = entry.index();
        let asked = self.repairs.damaged.get(&index);
        if asked.is_none_or(|damaged| damaged.log_id != entry.log_id) {
            return self.drop_message(envelope.from, "an entry that nobody asked for");
        }
        self.repairs.damaged.remove(&index);
        while self.repairs.mended.len() >= MAX_MENDED {
            self.repairs.mended.pop_first();
        }
        self.repairs.mended.insert(index, entry.clone());
        self.log.learn_membership(&entry);
        self.emit(Event::EntryMended {
            log_id: entry.log_id,
        });
        let run = LogSlice::new(vec![entry]).expect("one entry is a run");
        self.outputs.push_back(Output::Repair(run));
        if matches!(self.role, Role::Leader(_)) {
            self.advance_commit();
        }
    }

    /// Entries up to `index` are gone, damage and all.
    pub(super) fn repairs_purged(&mut self, index: LogIndex) {
        let next = index.next();
        self.repairs.damaged = self.repairs.damaged.split_off(&next);
        self.repairs.mended = self.repairs.mended.split_off(&next);
    }

    /// Entries from `index` on are gone, damage and all.
    pub(super) fn repairs_truncated(&mut self, index: LogIndex) {
        drop(self.repairs.damaged.split_off(&index));
        drop(self.repairs.mended.split_off(&index));
    }
}
