//! Snapshots on their way: out to followers, and in from a leader.
//!
//! Each one sent has a task of its own, which can be stopped. Those coming in
//! wait here, reader and all, until the protocol says what becomes of them. What
//! is read passes through the readers of `streams`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;

use super::inbound::{Completion, Mailbox};
use super::streams::{Guarded, Paced, Reporting};
use crate::network::{Network, NetworkError, SnapshotHeader};
use crate::protocol::{SendSnapshot, SnapshotToken};
use crate::snapshot::{Snapshot, SnapshotMeta, SnapshotReader};

/// Where a transport learns what became of a snapshot that it brought.
pub(super) type OfferReply = oneshot::Sender<Result<(), NetworkError>>;

/// A snapshot that a transport brings.
pub(super) struct Offered {
    pub(super) header: SnapshotHeader,
    pub(super) meta: SnapshotMeta,
    pub(super) reader: Box<dyn SnapshotReader>,
    pub(super) reply: OfferReply,
}

impl std::fmt::Debug for Offered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offered")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// Snapshots that come in, by token.
#[derive(Debug)]
pub(super) struct Incoming {
    last: u64,
    /// How long a stream may be silent.
    patience: Duration,
    /// Not handed to the state machine yet.
    readers: BTreeMap<SnapshotToken, (SnapshotMeta, Reader)>,
    /// Being read: told why, if that is to end.
    reading: BTreeMap<SnapshotToken, watch::Sender<Option<&'static str>>>,
    replies: BTreeMap<SnapshotToken, OfferReply>,
}

struct Reader(Box<dyn SnapshotReader>);

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader")
    }
}

impl Incoming {
    pub(super) const fn new(patience: Duration) -> Self {
        Self {
            last: 0,
            patience,
            readers: BTreeMap::new(),
            reading: BTreeMap::new(),
            replies: BTreeMap::new(),
        }
    }

    /// The node stops: whoever reads gets an error instead of the next chunk.
    pub(super) fn stop(&self) {
        for stop in self.reading.values() {
            stop.send_replace(Some("the node stops"));
        }
    }

    /// Whoever reads this one gets an error instead of the next chunk.
    pub(super) fn stop_reading(&self, token: SnapshotToken, reason: &'static str) {
        if let Some(stop) = self.reading.get(&token) {
            stop.send_replace(Some(reason));
        }
    }

    /// Keeps an offered snapshot until its fate is known.
    pub(super) fn insert(&mut self, offered: Offered) -> SnapshotToken {
        self.last += 1;
        let token = SnapshotToken(self.last);
        self.readers
            .insert(token, (offered.meta, Reader(offered.reader)));
        self.replies.insert(token, offered.reply);
        token
    }

    /// What the state machine is restored from.
    pub(super) fn take_reader(
        &mut self,
        token: SnapshotToken,
    ) -> Option<(SnapshotMeta, Box<dyn SnapshotReader>)> {
        let (meta, reader) = self.readers.remove(&token)?;
        let stop = watch::Sender::new(None);
        let guarded = Guarded::new(reader.0, self.patience, stop.subscribe());
        self.reading.insert(token, stop);
        Some((meta, Box::new(guarded)))
    }

    /// Tells the transport what became of it.
    pub(super) fn answer(&mut self, token: SnapshotToken, result: Result<(), NetworkError>) {
        self.readers.remove(&token);
        self.reading.remove(&token);
        if let Some(reply) = self.replies.remove(&token) {
            // Perhaps the stream broke meanwhile, and nobody listens.
            let _ = reply.send(result);
        }
    }
}

/// Snapshots that go out, by token.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Bytes a second, for each; no limit if none is set.
    rate: Option<u64>,
    /// Asked of the state machine; the snapshot is not there yet.
    prepared: BTreeMap<SnapshotToken, SendSnapshot>,
    sending: BTreeMap<SnapshotToken, AbortHandle>,
}

impl Outgoing {
    pub(super) const fn new(rate: Option<u64>) -> Self {
        Self {
            rate,
            prepared: BTreeMap::new(),
            sending: BTreeMap::new(),
        }
    }

    /// The state machine is being asked for this one.
    pub(super) fn expect(&mut self, order: SendSnapshot) {
        self.prepared.insert(order.token, order);
    }

    /// The order for a snapshot that is there now; nothing if it is not wanted any more.
    pub(super) fn take_order(&mut self, token: SnapshotToken) -> Option<SendSnapshot> {
        self.prepared.remove(&token)
    }

    /// Streams `snapshot` in a task of its own.
    pub(super) fn send(
        &mut self,
        network: &Arc<dyn Network>,
        header: SnapshotHeader,
        token: SnapshotToken,
        snapshot: Snapshot,
        mailbox: &Arc<Mailbox>,
    ) {
        let Snapshot { meta, mut reader } = snapshot;
        let last_included = meta.last_included;
        if let Some(rate) = self.rate {
            reader = Box::new(Paced::new(reader, rate));
        }
        let reader = Box::new(Reporting::new(reader, token, Arc::clone(mailbox)));
        let (network, mailbox) = (Arc::clone(network), Arc::clone(mailbox));
        let task = tokio::spawn(async move {
            let sent = network
                .send_snapshot(header, Snapshot { meta, reader })
                .await;
            if let Err(error) = &sent {
                let SnapshotHeader {
                    from, to, group, ..
                } = header;
                tracing::warn!(node = %from, %group, %to, %error, "a snapshot did not get across");
            }
            sent.is_ok().then_some(last_included)
        });
        self.sending.insert(token, task.abort_handle());
        // Speaks for the task even if the transport or the reader panics.
        tokio::spawn(async move {
            let installed = task.await.ok().flatten();
            mailbox.complete(Completion::SnapshotSent { token, installed });
        });
    }

    /// It ended by itself.
    pub(super) fn ended(&mut self, token: SnapshotToken) {
        self.sending.remove(&token);
    }

    /// It is of no use any more.
    pub(super) fn stop(&mut self, token: SnapshotToken) {
        self.prepared.remove(&token);
        if let Some(task) = self.sending.remove(&token) {
            task.abort();
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        for task in self.sending.values() {
            task.abort();
        }
    }
}
