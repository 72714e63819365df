//! The loop: takes in what happened, lets the protocol decide, hands out what it wants.

use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::apply::Work;
use super::clock::Clock;
use super::outbound::Outbound;
use super::pending::Pending;
use super::status::StatusBoard;
use super::{NodeError, Request, metrics, reader};
use crate::entry::LogSlice;
use crate::log_store::LogStore;
use crate::membership::Membership;
use crate::message::Envelope;
use crate::network::Network;
use crate::protocol::{Event, Input, Output, Persist, PersistToken, Proposal, Raft, ReadToken};
use crate::types::LogIndex;

/// Most messages, and most requests, that one turn takes in before outputs go out.
const MAX_PER_TURN: usize = 1024;

/// What a task of the node reports.
#[derive(Debug)]
pub(super) enum Completed {
    Persisted(PersistToken),
    Applied(LogIndex),
    LogRead { token: ReadToken, entries: LogSlice },
    Failed(NodeError),
}

/// The loop with everything it owns.
pub(super) struct Driver {
    pub(super) raft: Raft,
    pub(super) clock: Clock,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) inbox: mpsc::Receiver<Envelope>,
    pub(super) completed: mpsc::UnboundedReceiver<Completed>,
    pub(super) report: mpsc::UnboundedSender<Completed>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) persist: mpsc::UnboundedSender<Persist>,
    pub(super) apply: mpsc::UnboundedSender<Work>,
    pub(super) log: Arc<dyn LogStore>,
    pub(super) network: Arc<dyn Network>,
    pub(super) pending: Pending,
    pub(super) board: StatusBoard,
    /// The membership whose peers the network was told.
    pub(super) named_peers: Option<Arc<Membership>>,
}

/// What woke the loop.
enum Woken {
    Completed(Completed),
    Message(Envelope),
    Request(Request),
    Timeout,
    Stop,
}

impl Driver {
    pub(super) async fn run(mut self) {
        self.name_peers();
        let failure = loop {
            let woken = self.wait().await;
            if let ControlFlow::Break(failure) = self.turn(woken) {
                break failure;
            }
        };
        self.finish(failure);
    }

    async fn wait(&mut self) -> Woken {
        let timeout = self.clock.instant(self.raft.poll_timeout());
        tokio::select! {
            biased;
            changed = self.stop.wait_for(|stop| *stop) => {
                // An error means that the last handle of the node is gone.
                let _ = changed;
                Woken::Stop
            }
            Some(completed) = self.completed.recv() => Woken::Completed(completed),
            Some(envelope) = self.inbox.recv() => Woken::Message(envelope),
            request = self.requests.recv() => request.map_or(Woken::Stop, Woken::Request),
            () = tokio::time::sleep_until(timeout) => Woken::Timeout,
        }
    }

    /// Takes in all that is there, then lets timeouts fire, then publishes.
    fn turn(&mut self, woken: Woken) -> ControlFlow<Option<NodeError>> {
        let mut requests = Vec::new();
        match woken {
            Woken::Completed(completed) => self.take_completed(completed)?,
            Woken::Message(envelope) => self.handle(Input::Message(envelope)),
            Woken::Request(request) => requests.push(request),
            Woken::Timeout => {}
            Woken::Stop => return ControlFlow::Break(None),
        }
        while let Ok(completed) = self.completed.try_recv() {
            self.take_completed(completed)?;
        }
        let mut messages = 0;
        while messages < MAX_PER_TURN
            && let Ok(envelope) = self.inbox.try_recv()
        {
            messages += 1;
            self.handle(Input::Message(envelope));
        }
        while requests.len() < MAX_PER_TURN
            && let Ok(request) = self.requests.try_recv()
        {
            requests.push(request);
        }
        self.take_requests(requests);
        // Timeouts last: a process that was held up has its heartbeats queued.
        if self.inbox.is_empty() && self.raft.poll_timeout() <= self.clock.now() {
            self.handle(Input::Tick);
        }
        self.carry_out();
        self.board.publish(&self.raft);
        ControlFlow::Continue(())
    }

    fn handle(&mut self, input: Input) {
        self.raft.handle(self.clock.now(), input);
    }

    fn take_completed(&mut self, completed: Completed) -> ControlFlow<Option<NodeError>> {
        match completed {
            Completed::Persisted(token) => self.handle(Input::Persisted(token)),
            Completed::Applied(index) => self.handle(Input::Applied(index)),
            Completed::LogRead { token, entries } => {
                self.handle(Input::LogRead { token, entries });
            }
            Completed::Failed(error) => return ControlFlow::Break(Some(error)),
        }
        ControlFlow::Continue(())
    }

    /// All proposals become one input and all reads another, so that they share
    /// one append and one round.
    fn take_requests(&mut self, requests: Vec<Request>) {
        let (mut proposals, mut reads) = (Vec::new(), Vec::new());
        for request in requests {
            match request {
                Request::Propose { command, answer } => {
                    let ticket = self.pending.add_proposal(answer);
                    proposals.push(Proposal { ticket, command });
                }
                Request::Read { answer } => reads.push(self.pending.add_read(answer)),
            }
        }
        if !proposals.is_empty() {
            self.handle(Input::Propose(proposals));
        }
        if !reads.is_empty() {
            self.handle(Input::Read(reads));
        }
    }

    fn carry_out(&mut self) {
        let mut outbound = Outbound::default();
        while let Some(output) = self.raft.poll_output() {
            match output {
                Output::Send(envelope) => outbound.add(envelope),
                // A task that ended has reported why, and the next turn sees it.
                Output::Persist(request) => drop(self.persist.send(request)),
                Output::Apply(apply) => {
                    let take = |(index, ticket)| Some((index, self.pending.take_proposal(ticket)?));
                    let answers = apply.proposals.into_iter().filter_map(take).collect();
                    drop(self.apply.send(Work {
                        entries: apply.entries,
                        answers,
                    }));
                }
                Output::ReadLog(request) => {
                    reader::spawn(Arc::clone(&self.log), request, self.report.clone());
                }
                Output::ProposalFailed { ticket, error } => {
                    if let Some(answer) = self.pending.take_proposal(ticket) {
                        let _ = answer.send(Err(error));
                    }
                }
                Output::ReadDone { ticket, result } => {
                    if let Some(answer) = self.pending.take_read(ticket) {
                        let _ = answer.send(result);
                    }
                }
                Output::Event(event) => self.log_event(&event),
            }
        }
        outbound.flush(self.network.as_ref());
        self.name_peers();
    }

    /// Tells the network who the peers are, when the membership changed.
    fn name_peers(&mut self) {
        let membership = self.raft.status().membership;
        if self.named_peers.as_ref() == Some(&membership) {
            return;
        }
        let own = self.raft.config().replica.node;
        let peers = membership
            .members()
            .iter()
            .filter(|(node, _)| **node != own);
        let peers = peers.map(|(node, info)| (*node, info.clone())).collect();
        self.network.set_peers(self.raft.config().group, peers);
        self.named_peers = Some(membership);
    }

    fn log_event(&self, event: &Event) {
        let (node, group) = (self.raft.config().replica, self.raft.config().group);
        metrics::count(group, event);
        match event {
            Event::PreVoteStarted { .. } => tracing::debug!(%node, %group, "{event}"),
            Event::MessageDropped { .. } => tracing::warn!(%node, %group, "{event}"),
            _ => tracing::info!(%node, %group, "{event}"),
        }
    }

    /// Ends everything that waits. Requests still queued never reached the protocol.
    fn finish(mut self, failure: Option<NodeError>) {
        let (node, group) = (self.raft.config().replica, self.raft.config().group);
        let failure = failure.map(|error| error.chain());
        match &failure {
            Some(reason) => tracing::error!(%node, %group, "stops for good: {reason}"),
            None => tracing::info!(%node, %group, "stops"),
        }
        self.board.stopped(failure);
        self.requests.close();
        while let Ok(request) = self.requests.try_recv() {
            match request {
                Request::Propose { answer, .. } => {
                    let _ = answer.send(Err(crate::error::ProposeError::Stopped));
                }
                Request::Read { answer } => {
                    let _ = answer.send(Err(crate::error::ReadError::Stopped));
                }
            }
        }
        self.pending.fail_all();
    }
}
