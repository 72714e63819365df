//! Where a transport hands messages in.

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::metrics;
use crate::message::Envelope;
use crate::network::{Inbox, NetworkError, SnapshotHeader};
use crate::snapshot::{SnapshotMeta, SnapshotReader};

/// A bounded queue in front of the loop. When it is full, messages are dropped
/// and counted: Raft repairs lost messages, and memory does not grow.
pub(super) struct NodeInbox {
    queue: mpsc::Sender<Envelope>,
}

impl NodeInbox {
    pub(super) const fn new(queue: mpsc::Sender<Envelope>) -> Self {
        Self { queue }
    }
}

#[async_trait]
impl Inbox for NodeInbox {
    fn deliver(&self, batch: Vec<Envelope>) {
        let dropped = batch
            .into_iter()
            .filter_map(|e| self.queue.try_send(e).err())
            .count();
        metrics::inbox_dropped(dropped);
    }

    async fn deliver_snapshot(
        &self,
        _header: SnapshotHeader,
        _meta: SnapshotMeta,
        _reader: Box<dyn SnapshotReader>,
    ) -> Result<(), NetworkError> {
        let reason = "this version does not install snapshots".to_owned();
        Err(NetworkError::Refused { reason })
    }
}
