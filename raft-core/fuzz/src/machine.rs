//! A state machine that only knows how far it is. It holds the replica to the
//! order of applies and installations.

use std::collections::VecDeque;
use std::sync::Arc;

use raft_core::protocol::{Input, SnapshotOffer, SnapshotToken};
use raft_core::{LogId, LogIndex, LogSlice, Membership, Payload};

use crate::choices::Choices;

/// Something the replica asked of it.
#[derive(Debug)]
pub enum Job {
    /// Entries, following the ones before.
    Apply(LogSlice),
    /// Become what this snapshot holds.
    Install(SnapshotToken),
}

/// How far the state machine is, and what it still has to do.
#[derive(Debug)]
pub struct Machine {
    /// The last entry applied.
    pub applied: LogId,
    /// The membership at that entry.
    pub membership: Arc<Membership>,
    /// A crash takes it back to here.
    pub durable: LogId,
    /// The membership there.
    pub durable_membership: Arc<Membership>,
    /// Checkpoints that were asked for and are not over.
    pub checkpoints: usize,
    jobs: VecDeque<Job>,
    /// The last entry of the latest apply that was asked for.
    asked: LogId,
    /// No more of these snapshots is read; they may have been read to the end.
    stopped: Vec<SnapshotToken>,
    offers: Vec<SnapshotOffer>,
}

impl Machine {
    /// One that is durable right after `applied`.
    pub fn at(applied: LogId, membership: Arc<Membership>) -> Self {
        Self {
            applied,
            membership: Arc::clone(&membership),
            durable: applied,
            durable_membership: membership,
            checkpoints: 0,
            jobs: VecDeque::new(),
            asked: applied,
            stopped: Vec::new(),
            offers: Vec::new(),
        }
    }

    /// A snapshot is offered to the replica, which may want it installed.
    pub fn is_offered(&mut self, offer: SnapshotOffer) {
        self.offers.push(offer);
    }

    /// The replica wants entries applied.
    pub fn apply(&mut self, entries: LogSlice) {
        let first = entries.first().expect("an apply is never empty");
        let asked = self.asked;
        assert_eq!(first.index, asked.index.next(), "applied twice, or skipped");
        assert!(first.term >= asked.term, "{first} follows {asked}");
        self.asked = entries.last().unwrap_or(asked);
        self.jobs.push_back(Job::Apply(entries));
    }

    /// The replica wants a snapshot installed.
    pub fn install(&mut self, token: SnapshotToken) {
        let offer = self.offer(token);
        assert!(
            offer.last_included.index > self.asked.index,
            "a snapshot at {} takes back what is applied up to {}",
            offer.last_included,
            self.asked
        );
        self.jobs.push_back(Job::Install(token));
    }

    /// The replica does not need it any more.
    pub fn stop(&mut self, token: SnapshotToken) {
        let mut jobs = self.jobs.iter();
        let is_meant = |job: &Job| matches!(job, Job::Install(asked) if *asked == token);
        assert!(jobs.any(is_meant), "stops what is not being installed");
        self.stopped.push(token);
    }

    fn offer(&self, token: SnapshotToken) -> &SnapshotOffer {
        let mut offers = self.offers.iter();
        let found = offers.find(|offer| offer.token == token);
        found.expect("installs what nobody offered")
    }

    /// Whether it has anything to do.
    pub fn is_busy(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Does a job, or the first part of one, and says so.
    pub fn work(&mut self, choices: &mut Choices<'_>) -> Option<Input> {
        match self.jobs.pop_front()? {
            Job::Apply(entries) => {
                let mut entries = entries.into_entries();
                if choices.once_in(4) {
                    let kept = choices.below(entries.len().min(256)) + 1;
                    let rest = entries.split_off(kept);
                    if !rest.is_empty() {
                        let rest = LogSlice::new(rest).expect("the end of a run is a run");
                        self.jobs.push_front(Job::Apply(rest));
                    }
                }
                for entry in entries {
                    self.applied = entry.log_id;
                    if let Payload::Membership(membership) = entry.payload {
                        self.membership = Arc::new(*membership);
                    }
                }
                Some(Input::Applied(self.applied.index))
            }
            Job::Install(token) => {
                let fails_once_in = if self.stopped.contains(&token) { 2 } else { 4 };
                let ok = !choices.once_in(fails_once_in);
                if ok {
                    let offer = self.offer(token);
                    (self.applied, self.membership) =
                        (offer.last_included, Arc::clone(&offer.membership));
                    self.asked = self.applied;
                    self.flush();
                }
                Some(Input::SnapshotRestored { token, ok })
            }
        }
    }

    /// Makes durable what is applied.
    pub fn flush(&mut self) -> LogIndex {
        self.durable = self.applied;
        self.durable_membership = Arc::clone(&self.membership);
        self.durable.index
    }

    /// A crash: it is what was durable.
    pub fn crash(&mut self) {
        *self = Self::at(self.durable, Arc::clone(&self.durable_membership));
    }
}
