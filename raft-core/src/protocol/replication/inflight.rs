//! The appends sent to one follower and not yet acknowledged, in messages and bytes.

use std::collections::VecDeque;

use crate::time::Timestamp;
use crate::types::LogIndex;

/// A window that closes when full and reopens with acknowledgements.
#[derive(Clone, Debug, Default)]
pub(super) struct Inflight {
    appends: VecDeque<Sent>,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Sent {
    last_index: LogIndex,
    bytes: usize,
    at: Timestamp,
}

impl Inflight {
    pub(super) fn add(&mut self, last_index: LogIndex, bytes: usize, at: Timestamp) {
        self.bytes += bytes;
        self.appends.push_back(Sent {
            last_index,
            bytes,
            at,
        });
    }

    /// Forgets appends that end at or below `index`.
    pub(super) fn acknowledge(&mut self, index: LogIndex) {
        while self
            .appends
            .front()
            .is_some_and(|sent| sent.last_index <= index)
        {
            let sent = self.appends.pop_front().expect("front was just seen");
            self.bytes -= sent.bytes;
        }
    }

    pub(super) fn clear(&mut self) {
        self.appends.clear();
        self.bytes = 0;
    }

    pub(super) fn is_full(&self, max_appends: usize, max_bytes: usize) -> bool {
        self.appends.len() >= max_appends || self.bytes >= max_bytes
    }

    /// When the oldest append that ends above `index` was sent.
    pub(super) fn oldest_above(&self, index: LogIndex) -> Option<Timestamp> {
        self.appends
            .iter()
            .find(|sent| sent.last_index > index)
            .map(|sent| sent.at)
    }
}
