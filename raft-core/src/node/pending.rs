//! Requests of this node's clients that the protocol has and that wait for their outcome.

use std::collections::VecDeque;

use crate::protocol::Ticket;

/// Requests of one kind by ticket. Tickets are given out one after the other and
/// mostly come back in that order.
#[derive(Debug)]
pub(super) struct Pending<R> {
    /// The ticket of the first in the queue.
    first: u64,
    /// One place a ticket; empty where the outcome went already.
    waiting: VecDeque<Option<R>>,
}

impl<R> Pending<R> {
    pub(super) const fn new() -> Self {
        Self {
            first: 1,
            waiting: VecDeque::new(),
        }
    }

    /// Remembers where the outcome goes, under a ticket above all earlier ones.
    pub(super) fn insert(&mut self, reply: R) -> Ticket {
        let ticket = Ticket(self.first + self.waiting.len() as u64);
        self.waiting.push_back(Some(reply));
        ticket
    }

    /// Where the outcome goes; nothing if it went there already.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<R> {
        let place = usize::try_from(ticket.0.checked_sub(self.first)?).ok()?;
        let reply = self.waiting.get_mut(place)?.take();
        while let Some(None) = self.waiting.front() {
            self.waiting.pop_front();
            self.first += 1;
        }
        reply
    }

    /// All that wait, in the order they came.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = R> + use<R> {
        self.first += self.waiting.len() as u64;
        std::mem::take(&mut self.waiting).into_iter().flatten()
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
        assert!(second < pending.insert("third"));
    }

    #[test]
    fn an_answer_amid_others_is_found() {
        let mut pending = Pending::new();
        let tickets: Vec<_> = (0..4).map(|number| pending.insert(number)).collect();

        assert_eq!(pending.take(tickets[2]), Some(2));
        assert_eq!(pending.take(tickets[0]), Some(0));
        assert_eq!(pending.take(tickets[2]), None);
        assert_eq!(pending.take(tickets[3]), Some(3));
        assert_eq!(pending.take(tickets[1]), Some(1));
        assert_eq!(pending.take(Ticket(9)), None);
    }
}
