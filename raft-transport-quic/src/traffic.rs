//! Counts frames and their bytes.

use metrics::Counter;

/// One direction's counters, looked up once for many frames.
pub(crate) struct Traffic {
    frames: Counter,
    bytes: Counter,
}

impl Traffic {
    pub(crate) fn sent() -> Self {
        Self::new("sent")
    }

    pub(crate) fn received() -> Self {
        Self::new("received")
    }

    fn new(direction: &'static str) -> Self {
        Self {
            frames: metrics::counter!("raft_transport_frames_total", "direction" => direction),
            bytes: metrics::counter!("raft_transport_bytes_total", "direction" => direction),
        }
    }

    /// A frame of so many bytes.
    pub(crate) fn count(&self, bytes: usize) {
        self.frames.increment(1);
        self.bytes.increment(bytes as u64);
    }
}
