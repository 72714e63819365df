//! The tasks that wait for disks and the state machine, so that the loop does not.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};

use super::apply::{self, Job};
use super::error::NodeError;
use super::inbound::Mailbox;
use super::metrics::Metrics;
use super::persist::{self, Stores, WriteJob};
use super::reader;
use crate::log_store::LogStore;
use crate::protocol::ReadLog;
use crate::state_machine::StateMachine;

/// The helper tasks of one node, as the loop sees them.
pub(super) struct Helpers {
    // Unbounded, because the protocol bounds what is under way: applies to one
    // batch, persists as the module `persist` says.
    persist: mpsc::UnboundedSender<WriteJob>,
    apply: mpsc::UnboundedSender<Job>,
    tasks: JoinSet<()>,
    writer: Id,
    applier: Id,
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
        let (persist, persist_requests) = mpsc::unbounded_channel();
        let (apply, apply_jobs) = mpsc::unbounded_channel();
        let log = Arc::clone(&stores.log);
        let mailbox = Arc::clone(mailbox);
        let mut tasks = JoinSet::new();
        let (inbox, counts) = (Arc::clone(&mailbox), Arc::clone(metrics));
        let writer = tasks.spawn(persist::run(stores, persist_requests, inbox, counts));
        let (inbox, counts) = (Arc::clone(&mailbox), Arc::clone(metrics));
        let applier = tasks.spawn(apply::run(state_machine, apply_jobs, inbox, counts));
        Self {
            persist,
            apply,
            writer: writer.id(),
            applier: applier.id(),
            tasks,
            log,
            mailbox,
        }
    }

    /// Has something written. A writer that is gone has reported why.
    pub(super) fn write(&self, job: WriteJob) {
        drop(self.persist.send(job));
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
        let task = match error.id() {
            id if id == self.writer => "writer",
            id if id == self.applier => "state machine",
            _ => "log reader",
        };
        Err(NodeError::panicked(task, error))
    }

    /// Lets the helpers do what is queued, and returns when they have ended.
    pub(super) async fn finish(mut self) {
        drop((self.persist, self.apply));
        while self.tasks.join_next().await.is_some() {}
    }
}
