//! The writer task: term, vote and entries become durable here, a group at a time.
//!
//! While one sync runs, requests queue; the next sync covers them all. A
//! completion names the last of them. After a failed write nothing is written
//! any more: what the disk holds is not known before the stores are reopened.
//!
//! The queue needs no bound of its own: a leader appends at most
//! `max_uncommitted_bytes` ahead, and a follower gets at most
//! `max_inflight_bytes` ahead of what it acknowledged.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::sync::mpsc;

use super::clock::Stopwatch;
use super::error::NodeError;
use super::inbound::{Completion, Mailbox};
use super::mend::mend;
use super::metrics::{Metrics, gauge_value};
use crate::entry::{Entry, LogSlice};
use crate::hard_state::HardState;
use crate::log_store::{AppendBatch, LogStore};
use crate::protocol::{Persist, PersistToken};
use crate::stable_store::{SavedVote, StableStore};
use crate::types::{Incarnation, LogId, LogIndex};

/// Entries up to this size share a sync; what queues beyond goes with the next
/// one, so that a flood does not make its first entries wait for its last.
const MAX_GROUP_BYTES: usize = 16 << 20;

/// Something to write.
#[derive(Debug)]
pub(super) enum WriteJob {
    Persist(Persist),
    Purge(LogId),
    Repair(LogSlice),
}

/// Where the writer writes.
pub(super) struct Stores {
    pub(super) log: Arc<dyn LogStore>,
    pub(super) stable: Arc<dyn StableStore>,
    /// The life whose votes are saved.
    pub(super) incarnation: Incarnation,
}

impl Stores {
    /// Whether writing needs no task of its own.
    pub(super) fn are_done_at_once(&self) -> bool {
        self.log.is_done_at_once() && self.stable.is_done_at_once()
    }
}

/// Makes durable what comes, in order, until nothing more comes.
pub(super) async fn run(
    stores: Stores,
    mut jobs: mpsc::UnboundedReceiver<WriteJob>,
    mailbox: Arc<Mailbox>,
    metrics: Arc<Metrics>,
) {
    let mut waiting = VecDeque::new();
    while let Some(job) = jobs.recv().await {
        waiting.push_back(job);
        while let Some(work) = next_work(&mut waiting, || jobs.try_recv().ok()) {
            match carry_out(&stores, work, &metrics).await {
                Ok(done) => done.into_iter().for_each(|c| mailbox.complete(c)),
                Err(error) => return mailbox.complete(Completion::Failed(error)),
            }
        }
    }
}

/// The same within the loop, for stores that are done at once: carries out
/// everything that waits. Answers what there is to complete.
pub(super) fn run_at_once(
    stores: &Stores,
    waiting: &mut VecDeque<WriteJob>,
    metrics: &Metrics,
) -> Result<Vec<Completion>, NodeError> {
    let mut completions = Vec::new();
    while let Some(work) = next_work(waiting, || None) {
        let work = pin!(carry_out(stores, work, metrics));
        match work.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => completions.extend(done?),
            Poll::Pending => {
                let what = "it says that it is done at once, and has to wait".to_owned();
                return Err(NodeError::LogStoreContract { what });
            }
        }
    }
    Ok(completions)
}

/// What is carried out as one.
enum Work {
    Group(Group),
    Purge(LogId),
    Repair(LogSlice),
}

/// The first job, with what queued behind it and can share its sync. `more`
/// answers jobs that queued elsewhere, as long as there are any.
fn next_work(
    waiting: &mut VecDeque<WriteJob>,
    mut more: impl FnMut() -> Option<WriteJob>,
) -> Option<Work> {
    let first = match waiting.pop_front()? {
        WriteJob::Persist(first) => first,
        WriteJob::Purge(up_to) => return Some(Work::Purge(up_to)),
        WriteJob::Repair(entries) => return Some(Work::Repair(entries)),
    };
    let mut group = Group::default();
    group.add(first);
    while group.bytes < MAX_GROUP_BYTES {
        match waiting.pop_front().or_else(&mut more) {
            // The log starts anew: nothing before that shares a write with it.
            Some(WriteJob::Persist(request)) if request.reset.is_none() => group.add(request),
            Some(other) => {
                waiting.push_front(other);
                break;
            }
            None => break,
        }
    }
    Some(Work::Group(group))
}

async fn carry_out(
    stores: &Stores,
    work: Work,
    metrics: &Metrics,
) -> Result<Vec<Completion>, NodeError> {
    match work {
        Work::Group(group) => write_group(stores, group, metrics).await,
        Work::Purge(up_to) => purge(stores.log.as_ref(), up_to).await,
        Work::Repair(entries) => mend(stores.log.as_ref(), entries).await,
    }
}

async fn write_group(
    stores: &Stores,
    group: Group,
    metrics: &Metrics,
) -> Result<Vec<Completion>, NodeError> {
    let watch = Stopwatch::started();
    metrics
        .persist_entries
        .record(gauge_value(group.count as u64));
    let token = write(stores, group).await?;
    metrics.persist_seconds.record(watch.elapsed());
    Ok(vec![Completion::Persisted(token)])
}

async fn purge(log: &dyn LogStore, up_to: LogId) -> Result<Vec<Completion>, NodeError> {
    match log.purge(up_to).await {
        Ok(()) => Ok(Vec::new()),
        Err(source) => Err(NodeError::storage("purging the log", source)),
    }
}

/// Term and vote first: entries of a term must not outlive the knowledge of it.
async fn write(stores: &Stores, group: Group) -> Result<PersistToken, NodeError> {
    if let Some(hard_state) = group.hard_state {
        let incarnation = stores.incarnation;
        let vote = SavedVote {
            incarnation,
            hard_state,
        };
        let saved = stores.stable.save(vote).await;
        saved.map_err(|source| NodeError::storage("saving term and vote", source))?;
    }
    let token = group.token;
    if let Some(snapshot) = group.reset {
        let reset = stores.log.reset(snapshot).await;
        reset.map_err(|source| NodeError::storage("resetting the log", source))?;
    }
    if let Some(batch) = group.into_batch() {
        let appended = stores.log.append(batch).await;
        appended.map_err(|source| NodeError::storage("appending to the log", source))?;
    }
    Ok(token)
}

/// Several requests as one: the same effect as one after the other.
#[derive(Debug, Default)]
struct Group {
    token: PersistToken,
    hard_state: Option<HardState>,
    /// The log starts anew after this, before anything else.
    reset: Option<LogId>,
    /// The first entry of the store to forget.
    truncate_from: Option<LogIndex>,
    /// From here on the group alone says what the log holds; the store's part ends before.
    start: Option<LogIndex>,
    /// The first run as it came; it is shared as long as it is the only one.
    only: LogSlice,
    /// All of them, once there are several.
    entries: Vec<Entry>,
    count: usize,
    bytes: usize,
}

impl Group {
    fn add(&mut self, request: Persist) {
        self.token = request.token;
        self.hard_state = request.hard_state.or(self.hard_state);
        self.reset = request.reset.or(self.reset);
        if let Some(from) = request.truncate_from {
            self.truncate(from);
        }
        if let Some(first) = request.entries.first() {
            self.start.get_or_insert(first.index);
            self.bytes += request.entries.size();
            self.count += request.entries.len();
            if self.only.is_empty() && self.entries.is_empty() {
                self.only = request.entries;
            } else {
                self.spread();
                self.entries.extend_from_slice(request.entries.entries());
            }
        }
    }

    /// Has all entries in one list.
    fn spread(&mut self) {
        if !self.only.is_empty() {
            self.entries = std::mem::take(&mut self.only).into_entries();
        }
    }

    fn truncate(&mut self, from: LogIndex) {
        match self.start {
            // Only entries that no disk has seen yet: they are just not written.
            Some(start) if from >= start => {
                self.spread();
                let kept = usize::try_from(from.distance_from(start)).unwrap_or(usize::MAX);
                self.entries.truncate(kept);
            }
            _ => {
                self.truncate_from = Some(from);
                self.start = Some(from);
                self.only = LogSlice::empty();
                self.entries.clear();
            }
        }
    }

    /// What to append, if the log changes at all.
    fn into_batch(self) -> Option<AppendBatch> {
        if self.truncate_from.is_none() && self.entries.is_empty() && self.only.is_empty() {
            return None;
        }
        let entries = match self.only.is_empty() {
            false => self.only,
            true => LogSlice::new(self.entries)
                .expect("the protocol's requests, one after the other, leave a log without gaps"),
        };
        Some(AppendBatch {
            truncate_from: self.truncate_from,
            entries,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::Term;

    /// A log as the duties of `LogStore` see it, one change at a time.
    #[derive(Clone, Debug, Default, Eq, PartialEq)]
    struct NaiveLog(Vec<LogId>);

    impl NaiveLog {
        fn of_terms(terms: &[u64]) -> Self {
            let ids = terms
                .iter()
                .zip(1..)
                .map(|(&term, index)| LogId::new(term, index));
            Self(ids.collect())
        }

        fn last(&self) -> u64 {
            self.0.len() as u64
        }

        fn change(&mut self, truncate_from: Option<LogIndex>, entries: &LogSlice) {
            if let Some(from) = truncate_from {
                assert!(from.get() <= self.last(), "cuts at {from}, beyond the end");
                self.0.truncate(usize::try_from(from.get()).unwrap() - 1);
            }
            for entry in entries.entries() {
                assert_eq!(entry.index().get(), self.last() + 1, "a gap or an overlap");
                self.0.push(entry.log_id);
            }
        }
    }

    fn persist(token: u64, truncate_from: Option<u64>, terms: &[u64], first: u64) -> Persist {
        let entries = terms
            .iter()
            .zip(first..)
            .map(|(&term, index)| Entry::blank(LogId::new(term, index)))
            .collect();
        Persist {
            token: PersistToken(token),
            hard_state: None,
            reset: None,
            truncate_from: truncate_from.map(LogIndex::new),
            entries: LogSlice::new(entries).unwrap(),
        }
    }

    fn merged(requests: impl IntoIterator<Item = Persist>) -> Group {
        let mut group = Group::default();
        requests.into_iter().for_each(|request| group.add(request));
        group
    }

    #[test]
    fn runs_that_follow_each_other_become_one() {
        let group = merged([persist(1, None, &[1, 1], 4), persist(2, None, &[1], 6)]);

        assert_eq!(group.token, PersistToken(2));
        let batch = group.into_batch().unwrap();
        assert_eq!(batch.truncate_from, None);
        assert_eq!(batch.entries.last(), Some(LogId::new(1, 6)));
        assert_eq!(batch.entries.len(), 3);
    }

    #[test]
    fn a_cut_inside_the_group_never_reaches_the_store() {
        let group = merged([persist(1, None, &[1, 1], 4), persist(2, Some(5), &[2], 5)]);

        let batch = group.into_batch().unwrap();
        assert_eq!(batch.truncate_from, None);
        assert_eq!(batch.entries.first(), Some(LogId::new(1, 4)));
        assert_eq!(batch.entries.last(), Some(LogId::new(2, 5)));
    }

    #[test]
    fn a_cut_below_the_group_replaces_all_of_it() {
        let group = merged([
            persist(1, Some(6), &[2, 2], 6),
            persist(2, Some(3), &[3], 3),
        ]);

        let batch = group.into_batch().unwrap();
        assert_eq!(batch.truncate_from, Some(LogIndex::new(3)));
        assert_eq!(batch.entries.entries(), [Entry::blank(LogId::new(3, 3))]);
    }

    #[test]
    fn a_group_that_cuts_all_it_appended_leaves_the_store_alone() {
        let group = merged([persist(1, None, &[1], 4), persist(2, Some(4), &[], 4)]);

        assert_eq!(group.into_batch(), None);
    }

    #[test]
    fn the_latest_term_and_vote_count() {
        let vote = |term| HardState {
            current_term: Term::new(term),
            voted_for: None,
        };
        let mut requests = [1, 2, 3].map(|token| persist(token, None, &[], 1));
        requests[0].hard_state = Some(vote(7));
        requests[1].hard_state = Some(vote(8));

        assert_eq!(merged(requests).hard_state, Some(vote(8)));
    }

    proptest! {
        /// Cuts and runs at random, grouped at random, against one change at a time.
        #[test]
        fn a_group_has_the_effect_of_its_requests_in_order(
            start in 0_usize..6,
            changes in prop::collection::vec(
                (prop::option::of(0_u64..12), 0_usize..4, prop::bool::weighted(0.3)),
                1..40,
            ),
        ) {
            let mut one_by_one = NaiveLog::of_terms(&vec![1; start]);
            let mut in_groups = one_by_one.clone();
            let mut group = Group::default();
            for (step, (cut, count, ends_group)) in (1_u64..).zip(changes) {
                // Only cuts that the protocol could ask for: of entries that are there.
                let cut = cut.filter(|&at| 1 <= at && at <= one_by_one.last());
                let first = cut.unwrap_or(one_by_one.last() + 1);
                let request = persist(step, cut, &vec![step + 1; count], first);
                one_by_one.change(request.truncate_from, &request.entries);
                group.add(request);
                if ends_group {
                    let done = std::mem::take(&mut group);
                    prop_assert_eq!(done.token, PersistToken(step));
                    if let Some(batch) = done.into_batch() {
                        in_groups.change(batch.truncate_from, &batch.entries);
                    }
                    prop_assert_eq!(&in_groups, &one_by_one);
                }
            }
        }
    }
}
