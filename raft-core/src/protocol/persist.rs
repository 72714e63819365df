//! What a step changes in the durable state, and what follows when it is durable.
//!
//! A step only notes what it changes; at its end all of it is asked for at once.

use super::Raft;
use super::log::Fetched;
use super::output::{Output, Persist, PersistToken};
use crate::entry::LogSlice;
use crate::types::{LogId, LogIndex};

/// Changes of the durable state that the current step made; one persist request at its end.
#[derive(Clone, Debug, Default)]
pub(super) struct Staged {
    pub(super) hard_state: bool,
    reset: Option<LogId>,
    truncate_from: Option<LogIndex>,
    /// The first entry that is new; so are all after it.
    first_entry: Option<LogIndex>,
}

impl Staged {
    /// Whether the step changed nothing so far.
    pub(super) const fn is_empty(&self) -> bool {
        !self.hard_state
            && self.reset.is_none()
            && self.truncate_from.is_none()
            && self.first_entry.is_none()
    }
}

impl Raft {
    pub(super) fn on_persisted(&mut self, token: PersistToken) {
        let Some(completed) = self.durability.complete(token) else {
            return;
        };
        for envelope in completed.released {
            self.outputs.push_back(Output::Send(envelope));
        }
        let rises = completed.durable_index > self.log.durable_index();
        self.log.set_durable(completed.durable_index);
        if rises {
            self.forget_finished();
            self.on_entries_durable();
            self.advance_commit();
        }
        self.on_hard_state_durable();
        self.check_health();
    }

    /// The log starts anew after `snapshot`.
    pub(super) fn stage_reset(&mut self, snapshot: LogId) {
        self.durability.cut(snapshot.index);
        self.staged.reset = Some(snapshot);
        self.staged.truncate_from = None;
        self.staged.first_entry = None;
        self.repairs_truncated(LogIndex::ZERO);
    }

    pub(super) fn stage_truncation(&mut self, from: LogIndex) {
        self.repairs_truncated(from);
        self.durability.cut(from.previous().unwrap_or_default());
        // Entries that no disk has seen yet are just not written.
        let unseen = self.staged.first_entry.filter(|first| *first <= from);
        self.staged.first_entry = unseen.filter(|first| *first < from);
        if unseen.is_some() {
            return;
        }
        self.staged.truncate_from = Some(
            self.staged
                .truncate_from
                .map_or(from, |earlier| earlier.min(from)),
        );
    }

    /// The entries from `first` on are in the log and not on disk.
    pub(super) fn stage_entries_from(&mut self, first: LogIndex) {
        self.staged.first_entry.get_or_insert(first);
    }

    /// Asks for everything this step changed to be made durable: term and vote
    /// with the first request, and the entries run by run.
    pub(super) fn begin_persist(&mut self) {
        if self.staged.is_empty() {
            return;
        }
        let Staged {
            hard_state,
            reset,
            truncate_from,
            first_entry,
        } = std::mem::take(&mut self.staged);
        let mut request = Persist {
            token: PersistToken::default(),
            hard_state: hard_state.then_some(self.hard_state),
            reset,
            truncate_from,
            entries: LogSlice::empty(),
        };
        let last = self.log.last().index;
        let mut next = first_entry;
        loop {
            let end = next.map_or(last, |first| {
                request.entries = self.staged_run(first, last);
                request.entries.last().map_or(last, |id| id.index)
            });
            request.token = self.durability.begin(self.now, request.hard_state, end);
            self.outputs.push_back(Output::Persist(request));
            if end >= last {
                return;
            }
            next = Some(end.next());
            request = Persist::default();
        }
    }

    fn staged_run(&mut self, first: LogIndex, last: LogIndex) -> LogSlice {
        match self.log.fetch(first, last, usize::MAX, usize::MAX) {
            Fetched::Entries(entries) => entries,
            Fetched::OnDisk(_) => panic!("what is not durable is always in memory"),
        }
    }
}
