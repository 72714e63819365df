//! The loop: the one place that touches the protocol.
//!
//! A turn takes all that waits, handles it, and hands out what comes of it.
//! Nothing in it awaits a peer, a disk or the state machine; batches come from
//! draining, never from waiting.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::Sleep;

use super::answers::{AtStateMachine, Waiting};
use super::apply::{ApplyJob, Job};
use super::clock::Clock;
use super::error::NodeError;
use super::held_up::HeldUp;
use super::helpers::{Ending, Helpers};
use super::inbound::{Completion, Mailbox, ProposalReply, ReadReply, Turn};
use super::metrics::Metrics;
use super::operator::Operator;
use super::outbound::Outbound;
use super::pending::Pending;
use super::persist::WriteJob;
use super::snapshots::{Incoming, Outgoing};
use super::status::Publisher;
use crate::error::{ProposeError, ReadError};
use crate::log_store::{LogStore, StorageHealth};
use crate::network::Network;
use crate::protocol::{Apply, Input, Output, Raft};
use crate::time::Timestamp;
use crate::types::{LogIndex, Term};

/// What a proposal gets that may be in the log when its node stops.
const STOPPED_MEANWHILE: ProposeError = ProposeError::Unknown {
    reason: "the node stopped before the outcome was known",
};

/// The loop and all it owns.
pub(super) struct Driver {
    pub(super) raft: Raft,
    clock: Clock,
    pub(super) held_up: HeldUp,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) turn: Turn,
    /// What the protocol takes in next; empty between two steps.
    pub(super) inputs: Vec<Input>,
    pub(super) proposals: Pending<ProposalReply>,
    pub(super) at_state_machine: AtStateMachine,
    pub(super) reads: Pending<ReadReply>,
    pub(super) helpers: Helpers,
    outbound: Outbound,
    publisher: Publisher,
    pub(super) durable_applied: LogIndex,
    pub(super) metrics: Arc<Metrics>,
    pub(super) operator: Operator,
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
    pub(super) network: Arc<dyn Network>,
    log: Arc<dyn LogStore>,
    stop_timeout: Duration,
    storage: StorageHealth,
    asked_health_at: Timestamp,
    pub(super) reported_term: Term,
}

/// What the loop is built from.
pub(super) struct Parts {
    pub(super) raft: Raft,
    pub(super) clock: Clock,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) helpers: Helpers,
    pub(super) outbound: Outbound,
    pub(super) publisher: Publisher,
    pub(super) durable_applied: LogIndex,
    pub(super) metrics: Arc<Metrics>,
    pub(super) network: Arc<dyn Network>,
    pub(super) log: Arc<dyn LogStore>,
    pub(super) snapshot_rate: Option<u64>,
    pub(super) snapshot_patience: Duration,
    pub(super) stop_timeout: Duration,
}

impl Driver {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            held_up: HeldUp::new(parts.raft.config().heartbeat_interval),
            reported_term: parts.raft.status().term(),
            raft: parts.raft,
            clock: parts.clock,
            mailbox: parts.mailbox,
            turn: Turn::default(),
            inputs: Vec::new(),
            proposals: Pending::new(),
            at_state_machine: AtStateMachine::default(),
            reads: Pending::new(),
            helpers: parts.helpers,
            outbound: parts.outbound,
            publisher: parts.publisher,
            durable_applied: parts.durable_applied,
            metrics: parts.metrics,
            operator: Operator::default(),
            incoming: Incoming::new(parts.snapshot_patience),
            outgoing: Outgoing::new(parts.snapshot_rate),
            network: parts.network,
            log: parts.log,
            stop_timeout: parts.stop_timeout,
            storage: StorageHealth::Healthy,
            asked_health_at: Timestamp::ZERO,
        }
    }

    /// Runs until the node is asked to stop or fails, and ends all that waits.
    pub(super) async fn run(mut self) {
        let failure = self.run_turns().await.err();
        if let Some(error) = &failure {
            let config = self.raft.config();
            let (node, group) = (config.replica, config.group);
            tracing::error!(%node, %group, error = %error.with_causes(), "the node failed");
        }
        self.finish(failure.as_ref()).await;
    }

    async fn run_turns(&mut self) -> Result<(), NodeError> {
        let mut timer = Box::pin(tokio::time::sleep(Duration::ZERO));
        loop {
            self.wait(timer.as_mut()).await?;
            self.mailbox.take(&mut self.turn);
            if self.turn.stop {
                return Ok(());
            }
            self.helpers.check_ended()?;
            let now = self.clock.now();
            let handled = self.handle_turn(now);
            let handed_out = self.hand_out(now);
            let status = self.raft.status();
            self.outbound.follow(&status.membership);
            let sent = self.outbound.flush();
            self.metrics.messages_sent.increment(sent);
            self.report_term(status.term());
            self.publisher
                .publish(status, self.durable_applied, self.storage);
            // What the protocol still had to say has gone out by now.
            handled.and(handed_out)?;
        }
    }

    /// Returns when there is something to do, or time is up.
    async fn wait(&mut self, mut timer: Pin<&mut Sleep>) -> Result<(), NodeError> {
        if self.mailbox.has_work() {
            // The helpers may share this thread: they get it once per turn.
            yield_now().await;
            return Ok(());
        }
        let wake_at = self.held_up.wake_at(self.raft.poll_timeout());
        let wake_at = self
            .at_state_machine
            .deadline()
            .map_or(wake_at, |at| at.min(wake_at));
        let deadline = self.clock.instant(wake_at);
        // A deadline that moved on lets the timer come too early, once: cheaper
        // than moving the timer with each message of a leader.
        if deadline < timer.deadline() || timer.is_elapsed() {
            timer.as_mut().reset(deadline);
        }
        tokio::select! {
            biased;
            () = self.mailbox.woken() => Ok(()),
            () = timer => Ok(()),
            ended = self.helpers.ended() => ended,
        }
    }

    /// Asks the log store how it is, about once a heartbeat.
    pub(super) fn ask_health(&mut self, now: Timestamp) {
        let interval = self.raft.config().heartbeat_interval;
        if now.since(self.asked_health_at) < interval {
            return;
        }
        self.asked_health_at = now;
        let health = self.log.health();
        if health != self.storage {
            self.storage = health;
            self.raft.handle(now, Input::StorageHealth(health));
        }
    }

    /// Hands out everything the protocol wants done, and does what is done at once.
    fn hand_out(&mut self, now: Timestamp) -> Result<(), NodeError> {
        loop {
            self.hand_out_waiting(now);
            let done = self.helpers.write_at_once(&self.metrics);
            let mut completions = done.unwrap_or_else(|error| vec![Completion::Failed(error)]);
            if completions.is_empty() {
                return Ok(());
            }
            let taken = self.take_completions(&mut completions);
            self.handle_inputs(now);
            if taken.is_err() {
                // What the protocol still had to say.
                self.hand_out_waiting(now);
                return taken;
            }
        }
    }

    fn hand_out_waiting(&mut self, now: Timestamp) {
        while let Some(output) = self.raft.poll_output() {
            match output {
                Output::Persist(request) => self.helpers.write(WriteJob::Persist(request)),
                Output::Purge(up_to) => self.helpers.write(WriteJob::Purge(up_to)),
                Output::Repair(entries) => self.helpers.write(WriteJob::Repair(entries)),
                Output::Checkpoint => {
                    self.operator.checkpoint_begins();
                    self.helpers.apply(Job::Checkpoint);
                }
                Output::Send(envelope) => self.outbound.push(envelope),
                Output::ReadLog(request) => self.helpers.read(request),
                Output::Apply(apply) => self.hand_to_apply(now, apply),
                Output::ProposalFailed { ticket, error } => {
                    self.metrics.proposals_failed.increment(1);
                    if let Some(reply) = self.proposals.take(ticket) {
                        // Perhaps the caller gave up, which is its right.
                        let _ = reply.send(Err(error));
                    }
                }
                Output::ReadDone { ticket, result } => {
                    if let Some(reply) = self.reads.take(ticket) {
                        let _ = reply.send(result);
                    }
                }
                Output::Event(event) => self.report(&event),
                Output::MembershipChanged { ticket, result } => {
                    self.operator.membership_changed(ticket, result);
                }
                Output::TransferEnded { ticket, result } => {
                    self.operator.transfer_ended(ticket, result);
                }
                other => self.hand_out_snapshot(other),
            }
        }
    }

    fn hand_to_apply(&mut self, now: Timestamp, apply: Apply) {
        let waiting = apply
            .proposals
            .into_iter()
            .filter_map(|(index, ticket)| Some((index, self.proposals.take(ticket)?)))
            .collect();
        let waiting = Waiting::new(waiting);
        let deadline = now + self.raft.config().request_timeout;
        self.at_state_machine.begin(deadline, waiting.clone());
        let entries = apply.entries;
        self.helpers
            .apply(Job::Apply(ApplyJob { entries, waiting }));
    }

    /// Ends all that waits, then the helpers.
    async fn finish(mut self, failure: Option<&NodeError>) {
        let waiting = self.mailbox.close();
        refuse(std::mem::take(&mut self.turn));
        refuse(waiting);
        self.operator.stop();
        self.incoming.stop();
        for reply in self.proposals.take_all() {
            let _ = reply.send(Err(STOPPED_MEANWHILE));
        }
        for reply in self.reads.take_all() {
            let _ = reply.send(Err(ReadError::Stopped));
        }
        self.publisher.stopped(failure);
        self.helpers
            .finish(Ending {
                patience: self.stop_timeout,
                durable: self.durable_applied,
                committed: self.raft.status().commit_index,
            })
            .await;
    }
}

/// Answers requests that the protocol never saw.
fn refuse(turn: Turn) {
    for proposal in turn.proposals {
        let _ = proposal.reply.send(Err(ProposeError::Stopped));
    }
    for read in turn.reads {
        let _ = read.reply.send(Err(ReadError::Stopped));
    }
    for request in turn.requests {
        request.refuse();
    }
}
