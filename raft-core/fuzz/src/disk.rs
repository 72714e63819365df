//! A log store and a vote store that are as slow and as damaged as the choices say.
//!
//! It holds the replica to what `Output` promises: writes leave a log without
//! gaps, and only what is durable is read back or claimed.

use std::collections::{BTreeSet, VecDeque};

use raft_core::protocol::{Persist, PersistToken, ReadLog};
use raft_core::{Entry, HardState, LogId, LogIndex, LogSlice};

use crate::choices::Choices;

/// A write that is under way.
#[derive(Debug)]
pub enum Write {
    /// Answered when it is done.
    Persist(Persist),
    /// Not answered.
    Purge(LogId),
    /// Not answered.
    Repair(LogSlice),
}

/// What is durable, and what is on its way there.
#[derive(Debug)]
pub struct Disk {
    /// Term and vote.
    pub hard_state: HardState,
    /// The entry before the first one.
    pub purged: LogId,
    /// The entries.
    pub entries: Vec<Entry>,
    /// Which of them are damaged.
    damaged: BTreeSet<LogIndex>,
    repaired: Vec<LogId>,
    /// All that was ever durable.
    past: BTreeSet<LogId>,
    /// Writes, in order.
    queue: VecDeque<Write>,
    /// The last write that was done.
    pub last_done: PersistToken,
    /// Reads that wait for their answer.
    pub reads: Vec<ReadLog>,
}

impl Disk {
    /// A disk on which this is durable.
    pub fn holding(hard_state: HardState, purged: LogId, entries: Vec<Entry>) -> Self {
        Self {
            hard_state,
            purged,
            past: entries.iter().map(|entry| entry.log_id).collect(),
            entries,
            damaged: BTreeSet::new(),
            repaired: Vec::new(),
            queue: VecDeque::new(),
            last_done: PersistToken(0),
            reads: Vec::new(),
        }
    }

    /// The last entry, or the purged position.
    pub fn last(&self) -> LogId {
        self.entries.last().map_or(self.purged, |e| e.log_id)
    }

    fn position(&self, index: LogIndex) -> Option<usize> {
        let offset = index.get().checked_sub(self.purged.index.get())?;
        usize::try_from(offset).ok()?.checked_sub(1)
    }

    /// Whether exactly this entry is durable.
    pub fn holds(&self, id: LogId) -> bool {
        let held = self.position(id.index).and_then(|at| self.entries.get(at));
        id == self.purged || held.is_some_and(|entry| entry.log_id == id)
    }

    /// Whether exactly this entry has ever become durable here.
    pub fn has_held(&self, id: LogId) -> bool {
        self.past.contains(&id)
    }

    /// Takes a write in.
    pub fn begin(&mut self, write: Write) {
        self.queue.push_back(write);
    }

    /// How many writes are under way.
    pub fn under_way(&self) -> usize {
        self.queue.len()
    }

    /// Does the first `count` writes. Answers the last token among them.
    pub fn finish(&mut self, count: usize) -> Option<PersistToken> {
        let mut done = None;
        for _ in 0..count.min(self.queue.len()) {
            match self.queue.pop_front() {
                Some(Write::Persist(persist)) => {
                    done = Some(persist.token);
                    self.persist(persist);
                }
                Some(Write::Purge(up_to)) => self.purge(up_to),
                Some(Write::Repair(entries)) => self.repair(entries),
                None => {}
            }
        }
        self.last_done = done.unwrap_or(self.last_done);
        done
    }

    /// What was mended since this was asked last.
    pub fn take_repaired(&mut self) -> Vec<LogId> {
        std::mem::take(&mut self.repaired)
    }

    /// What a start that reads everything finds damaged.
    pub fn damaged(&self) -> impl Iterator<Item = LogIndex> + '_ {
        self.damaged.iter().copied()
    }

    /// A crash: what is under way is lost.
    pub fn crash(&mut self) {
        self.queue.clear();
        self.reads.clear();
        self.repaired.clear();
        self.last_done = PersistToken(0);
    }

    /// The log is replaced by the position of a snapshot.
    pub fn reset(&mut self, snapshot: LogId) {
        self.purged = snapshot;
        self.entries.clear();
        self.damaged.clear();
    }

    fn persist(&mut self, persist: Persist) {
        self.hard_state = persist.hard_state.unwrap_or(self.hard_state);
        if let Some(snapshot) = persist.reset {
            assert_eq!(persist.truncate_from, None, "a reset and a cut in one");
            self.reset(snapshot);
        }
        if let Some(from) = persist.truncate_from {
            let at = self.position(from).expect("cuts what is purged");
            assert!(at < self.entries.len(), "cuts at {from}, beyond the end");
            self.entries.truncate(at);
            drop(self.damaged.split_off(&from));
        }
        for entry in persist.entries.into_entries() {
            let last = self.last();
            assert_eq!(entry.index(), last.index.next(), "a gap after {last}");
            assert!(entry.term() >= last.term, "a term falls after {last}");
            self.past.insert(entry.log_id);
            self.entries.push(entry);
        }
        let (last, state) = (self.last(), self.hard_state);
        assert!(
            last.term <= state.current_term,
            "{last} is durable, its term is not: {state:?}"
        );
    }

    fn purge(&mut self, up_to: LogId) {
        let Some(at) = self.position(up_to.index) else {
            return;
        };
        assert!(
            self.holds(up_to),
            "purges up to {up_to}, which is not there"
        );
        self.entries.drain(..=at);
        self.purged = up_to;
        self.damaged = self.damaged.split_off(&up_to.index.next());
    }

    fn repair(&mut self, entries: LogSlice) {
        for entry in entries.into_entries() {
            let at = self.position(entry.index());
            let held = at.and_then(|at| self.entries.get_mut(at));
            if let Some(held) = held.filter(|held| held.log_id == entry.log_id) {
                self.damaged.remove(&entry.index());
                self.repaired.push(entry.log_id);
                *held = entry;
            }
        }
    }

    /// Damages one of the entries.
    pub fn damage(&mut self, choices: &mut Choices<'_>) {
        if !self.entries.is_empty() {
            let at = choices.below(self.entries.len().min(256));
            self.damaged.insert(self.entries[at].index());
        }
    }

    /// What is there of the run that `read` asks for, perhaps not all of it, and
    /// the damaged entry that ends it.
    pub fn answer(
        &mut self,
        read: &ReadLog,
        choices: &mut Choices<'_>,
    ) -> (LogSlice, Option<LogIndex>) {
        let how = choices.byte();
        let most = match how & 3 {
            0 => usize::from(how >> 6),
            _ => usize::MAX,
        };
        if how & 31 == 31 {
            // Damage shows when somebody looks.
            let found = read.first.plus(u64::from(how >> 6));
            if self
                .position(found)
                .is_some_and(|at| at < self.entries.len())
            {
                self.damaged.insert(found);
            }
        }
        let start = self.position(read.first).unwrap_or(usize::MAX);
        let wanted = self.entries.iter().skip(start);
        let wanted = wanted.take_while(|entry| entry.index() <= read.last);
        let (mut run, mut bytes) = (Vec::new(), 0);
        for entry in wanted.take(most) {
            if self.damaged.contains(&entry.index()) {
                return (run_of(run), Some(entry.index()));
            }
            bytes += entry.size();
            if !run.is_empty() && bytes > read.max_bytes {
                break;
            }
            run.push(entry.clone());
        }
        (run_of(run), None)
    }
}

fn run_of(entries: Vec<Entry>) -> LogSlice {
    LogSlice::new(entries).expect("what is durable is a run")
}
