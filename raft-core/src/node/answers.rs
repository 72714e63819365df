//! Proposals that are with the state machine and wait for its answers.
//!
//! The state machine's task answers them. If it takes longer than a client's
//! patience, the loop does, and says that the outcome is unknown. One deadline
//! for a whole batch costs nothing per proposal.

use std::sync::{Arc, Mutex, PoisonError};

use super::inbound::ProposalReply;
use crate::error::ProposeError;
use crate::time::Timestamp;
use crate::types::LogIndex;

/// Who waits for the answers to one batch, in index order; shared by the state
/// machine's task and the loop, whoever is first.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting(Arc<Mutex<Vec<(LogIndex, ProposalReply)>>>);

impl Waiting {
    pub(super) fn new(waiting: Vec<(LogIndex, ProposalReply)>) -> Self {
        Self(Arc::new(Mutex::new(waiting)))
    }

    /// All that still wait; the caller answers them.
    pub(super) fn take(&self) -> Vec<(LogIndex, ProposalReply)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The batch that the state machine has, with the moment at which clients' patience ends.
#[derive(Debug, Default)]
pub(super) struct AtStateMachine {
    batch: Option<(Timestamp, Waiting)>,
}

impl AtStateMachine {
    /// The state machine gets a batch. It has one at a time.
    pub(super) fn begin(&mut self, deadline: Timestamp, waiting: Waiting) {
        self.batch = Some((deadline, waiting));
    }

    pub(super) fn end(&mut self) {
        self.batch = None;
    }

    /// When `expire` has something to do.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.batch.as_ref().map(|(deadline, _)| *deadline)
    }

    /// Answers those who waited too long.
    pub(super) fn expire(&mut self, now: Timestamp) {
        let late = self.batch.take_if(|(deadline, _)| *deadline <= now);
        let waiting = late.map(|(_, waiting)| waiting.take());
        for (_, reply) in waiting.into_iter().flatten() {
            let reason = "the state machine did not answer within the request timeout";
            // Perhaps the caller gave up, which is its right.
            let _ = reply.send(Err(ProposeError::Unknown { reason }));
        }
    }
}
