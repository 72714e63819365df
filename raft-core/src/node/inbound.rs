//! Where everything that happens to a node waits for the loop.
//!
//! One lock around plain queues, held for a push or a swap and never across an
//! await: the loop takes all that waits at once, which is where batches come
//! from. What the outside can fill is bounded in number and bytes. Completions
//! are not: each answers something the loop asked for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use super::error::NodeError;
use super::metrics::Metrics;
use super::requests::Request;
use super::snapshots::Offered;
use super::{Committed, NodeConfig};
use crate::entry::LogSlice;
use crate::error::{ProposeError, ReadError};
use crate::message::{Envelope, MessageClass};
use crate::network::{Inbox, NetworkError, SnapshotHeader};
use crate::protocol::{Consistency, PersistToken, ReadToken, SnapshotToken};
use crate::snapshot::{Snapshot, SnapshotMeta, SnapshotReader};
use crate::types::{LogId, LogIndex};

/// Where the outcome of a proposal goes.
pub(super) type ProposalReply = oneshot::Sender<Result<Committed, ProposeError>>;

/// Where the outcome of a read goes.
pub(super) type ReadReply = oneshot::Sender<Result<LogIndex, ReadError>>;

/// A proposal that the protocol has not seen yet.
#[derive(Debug)]
pub(super) struct NewProposal {
    pub(super) command: Bytes,
    pub(super) reply: ProposalReply,
}

/// A read that the protocol has not seen yet.
#[derive(Debug)]
pub(super) struct NewRead {
    pub(super) consistency: Consistency,
    pub(super) reply: ReadReply,
}

/// Requests of operators that wait for the loop, or for a checkpoint; beyond, they
/// are refused.
pub(super) const MAX_REQUESTS: usize = 1000;

/// Snapshots offered that wait for the loop; beyond, they are refused.
const MAX_OFFERS: usize = 16;

/// Something the loop asked for and that is done.
pub(super) enum Completion {
    /// The writer: everything up to this token is durable.
    Persisted(PersistToken),
    /// The writer: this damaged entry is replaced.
    Repaired(LogId),
    /// Somebody who looks through the log store: this entry is damaged.
    Damaged(LogId),
    /// The reader: what the log holds.
    LogRead {
        token: ReadToken,
        entries: LogSlice,
        corrupt: Option<LogIndex>,
    },
    /// The state machine: where it stands, and what of that a crash leaves.
    Applied { index: LogIndex, durable: LogIndex },
    /// The state machine is durable up to here.
    Checkpointed(LogIndex),
    /// The state machine: a snapshot to send.
    SnapshotReady {
        token: SnapshotToken,
        snapshot: Snapshot,
    },
    /// More of a snapshot has got to its receiver.
    SnapshotProgress(SnapshotToken),
    /// A snapshot was sent, or was not.
    SnapshotSent {
        token: SnapshotToken,
        installed: Option<LogId>,
    },
    /// The state machine was restored, or is as it was.
    SnapshotRestored { token: SnapshotToken, ok: bool },
    /// A task cannot go on, and so the node cannot.
    Failed(NodeError),
}

/// Everything that waited when the loop looked.
#[derive(Default)]
pub(super) struct Turn {
    pub(super) completions: Vec<Completion>,
    pub(super) messages: Vec<Envelope>,
    pub(super) proposals: Vec<NewProposal>,
    pub(super) reads: Vec<NewRead>,
    pub(super) requests: Vec<Request>,
    pub(super) offers: Vec<Offered>,
    /// The node shall stop.
    pub(super) stop: bool,
}

impl Turn {
    fn is_empty(&self) -> bool {
        self.completions.is_empty()
            && self.messages.is_empty()
            && self.proposals.is_empty()
            && self.reads.is_empty()
            && self.requests.is_empty()
            && self.offers.is_empty()
            && !self.stop
    }
}

/// What the outside may fill.
#[derive(Clone, Copy, Debug)]
struct Limits {
    messages: usize,
    message_bytes: usize,
    proposals: usize,
    proposal_bytes: usize,
    reads: usize,
}

#[derive(Default)]
struct Queues {
    turn: Turn,
    message_bytes: usize,
    proposal_bytes: usize,
    is_closed: bool,
}

/// The loop's one inbox.
pub(super) struct Mailbox {
    queues: Mutex<Queues>,
    wake: Notify,
    limits: Limits,
    metrics: Arc<Metrics>,
}

impl Mailbox {
    pub(super) fn new(config: &NodeConfig, metrics: Arc<Metrics>) -> Self {
        let limits = Limits {
            messages: config.max_inbox_messages,
            message_bytes: config.max_inbox_bytes,
            proposals: config.raft.max_pending_proposals,
            proposal_bytes: config.raft.max_uncommitted_bytes,
            reads: config.raft.max_pending_reads,
        };
        Self {
            queues: Mutex::default(),
            wake: Notify::new(),
            limits,
            metrics,
        }
    }

    /// Takes in a client's proposal; its outcome goes to `reply`.
    pub(super) fn propose(&self, command: Bytes, reply: ProposalReply) -> Result<(), ProposeError> {
        let mut queues = self.open_queues().ok_or(ProposeError::Stopped)?;
        let pending = queues.turn.proposals.len();
        let bytes = queues.proposal_bytes + command.len();
        let has_room = pending < self.limits.proposals && bytes <= self.limits.proposal_bytes;
        // A single large one is the protocol's to judge, which takes it when idle.
        if !has_room && pending > 0 {
            return Err(ProposeError::Overloaded { pending });
        }
        queues.proposal_bytes = bytes;
        self.push(queues, |turn| {
            turn.proposals.push(NewProposal { command, reply });
        });
        Ok(())
    }

    /// Takes in a client's read; its outcome goes to `reply`.
    pub(super) fn read(&self, consistency: Consistency, reply: ReadReply) -> Result<(), ReadError> {
        let queues = self.open_queues().ok_or(ReadError::Stopped)?;
        let pending = queues.turn.reads.len();
        if pending >= self.limits.reads {
            return Err(ReadError::Overloaded { pending });
        }
        self.push(queues, |turn| {
            turn.reads.push(NewRead { consistency, reply });
        });
        Ok(())
    }

    /// Takes in an operator's request; one that has no place is refused.
    pub(super) fn request(&self, request: Request) {
        let Some(queues) = self.open_queues() else {
            return request.refuse();
        };
        let pending = queues.turn.requests.len();
        if pending >= MAX_REQUESTS {
            drop(queues);
            return request.refuse_for_overload(pending);
        }
        self.push(queues, |turn| turn.requests.push(request));
    }

    /// Takes in a snapshot, or answers why not.
    fn offer(&self, offered: Offered) -> Result<(), &'static str> {
        let queues = self.open_queues().ok_or("the node is stopped")?;
        if queues.turn.offers.len() >= MAX_OFFERS {
            return Err("the node takes no more snapshots for now");
        }
        self.push(queues, |turn| turn.offers.push(offered));
        Ok(())
    }

    /// Takes in what the loop asked for.
    pub(super) fn complete(&self, completion: Completion) {
        if let Some(queues) = self.open_queues() {
            self.push(queues, |turn| turn.completions.push(completion));
        }
    }

    /// Asks the loop to stop.
    pub(super) fn request_stop(&self) {
        if let Some(queues) = self.open_queues() {
            self.push(queues, |turn| turn.stop = true);
        }
    }

    /// Swaps all that waits with `empty`, whose buffers are used again.
    pub(super) fn take(&self, empty: &mut Turn) {
        debug_assert!(empty.is_empty(), "a turn is handled whole before the next");
        let mut queues = self.lock();
        std::mem::swap(&mut queues.turn, empty);
        queues.message_bytes = 0;
        queues.proposal_bytes = 0;
    }

    /// Takes nothing in from now on; answers what still waited.
    pub(super) fn close(&self) -> Turn {
        let mut queues = self.lock();
        queues.is_closed = true;
        std::mem::take(&mut queues.turn)
    }

    /// Whether anything waits.
    pub(super) fn has_work(&self) -> bool {
        !self.lock().turn.is_empty()
    }

    /// Returns when something came in since the last call; perhaps taken already.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        // Each push leaves the queues whole, so a panic elsewhere spoils nothing.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_queues(&self) -> Option<MutexGuard<'_, Queues>> {
        Some(self.lock()).filter(|queues| !queues.is_closed)
    }

    fn push(&self, mut queues: MutexGuard<'_, Queues>, add: impl FnOnce(&mut Turn)) {
        let was_empty = queues.turn.is_empty();
        add(&mut queues.turn);
        drop(queues);
        // Whoever fills an empty inbox wakes the loop; it then takes all.
        if was_empty {
            self.wake.notify_one();
        }
    }

    /// Keeps what fits; answers how many were dropped. Bytes are counted for
    /// bulk alone, so that votes and heartbeats come through behind it.
    fn keep_what_fits(&self, queues: &mut Queues, batch: Vec<Envelope>) -> u64 {
        let mut dropped = 0;
        for envelope in batch {
            let bytes = match envelope.message.class() {
                MessageClass::Control => 0,
                _ => envelope.message.payload_bytes(),
            };
            let has_bytes = bytes == 0 || queues.message_bytes + bytes <= self.limits.message_bytes;
            let is_first = queues.turn.messages.is_empty();
            if is_first || (has_bytes && queues.turn.messages.len() < self.limits.messages) {
                queues.message_bytes += bytes;
                queues.turn.messages.push(envelope);
            } else {
                dropped += 1;
            }
        }
        dropped
    }
}

#[async_trait]
impl Inbox for Mailbox {
    fn deliver(&self, batch: Vec<Envelope>) {
        let Some(mut queues) = self.open_queues() else {
            return;
        };
        let was_empty = queues.turn.is_empty();
        let dropped = self.keep_what_fits(&mut queues, batch);
        drop(queues);
        if was_empty {
            self.wake.notify_one();
        }
        if dropped > 0 {
            self.metrics.messages_dropped.increment(dropped);
        }
    }

    async fn deliver_snapshot(
        &self,
        header: SnapshotHeader,
        meta: SnapshotMeta,
        reader: Box<dyn SnapshotReader>,
    ) -> Result<(), NetworkError> {
        let refused = |reason: &str| NetworkError::Refused {
            reason: reason.to_owned(),
        };
        let (reply, outcome) = oneshot::channel();
        let offered = Offered {
            header,
            meta,
            reader,
            reply,
        };
        self.offer(offered).map_err(refused)?;
        outcome
            .await
            .unwrap_or_else(|_| Err(refused("the node stopped meanwhile")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::entry::Entry;
    use crate::error::TransferError;
    use crate::membership::Membership;
    use crate::message::{AppendEntries, Commit, Message};
    use crate::types::{GroupId, LogId, ReplicaId, RequestId, Term};

    const KIB: usize = 1 << 10;

    fn mailbox(change: impl FnOnce(&mut NodeConfig)) -> Mailbox {
        let raft = Config::new(ReplicaId::first(1), 7);
        let mut config = NodeConfig::new(raft, Membership::of_ids([1]));
        change(&mut config);
        let metrics = Metrics::of(config.raft.replica.node, config.raft.group);
        Mailbox::new(&config, Arc::new(metrics))
    }

    fn from_leader(message: Message) -> Envelope {
        Envelope {
            group: GroupId::new(0),
            from: ReplicaId::first(2),
            to: ReplicaId::first(1),
            term: Term::new(1),
            message,
        }
    }

    fn append_of(bytes: usize) -> Envelope {
        let request = RequestId::default();
        let entry = Entry::command(LogId::new(1, 1), request, vec![0; bytes].into());
        from_leader(Message::AppendEntries(AppendEntries {
            session: 1,
            previous: LogId::ZERO,
            entries: LogSlice::new(vec![entry]).unwrap(),
            commit: LogIndex::ZERO,
        }))
    }

    fn commit() -> Envelope {
        from_leader(Message::Commit(Commit {
            commit: LogIndex::ZERO,
        }))
    }

    fn waiting(mailbox: &Mailbox) -> Turn {
        let mut turn = Turn::default();
        mailbox.take(&mut turn);
        turn
    }

    #[test]
    fn bulk_beyond_the_bytes_is_dropped_and_control_comes_through() {
        let mailbox = mailbox(|config| config.max_inbox_bytes = 10 * KIB);

        mailbox.deliver(vec![append_of(8 * KIB), append_of(8 * KIB), commit()]);

        let kept = waiting(&mailbox).messages;
        assert_eq!(kept, [append_of(8 * KIB), commit()]);
    }

    #[test]
    fn messages_beyond_the_number_are_dropped_until_the_loop_has_looked() {
        let mailbox = mailbox(|config| config.max_inbox_messages = 2);

        mailbox.deliver(vec![commit(), commit(), commit()]);
        assert_eq!(waiting(&mailbox).messages.len(), 2);

        mailbox.deliver(vec![commit()]);
        assert_eq!(waiting(&mailbox).messages.len(), 1);
    }

    #[test]
    fn proposals_beyond_the_bytes_are_refused_but_for_a_single_one() {
        let mailbox = mailbox(|config| config.raft.max_uncommitted_bytes = KIB);
        let propose = || mailbox.propose(vec![0; 2 * KIB].into(), oneshot::channel().0);

        assert_eq!(propose(), Ok(()));
        assert_eq!(propose(), Err(ProposeError::Overloaded { pending: 1 }));

        waiting(&mailbox);
        assert_eq!(propose(), Ok(()));
    }

    #[test]
    fn requests_beyond_the_number_are_refused_for_overload_and_not_as_if_stopped() {
        let mailbox = mailbox(|_| {});
        let mut outcomes = Vec::new();
        for _ in 0..=MAX_REQUESTS {
            let (reply, outcome) = oneshot::channel();
            mailbox.request(Request::Transfer(None, reply));
            outcomes.push(outcome);
        }
        let mut last = outcomes.pop().unwrap();

        let pending = MAX_REQUESTS;
        assert_eq!(
            last.try_recv(),
            Ok(Err(TransferError::Overloaded { pending }))
        );
        assert_eq!(waiting(&mailbox).requests.len(), MAX_REQUESTS);
        mailbox.close();
        let (reply, mut outcome) = oneshot::channel();
        mailbox.request(Request::Transfer(None, reply));
        assert_eq!(outcome.try_recv(), Ok(Err(TransferError::Stopped)));
    }

    #[test]
    fn a_closed_inbox_takes_nothing_and_gives_back_what_waited() {
        let mailbox = mailbox(|_| {});
        let read = || mailbox.read(Consistency::Linearizable, oneshot::channel().0);
        read().unwrap();

        assert_eq!(mailbox.close().reads.len(), 1);

        mailbox.deliver(vec![commit()]);
        assert_eq!(read(), Err(ReadError::Stopped));
        assert!(!mailbox.has_work());
    }
}
