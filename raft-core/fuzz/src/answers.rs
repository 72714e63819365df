//! Every request ends at most once, and nothing ends that nobody asked for.

use std::collections::BTreeSet;

use raft_core::protocol::Ticket;

/// What was asked.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// A command.
    Proposal,
    /// A read.
    Read,
    /// A membership change.
    Change,
    /// A leadership transfer.
    Transfer,
}

/// The requests without an outcome.
#[derive(Debug, Default)]
pub struct Answers {
    open: BTreeSet<(Kind, u64)>,
    last_ticket: u64,
}

impl Answers {
    /// A ticket for a request that is about to be made.
    pub fn open(&mut self, kind: Kind) -> Ticket {
        self.last_ticket += 1;
        self.open.insert((kind, self.last_ticket));
        Ticket(self.last_ticket)
    }

    /// A request has its outcome.
    pub fn end(&mut self, kind: Kind, ticket: Ticket) {
        let was_open = self.open.remove(&(kind, ticket.0));
        assert!(
            was_open,
            "{kind:?} {ticket:?} ends twice, or was never asked"
        );
    }

    /// The latest ticket.
    pub fn last_ticket(&self) -> u64 {
        self.last_ticket
    }

    /// A restart: nobody waits any more.
    pub fn forget(&mut self) {
        self.open.clear();
    }

    /// How many requests of this kind have no outcome.
    pub fn count(&self, kind: Kind) -> usize {
        self.open.iter().filter(|(asked, _)| *asked == kind).count()
    }
}
