//! The tasks that wait for disks and the state machine, so that the loop does not.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};

use super::apply::{self, Job};
use super::clock::{Stopwatch, within};
use super::error::NodeError;
use super::inbound::{Completion, Mailbox};
use super::metrics::Metrics;
use super::persist::{self, Stores, WriteJob};
use super::reader;
use crate::log_store::{LogStore, StorageHealth};
use crate::protocol::ReadLog;
use crate::state_machine::StateMachine;
use crate::types::LogIndex;

/// How often a log store that is waited for at the end is asked how it is.
const ASK_HEALTH_EVERY: Duration = Duration::from_millis(100);

/// Who writes.
enum Writer {
    Task(mpsc::UnboundedSender<WriteJob>, Id),
    /// The loop itself: the stores are done at once.
    Loop(Stores, VecDeque<WriteJob>),
}

/// How a node ends: how long its state machine may take, and where that stood.
pub(super) struct Ending {
    pub(super) patience: Duration,
    pub(super) durable: LogIndex,
    pub(super) committed: LogIndex,
}

/// The helper tasks of one node, as the loop sees them.
pub(super) struct Helpers {
    // Unbounded, because the protocol bounds what is under way: applies to one
    // batch, persists as the module `persist` says.
    persist: Writer,
    apply: mpsc::UnboundedSender<Job>,
    tasks: JoinSet<()>,
    applier: Id,
    /// Dropped, it has the applier give up what it does.
    patience: oneshot::Sender<()>,
    log: Arc<dyn LogStore>,
    mailbox: Arc<Mailbox>,
}

impl Helpers {
    /// Starts the writer and the applier.
    pub(super) fn spawn(
        stores: Stores,
        state_machine: Box<dyn StateMachine>,
        mailbox: &Arc<Mailbox>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let (apply, apply_jobs) = mpsc::unbounded_channel();
        let log = Arc::clone(&stores.log);
        let mailbox = Arc::clone(mailbox);
        let mut tasks = JoinSet::new();
        let (inbox, counts) = (Arc::clone(&mailbox), Arc::clone(metrics));
        let persist = if stores.are_done_at_once() {
            Writer::Loop(stores, VecDeque::new())
        } else {
            let (jobs, requests) = mpsc::unbounded_channel();
            let task = tasks.spawn(persist::run(stores, requests, inbox, counts));
            Writer::Task(jobs, task.id())
        };
        let (inbox, counts) = (Arc::clone(&mailbox), Arc::clone(metrics));
        let (patience, is_over) = oneshot::channel();
        let applying = apply::run(state_machine, apply_jobs, inbox, counts, is_over);
        let applier = tasks.spawn(applying);
        Self {
            persist,
            apply,
            applier: applier.id(),
            patience,
            tasks,
            log,
            mailbox,
        }
    }

    /// Has something written. A writer that is gone has reported why.
    pub(super) fn write(&mut self, job: WriteJob) {
        match &mut self.persist {
            Writer::Task(jobs, _) => drop(jobs.send(job)),
            Writer::Loop(_, waiting) => waiting.push_back(job),
        }
    }

    /// Writes what waits, if that is the loop's to do.
    ///
    /// # Errors
    ///
    /// When a store failed, or was not done at once.
    pub(super) fn write_at_once(
        &mut self,
        metrics: &Metrics,
    ) -> Result<Vec<Completion>, NodeError> {
        match &mut self.persist {
            Writer::Loop(stores, waiting) => persist::run_at_once(stores, waiting, metrics),
            Writer::Task(..) => Ok(Vec::new()),
        }
    }

    /// Has something done with the state machine. If its task is gone, that has reported why.
    pub(super) fn apply(&self, job: Job) {
        drop(self.apply.send(job));
    }

    /// Has the log read, in a task of its own: a slow follower's old entries do
    /// not hold up anybody else's. The protocol asks for one read per follower
    /// and one for the state machine at a time.
    pub(super) fn read(&mut self, request: ReadLog) {
        let (log, mailbox) = (Arc::clone(&self.log), Arc::clone(&self.mailbox));
        self.tasks.spawn(reader::run(log, request, mailbox));
    }

    /// Returns when a helper has ended.
    ///
    /// # Errors
    ///
    /// When it panicked. One that ended of itself has reported why.
    pub(super) async fn ended(&mut self) -> Result<(), NodeError> {
        match self.tasks.join_next().await {
            Some(ended) => self.check(ended),
            None => Ok(()),
        }
    }

    /// Looks after all helpers that have ended by now.
    ///
    /// # Errors
    ///
    /// When one panicked.
    pub(super) fn check_ended(&mut self) -> Result<(), NodeError> {
        while let Some(ended) = self.tasks.try_join_next() {
            self.check(ended)?;
        }
        Ok(())
    }

    fn check(&self, ended: Result<(), JoinError>) -> Result<(), NodeError> {
        let Err(error) = ended else { return Ok(()) };
        let task = match (&self.persist, error.id()) {
            (Writer::Task(_, writer), id) if id == *writer => "writer",
            (_, id) if id == self.applier => "state machine",
            _ => "log reader",
        };
        Err(NodeError::panicked(task, error))
    }

    /// Lets the helpers do what is queued, and returns when they have ended. What waits for
    /// space on a full disk is given up: nobody knows when there will be any. So is the
    /// state machine after a while, which may have a full disk of its own: the log has all
    /// that it lacks.
    pub(super) async fn finish(mut self, ending: Ending) {
        drop((self.persist, self.apply));
        let (watch, mut patience) = (Stopwatch::started(), Some(self.patience));
        loop {
            match within(ASK_HEALTH_EVERY, self.tasks.join_next()).await {
                Some(None) => return,
                Some(Some(_)) => {}
                None if self.log.health() == StorageHealth::Full => self.tasks.abort_all(),
                None if watch.elapsed() >= ending.patience => {
                    // It ends where it next waits: to be told once is enough.
                    let patience = patience.take();
                    if patience.is_some_and(|patience| !patience.is_closed()) {
                        ending.report();
                    }
                }
                None => {}
            }
        }
    }
}

impl Ending {
    fn report(&self) {
        tracing::warn!(
            durable = %self.durable,
            committed = %self.committed,
            seconds = self.patience.as_secs_f64(),
            "the state machine has not finished since the node was asked to stop, perhaps \
             because its disk is full: it is given up. What was committed after what it holds \
             durably is in the log, and is applied at the next start. Nothing acknowledged is \
             lost"
        );
    }
}
