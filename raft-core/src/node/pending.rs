//! Requests of this node's clients that the protocol has and that wait for their outcome.

use std::collections::BTreeMap;

use crate::protocol::Ticket;

/// Requests of one kind by ticket.
#[derive(Debug)]
pub(super) struct Pending<R> {
    last: Ticket,
    waiting: BTreeMap<Ticket, R>,
}

impl<R> Pending<R> {
    pub(super) const fn new() -> Self {
        Self {
            last: Ticket(0),
            waiting: BTreeMap::new(),
        }
    }

    /// Remembers where the outcome goes, under a ticket above all earlier ones.
    pub(super) fn insert(&mut self, reply: R) -> Ticket {
        self.last = Ticket(self.last.0 + 1);
        self.waiting.insert(self.last, reply);
        self.last
    }

    /// Where the outcome goes; nothing if it went there already.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<R> {
        self.waiting.remove(&ticket)
    }

    /// All that wait, in the order they came.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = R> + use<R> {
        std::mem::take(&mut self.waiting).into_values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_answered_once() {
        let mut pending = Pending::new();
        let first = pending.insert("first");
        let second = pending.insert("second");

        assert!(first < second);
        assert_eq!(pending.take(first), Some("first"));
        assert_eq!(pending.take(first), None);
        assert_eq!(pending.take_all().collect::<Vec<_>>(), ["second"]);
    }
}
