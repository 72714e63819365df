//! What a store knows of a group's log without asking the database.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft_core::{EntryMeta, GroupId, LogBounds, LogIndex, LogSlice, StoredEntry};

use crate::answers::{Answers, spans};
use crate::recent::Recent;

/// Memory for recent entries, shared evenly by the groups of a store.
#[derive(Debug)]
pub(crate) struct RecentBudget {
    bytes: usize,
    groups: AtomicUsize,
}

impl RecentBudget {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        let groups = AtomicUsize::new(0);
        Arc::new(Self { bytes, groups })
    }

    fn share(&self) -> usize {
        self.bytes / self.groups.load(Ordering::Relaxed).max(1)
    }
}

/// One group's log, shared by all handles to it.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: GroupId,
    /// As it will be once what is planned is written; changed at the desk alone.
    staged: Mutex<Staged>,
    /// As it is durable.
    shown: Mutex<Shown>,
    budget: Arc<RecentBudget>,
}

/// What the next change builds on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Staged {
    pub(crate) bounds: LogBounds,
    /// Whether there may be copies of damaged entries.
    pub(crate) has_copies: bool,
    /// No run begins before this position any more.
    pub(crate) deleted_below: LogIndex,
}

#[derive(Debug)]
struct Shown {
    bounds: LogBounds,
    recent: Recent,
}

/// What memory says to a question about the log.
#[derive(Debug)]
pub(crate) enum FromMemory<T> {
    /// All of the answer.
    Found(T),
    /// Nothing of the log is asked for, so this is all of the answer.
    Outside(T),
    /// The database has to be asked; these are the bounds to ask within.
    Missing(LogBounds),
}

impl Group {
    pub(crate) fn new(
        id: GroupId,
        bounds: LogBounds,
        has_copies: bool,
        budget: Arc<RecentBudget>,
    ) -> Self {
        budget.groups.fetch_add(1, Ordering::Relaxed);
        let staged = Staged {
            bounds,
            has_copies,
            deleted_below: LogIndex::ZERO,
        };
        let recent = Recent::default();
        Self {
            id,
            staged: Mutex::new(staged),
            shown: Mutex::new(Shown { bounds, recent }),
            budget,
        }
    }

    pub(crate) fn bounds(&self) -> LogBounds {
        lock(&self.shown).bounds
    }

    /// What the next change builds on. For whoever is at the desk.
    pub(crate) fn staged(&self) -> MutexGuard<'_, Staged> {
        lock(&self.staged)
    }

    /// An append is durable.
    pub(crate) fn show_append(&self, cut: Option<LogIndex>, entries: LogSlice, after: LogBounds) {
        let mut shown = lock(&self.shown);
        if let Some(cut) = cut {
            shown.recent.cut(cut);
        }
        shown.recent.push(entries, self.budget.share());
        shown.bounds = after;
    }

    /// A purge is durable.
    pub(crate) fn show_purge(&self, after: LogBounds) {
        let mut shown = lock(&self.shown);
        shown.recent.purge(after.purged.index);
        shown.bounds = after;
    }

    /// A reset is durable.
    pub(crate) fn show_reset(&self, after: LogBounds) {
        let mut shown = lock(&self.shown);
        shown.recent.clear();
        shown.bounds = after;
    }

    /// The entries of a range, if memory has all of them.
    pub(crate) fn entries(
        &self,
        first: LogIndex,
        last: LogIndex,
        max_bytes: usize,
    ) -> FromMemory<Vec<StoredEntry>> {
        let shown = lock(&self.shown);
        let bounds = shown.bounds;
        let begin = first.max(bounds.purged.index.next());
        let end = last.min(bounds.last.index);
        let slices = match shown.recent.slices(begin, end, max_bytes) {
            Some(slices) => slices,
            None if spans(bounds, begin) && begin <= last => return FromMemory::Missing(bounds),
            None => Vec::new(),
        };
        drop(shown);
        let mut answers = Answers::new(max_bytes);
        answers.put_absent(bounds, first, last);
        for entry in slices.iter().flat_map(LogSlice::entries) {
            if !answers.has_room() {
                break;
            }
            answers.put(StoredEntry::Entry(entry.clone()));
        }
        // What lies behind the end is asked for too, and one answer says so.
        if !slices.is_empty() && last > end && answers.has_room() {
            answers.put_absent(bounds, end.next(), last);
        }
        if slices.is_empty() {
            FromMemory::Outside(answers.into_vec())
        } else {
            FromMemory::Found(answers.into_vec())
        }
    }

    /// Metadata of a range, at most so many of it, if memory has all of it.
    pub(crate) fn metadata(
        &self,
        first: LogIndex,
        last: LogIndex,
        most: usize,
    ) -> FromMemory<Vec<EntryMeta>> {
        let shown = lock(&self.shown);
        let bounds = shown.bounds;
        let begin = first.max(bounds.purged.index.next());
        let end = last.min(bounds.last.index);
        if begin > end {
            return FromMemory::Outside(Vec::new());
        }
        let Some(slices) = shown.recent.slices(begin, end, usize::MAX) else {
            return FromMemory::Missing(bounds);
        };
        drop(shown);
        let entries = slices.iter().flat_map(LogSlice::entries);
        FromMemory::Found(entries.take(most).map(EntryMeta::from).collect())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.budget.groups.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change of these values is complete before anything in it can panic.
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
