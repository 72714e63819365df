//! Counts frames and their bytes.

use metrics::Counter;
use raft_core::{MessageClass, NodeId};

use crate::peer::class_name;

/// The counters of one direction, class and peer, looked up once for many frames.
pub(crate) struct Traffic {
    frames: Counter,
    bytes: Counter,
}

impl Traffic {
    pub(crate) fn sent(class: MessageClass, peer: NodeId) -> Self {
        Self::new("sent", class, peer)
    }

    pub(crate) fn received(class: MessageClass, peer: NodeId) -> Self {
        Self::new("received", class, peer)
    }

    /// The peer's certificate was checked: strangers add no labels.
    fn new(direction: &'static str, class: MessageClass, peer: NodeId) -> Self {
        let labels = [
            ("direction", direction.to_owned()),
            ("class", class_name(class).to_owned()),
            ("peer", peer.get().to_string()),
        ];
        Self {
            frames: metrics::counter!("raft_transport_frames_total", &labels),
            bytes: metrics::counter!("raft_transport_bytes_total", &labels),
        }
    }

    /// A frame of so many bytes.
    pub(crate) fn count(&self, bytes: usize) {
        self.frames.increment(1);
        self.bytes.increment(bytes as u64);
    }
}
