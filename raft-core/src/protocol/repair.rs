//! Damaged entries: what is known of them, and how they are mended from peers.
//!
//! An entry is identified by term and index (Raft §5.3), and its metadata
//! outlives its payload. So a damaged entry still counts where logs are compared,
//! is not claimed as a durable copy, and any peer that holds the very same
//! entry can replace it. The replacement is of use at once, and claimed as a
//! durable copy when the store says that it is one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::event::{Event, StepDownReason};
use super::log::Fetched;
use super::output::Output;
use super::replication::ProgressState;
use super::role::Role;
use super::{LogReadPurpose, Raft};
use crate::entry::{Entry, LogSlice};
use crate::message::{Envelope, FetchEntry, FetchedEntry, Message};
use crate::time::Timestamp;
use crate::types::{LogId, LogIndex, ReplicaId, Term};

/// Most entries read for peers at a time.
const MAX_FETCHES: usize = 64;

/// For how many election timeouts a replica with lasting damage leads if it can,
/// then does not, and so on.
const TURN: u32 = 8;

/// Most replacements kept in memory.
const MAX_MENDED: usize = 64;

/// What is known of damage to the log.
#[derive(Clone, Debug, Default)]
pub(super) struct Repairs {
    damaged: BTreeMap<LogIndex, Damaged>,
    /// Mended durably, and perhaps not yet readable from the store.
    mended: BTreeMap<LogIndex, Entry>,
}

#[derive(Clone, Debug)]
pub(super) struct Damaged {
    pub(super) log_id: LogId,
    since: Timestamp,
    ask_at: Timestamp,
    /// The term in which it was found.
    pub(super) found_in: Term,
    /// Who does not hold it, as far as the peers said it in `absent_in`.
    pub(super) absent: BTreeSet<ReplicaId>,
    pub(super) absent_in: Term,
    /// What a peer sent in its place, until the store has it.
    copy: Option<Entry>,
}

impl Repairs {
    pub(super) fn damaged_count(&self) -> usize {
        self.missing(LogIndex::ZERO, LogIndex::new(u64::MAX))
            .count()
    }

    /// Damaged, and no copy is here.
    fn missing(
        &self,
        first: LogIndex,
        last: LogIndex,
    ) -> impl Iterator<Item = (LogIndex, &Damaged)> {
        let range = self.damaged.range(first..=last);
        let missing = range.filter(|(_, damaged)| damaged.copy.is_none());
        missing.map(|(index, damaged)| (*index, damaged))
    }

    /// The same for one entry.
    pub(super) fn missing_at(&mut self, log_id: LogId) -> Option<&mut Damaged> {
        let damaged = self.damaged.get_mut(&log_id.index)?;
        (damaged.log_id == log_id && damaged.copy.is_none()).then_some(damaged)
    }

    fn copy(&self, index: LogIndex) -> Option<&Entry> {
        if self.damaged.is_empty() && self.mended.is_empty() {
            return None;
        }
        let fresh = self.damaged.get(&index).and_then(|d| d.copy.as_ref());
        fresh.or_else(|| self.mended.get(&index))
    }

    /// Makes room for another copy. Those of applied entries can be had again.
    fn has_room(&mut self, applied: LogIndex) -> bool {
        let copies = self.damaged.values().filter(|d| d.copy.is_some()).count();
        if copies < MAX_MENDED {
            return true;
        }
        let mut done = self.damaged.range_mut(..=applied);
        let evicted = done.find_map(|(_, damaged)| damaged.copy.take());
        evicted.is_some()
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
                found_in: self.hard_state.current_term,
                absent: BTreeSet::new(),
                absent_in: Term::default(),
                copy: None,
            },
        );
        self.durability.drop_claims_from(index);
        self.emit(Event::EntryDamaged { log_id });
        self.check_repairs();
    }

    /// An entry was found damaged that may have been replaced since.
    pub(super) fn on_entry_damaged(&mut self, log_id: LogId) {
        if self.log.contains(log_id) {
            self.note_damage(log_id.index);
        }
    }

    /// Whether the entry at `index` is known to be damaged, and no copy is here.
    pub(super) fn is_damaged(&self, index: LogIndex) -> bool {
        !self.repairs.damaged.is_empty() && self.repairs.missing(index, index).next().is_some()
    }

    /// How far our log is durable and undamaged on disk, not counting what is applied.
    pub(super) fn sound_index(&self) -> LogIndex {
        let durable = self.log.durable_index();
        if self.repairs.damaged.is_empty() {
            return durable;
        }
        let next = self.log.last_applied().next();
        let damaged = self.repairs.damaged.range(next..).next();
        let sound = damaged.and_then(|(first, _)| first.previous());
        sound.map_or(durable, |sound| sound.min(durable))
    }

    /// How far our log can be read, not counting what is applied.
    pub(super) fn unbroken_index(&self) -> LogIndex {
        let (next, last) = (self.log.last_applied().next(), self.log.last().index);
        if next > last || self.repairs.damaged.is_empty() {
            return last;
        }
        let missing = self.repairs.missing(next, last).next();
        let unbroken = missing.and_then(|(first, _)| first.previous());
        unbroken.unwrap_or(last)
    }

    /// Entries as `RaftLog::fetch` gives them, mended ones included.
    pub(super) fn fetch_log(
        &mut self,
        first: LogIndex,
        last: LogIndex,
        max_entries: usize,
        max_bytes: usize,
    ) -> Fetched {
        if let Some(entry) = self.repairs.copy(first) {
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
        let mut wanted = Vec::new();
        let missing = self.repairs.damaged.values_mut();
        for damaged in missing.filter(|d| d.copy.is_none()).take(MAX_FETCHES) {
            if damaged.ask_at <= now {
                damaged.ask_at = now + interval;
                wanted.push(damaged.log_id);
            }
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
        self.give_way_to_damage();
    }

    /// A leader that cannot read what it needs hands over to somebody who can. If
    /// nobody can, and the entry is not known to be committed, it gives way.
    fn give_way_to_damage(&mut self) {
        if self.damage_lasts(self.config.election_timeout_max) {
            self.hand_over_for_health();
        }
        if matches!(self.role, Role::Leader(_)) && self.is_unfit_by_damage() {
            self.become_follower(self.hard_state.current_term, StepDownReason::Unfit);
        }
    }

    fn damage_lasts(&self, patience: Duration) -> bool {
        let (next, last) = (self.log.last_applied().next(), self.log.last().index);
        next <= last
            && self
                .repairs
                .missing(next, last)
                .any(|(_, damaged)| self.now.since(damaged.since) >= patience)
    }

    /// Whether somebody else should lead for a while, because of damage to an entry
    /// that is not known to be committed.
    ///
    /// Whoever lacks such an entry can lead and replace it; if a quorum had it,
    /// somebody would have sent it. But all others may have purged it, and then
    /// nobody else can win against our log: so we take turns with them.
    pub(super) fn is_unfit_by_damage(&self) -> bool {
        let turn = self.config.election_timeout_max * TURN;
        let (next, last) = (self.log.commit_index().next(), self.log.last().index);
        if next > last {
            return false;
        }
        let oldest = self.repairs.missing(next, last);
        let oldest = oldest.map(|(_, damaged)| damaged.since).min();
        let turns = oldest.map(|since| self.now.since(since).as_nanos() / turn.as_nanos());
        turns.is_some_and(|turns| turns % 2 == 1)
    }

    /// When `check_repairs` has something to do.
    pub(super) fn repair_deadline(&self) -> Option<Timestamp> {
        if self.repairs.damaged.is_empty() {
            return None;
        }
        let missing = self.repairs.damaged.values().filter(|d| d.copy.is_none());
        missing
            .take(MAX_FETCHES)
            .map(|damaged| damaged.ask_at)
            .min()
    }

    /// A peer's copy is damaged.
    pub(super) fn on_fetch_entry(&mut self, from: ReplicaId, body: FetchEntry) {
        let index = body.log_id.index;
        if index <= self.log.purged().index {
            self.replace_by_snapshot(from, index);
            return self.answer_purged(from, body.log_id);
        }
        if !self.log.contains(body.log_id) {
            return self.answer_not_held(from, body.log_id);
        }
        if self.is_damaged(index) {
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

    /// Whether damage at or below `index` keeps the state machine from getting there.
    pub(super) fn damage_blocks(&self, index: LogIndex) -> bool {
        // What is handed to the state machine was read.
        let next = self.applying_up_to.max(self.log.last_applied()).next();
        index >= next && self.repairs.missing(next, index).next().is_some()
    }

    /// Whether peers had time to mend the entry at `index` and did not, though
    /// its effect is applied: then a snapshot can take its place.
    pub(super) fn is_beyond_mending(&self, index: LogIndex) -> bool {
        let patience = self.config.election_timeout_min;
        let mut damaged = self.repairs.missing(index, index);
        index <= self.log.last_applied()
            && damaged.any(|(_, damaged)| self.now.since(damaged.since) >= patience)
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
        let log_id = entry.log_id;
        let missing = self.repairs.missing(index, index).next();
        if missing.is_none_or(|(_, damaged)| damaged.log_id != log_id) {
            return self.drop_message(envelope.from, "an entry that nobody asked for");
        }
        if !self.repairs.has_room(self.log.last_applied()) {
            return self.drop_message(envelope.from, "an entry for which there is no room yet");
        }
        if let Some(damaged) = self.repairs.damaged.get_mut(&index) {
            damaged.copy = Some(entry.clone());
        }
        self.log.learn_membership(&entry);
        self.emit(Event::EntryMended { log_id });
        let run = LogSlice::new(vec![entry]).expect("one entry is a run");
        self.outputs.push_back(Output::Repair(run));
    }

    /// The store holds an undamaged copy, durably; now it counts as one.
    pub(super) fn on_repaired(&mut self, log_id: LogId) {
        let index = log_id.index;
        let damaged = self.repairs.damaged.get(&index);
        if damaged.is_none_or(|damaged| damaged.log_id != log_id || damaged.copy.is_none()) {
            return;
        }
        if let Some(copy) = self.repairs.damaged.remove(&index).and_then(|d| d.copy) {
            while self.repairs.mended.len() >= MAX_MENDED {
                self.repairs.mended.pop_first();
            }
            self.repairs.mended.insert(index, copy);
        }
        self.offer_copy_below(index);
        self.on_entries_durable();
        self.advance_commit();
    }

    /// A store that writes its log anew from a damaged entry on could not do so
    /// before what follows was mended: now it can, perhaps.
    fn offer_copy_below(&mut self, index: LogIndex) {
        let below = self.repairs.damaged.range(..index).next_back();
        if let Some(copy) = below.and_then(|(_, damaged)| damaged.copy.clone()) {
            let run = LogSlice::new(vec![copy]).expect("one entry is a run");
            self.outputs.push_back(Output::Repair(run));
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
