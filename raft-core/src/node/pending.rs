//! Who waits for which ticket.

use std::collections::BTreeMap;

use super::{ProposeAnswer, ReadAnswer};
use crate::error::ProposeError;
use crate::protocol::Ticket;

/// Waiting clients, by ticket. Each gets exactly one answer.
#[derive(Debug, Default)]
pub(super) struct Pending {
    last_ticket: u64,
    proposals: BTreeMap<u64, ProposeAnswer>,
    reads: BTreeMap<u64, ReadAnswer>,
}

impl Pending {
    pub(super) fn add_proposal(&mut self, answer: ProposeAnswer) -> Ticket {
        self.last_ticket += 1;
        self.proposals.insert(self.last_ticket, answer);
        Ticket(self.last_ticket)
    }

    pub(super) fn add_read(&mut self, answer: ReadAnswer) -> Ticket {
        self.last_ticket += 1;
        self.reads.insert(self.last_ticket, answer);
        Ticket(self.last_ticket)
    }

    pub(super) fn take_proposal(&mut self, ticket: Ticket) -> Option<ProposeAnswer> {
        self.proposals.remove(&ticket.0)
    }

    pub(super) fn take_read(&mut self, ticket: Ticket) -> Option<ReadAnswer> {
        self.reads.remove(&ticket.0)
    }

    /// The node stops: proposals handed to the protocol may be in the log.
    pub(super) fn fail_all(&mut self) {
        for (_, answer) in std::mem::take(&mut self.proposals) {
            let _ = answer.send(Err(ProposeError::Unknown {
                reason: "the node stopped",
            }));
        }
        for (_, answer) in std::mem::take(&mut self.reads) {
            let _ = answer.send(Err(crate::error::ReadError::Stopped));
        }
    }
}
