//! The state machine of a simulated node: a digest of everything applied.
//!
//! It applies with a delay and flushes now and then; a crash takes it back to
//! its last flush, and it applies again from there.

use std::collections::VecDeque;

use super::image::digest_after;
use crate::entry::Entry;
use crate::protocol::Apply;
use crate::types::LogIndex;

/// Position and digest of a state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct State {
    pub(crate) applied: LogIndex,
    pub(crate) digest: u64,
}

/// The state machine of one node.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    pub(crate) state: State,
    pub(crate) durable: State,
    queue: VecDeque<Apply>,
}

impl Machine {
    /// Takes in a batch to apply. Answers whether nothing else was waiting.
    pub(crate) fn begin(&mut self, apply: Apply) -> bool {
        self.queue.push_back(apply);
        self.queue.len() == 1
    }

    /// The oldest batch, which is due.
    pub(crate) fn next_batch(&mut self) -> Option<Apply> {
        self.queue.pop_front()
    }

    /// Whether nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Applies one entry.
    pub(crate) fn apply(&mut self, entry: &Entry) {
        self.state = State {
            applied: entry.index(),
            digest: digest_after(self.state.digest, entry),
        };
    }

    /// Makes the state durable.
    pub(crate) fn flush(&mut self) {
        self.durable = self.state;
    }

    /// Goes back to the last flush. Answers whether that loses anything.
    pub(crate) fn crash(&mut self) -> bool {
        let loses = self.state.applied > self.durable.applied;
        self.state = self.durable;
        self.queue.clear();
        loses
    }
}
