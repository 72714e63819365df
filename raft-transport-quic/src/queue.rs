//! What waits to be sent to one peer in one class: bounded in messages and bytes.
//!
//! Every Raft message may be lost, so a full queue drops its oldest. Appends
//! go first: the leader notices and sends again, whereas a client waits for a
//! proposal that was forwarded.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use raft_core::{Envelope, Message};
use tokio::sync::Notify;

/// How much may wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct QueueLimit {
    /// Most messages.
    pub messages: usize,
    /// Most bytes, as far as messages tell their size. A single larger message
    /// still goes, alone.
    pub bytes: usize,
}

/// A bounded queue of envelopes; pushing never blocks.
#[derive(Debug)]
pub(crate) struct BoundedQueue {
    limit: QueueLimit,
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    dropped: u64,
    /// When something was last queued, or written at once.
    pause_since: Option<Instant>,
}

/// How it stands after messages were added.
#[derive(Debug)]
pub(crate) struct Pushed {
    /// How many older messages were dropped for them.
    pub(crate) dropped: u64,
    /// What waits now, in bytes.
    pub(crate) waiting_bytes: usize,
    /// How long after what came before, if something did.
    pub(crate) after: Option<Duration>,
}

#[derive(Debug)]
struct Waiting {
    envelope: Envelope,
    size: usize,
    since: Instant,
}

impl BoundedQueue {
    /// An empty queue.
    pub(crate) fn new(limit: QueueLimit) -> Self {
        Self {
            limit,
            state: Mutex::default(),
            filled: Notify::new(),
        }
    }

    /// Adds messages. One lock and one look at the clock, however many they are. Whoever
    /// empties the queue is to be [called](Self::call) afterwards.
    pub(crate) fn push(&self, envelopes: impl IntoIterator<Item = Envelope>) -> Pushed {
        let since = Instant::now();
        let mut state = self.state();
        let before = state.dropped;
        for envelope in envelopes {
            state.push(envelope, since, self.limit);
        }
        let last = state.pause_since.replace(since);
        Pushed {
            dropped: state.dropped - before,
            waiting_bytes: state.bytes,
            after: last.map(|last| since.duration_since(last)),
        }
    }

    /// Counts the time until the next push from now on. Answers whether nothing waits.
    pub(crate) fn pause_begins(&self) -> bool {
        let mut state = self.state();
        state.pause_since = Some(Instant::now());
        state.waiting.is_empty()
    }

    /// Takes messages up to about `bytes`, in their order.
    pub(crate) fn take(&self, bytes: usize) -> Vec<Envelope> {
        self.state().take(bytes)
    }

    /// Has the one who waits look at the queue, now or when it waits next.
    pub(crate) fn call(&self) {
        self.filled.notify_one();
    }

    /// Waits for a call. For one task; dropping the future loses nothing.
    pub(crate) async fn called(&self) {
        self.filled.notified().await;
    }

    /// Drops what has waited longer than `age`; returns how many that were.
    pub(crate) fn drop_older_than(&self, age: Duration) -> u64 {
        let mut state = self.state();
        let before = state.dropped;
        while state
            .waiting
            .front()
            .is_some_and(|w| w.since.elapsed() > age)
        {
            state.remove(0);
        }
        state.dropped - before
    }

    /// How many messages wait.
    pub(crate) fn len(&self) -> usize {
        self.state().waiting.len()
    }

    /// How many were dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.state().dropped
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock panics half way; a poisoned queue is still a queue.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, envelope: Envelope, since: Instant, limit: QueueLimit) {
        let size = size_of_envelope(&envelope);
        while !self.waiting.is_empty()
            && (self.waiting.len() >= limit.messages || self.bytes + size > limit.bytes)
        {
            self.drop_one();
        }
        self.bytes += size;
        self.waiting.push_back(Waiting {
            envelope,
            size,
            since,
        });
    }

    fn drop_one(&mut self) {
        let append = self
            .waiting
            .iter()
            .position(|w| matches!(w.envelope.message, Message::AppendEntries(_)));
        self.remove(append.unwrap_or(0));
    }

    fn remove(&mut self, position: usize) {
        if let Some(gone) = self.waiting.remove(position) {
            self.bytes -= gone.size;
            self.dropped += 1;
        }
    }

    fn take(&mut self, bytes: usize) -> Vec<Envelope> {
        let mut batch = Vec::new();
        let mut taken = 0;
        while let Some(next) = self.waiting.front() {
            if !batch.is_empty() && taken + next.size > bytes {
                break;
            }
            taken += next.size;
            self.bytes -= next.size;
            batch.extend(self.waiting.pop_front().map(|w| w.envelope));
        }
        batch
    }
}

/// About how many bytes an envelope takes, in memory and on the wire.
pub(crate) fn size_of_envelope(envelope: &Envelope) -> usize {
    const FIXED: usize = 96;
    const PER_ITEM: usize = 16;
    FIXED
        + match &envelope.message {
            Message::AppendEntries(append) => append.entries.size(),
            Message::Propose(propose) => propose
                .commands
                .iter()
                .map(|(_, data)| PER_ITEM + data.len())
                .sum(),
            Message::FetchedEntry(fetched) => fetched.entry.size(),
            Message::ProposeRefused(refused) => refused.sequences.len() * PER_ITEM,
            _ => 0,
        }
}

#[cfg(test)]
mod tests {
    use raft_core::message::{AppendEntries, Commit, FetchedEntry, Propose};
    use raft_core::{Entry, GroupId, LogId, LogIndex, LogSlice, ReplicaId, RequestId, Term};

    use super::*;

    const NO_BYTE_LIMIT: usize = usize::MAX;

    fn queue(messages: usize, bytes: usize) -> BoundedQueue {
        BoundedQueue::new(QueueLimit { messages, bytes })
    }

    fn envelope(message: Message) -> Envelope {
        Envelope {
            group: GroupId::new(0),
            from: ReplicaId::first(1),
            to: ReplicaId::first(2),
            term: Term::new(1),
            message,
        }
    }

    fn commit(index: u64) -> Envelope {
        let commit = LogIndex::new(index);
        envelope(Message::Commit(Commit { commit }))
    }

    fn probe(session: u64) -> Envelope {
        envelope(Message::AppendEntries(AppendEntries {
            session,
            previous: LogId::ZERO,
            entries: LogSlice::empty(),
            commit: LogIndex::ZERO,
        }))
    }

    fn proposal(bytes: usize) -> Envelope {
        envelope(Message::Propose(Propose {
            boot: 1,
            commands: vec![(1, vec![0; bytes].into())],
        }))
    }

    #[tokio::test]
    async fn a_full_queue_drops_its_oldest() {
        let queue = queue(2, NO_BYTE_LIMIT);

        let dropped: Vec<_> = (1..=3).map(|i| queue.push([commit(i)]).dropped).collect();

        assert_eq!(dropped, [0, 0, 1]);
        assert_eq!(queue.take(NO_BYTE_LIMIT), [commit(2), commit(3)]);
    }

    #[tokio::test]
    async fn appends_are_dropped_before_forwarded_proposals() {
        let queue = queue(2, NO_BYTE_LIMIT);

        queue.push([proposal(1)]);
        queue.push([probe(1)]);
        queue.push([probe(2)]);

        assert_eq!(queue.take(NO_BYTE_LIMIT), [proposal(1), probe(2)]);
    }

    #[test]
    fn bytes_are_bounded_and_a_single_large_message_still_fits() {
        let queue = queue(100, 10_000);

        for _ in 0..50 {
            queue.push([proposal(1_000)]);
        }
        assert!(queue.len() <= 10);
        queue.push([proposal(20_000)]);

        assert_eq!(queue.len(), 1);
        assert_eq!(queue.dropped(), 50);
    }

    #[test]
    fn every_message_that_carries_an_entry_counts_its_bytes() {
        let request = RequestId {
            boot: 1,
            sequence: 1,
        };
        let entry = Entry::command(LogId::new(1, 1), request, vec![0; 1_000].into());
        let fetched = FetchedEntry {
            entry: entry.clone(),
        };
        let append = AppendEntries {
            session: 1,
            previous: LogId::ZERO,
            entries: LogSlice::new(vec![entry]).unwrap(),
            commit: LogIndex::ZERO,
        };

        for message in [
            Message::FetchedEntry(fetched),
            Message::AppendEntries(append),
            proposal(1_000).message,
        ] {
            let name = message.name();
            assert!(size_of_envelope(&envelope(message)) > 1_000, "{name}");
        }
    }

    #[tokio::test]
    async fn a_batch_ends_before_its_byte_limit_but_never_empty() {
        let queue = queue(100, NO_BYTE_LIMIT);
        for _ in 0..3 {
            queue.push([proposal(1_000)]);
        }

        assert_eq!(queue.take(2_500).len(), 2);
        assert_eq!(queue.take(1).len(), 1);
    }

    #[test]
    fn what_waited_too_long_is_dropped() {
        let queue = queue(100, NO_BYTE_LIMIT);
        queue.push([commit(1)]);

        assert_eq!(queue.drop_older_than(Duration::from_secs(3600)), 0);
        assert_eq!(queue.drop_older_than(Duration::ZERO), 1);
        assert_eq!(queue.len(), 0);
    }
}
