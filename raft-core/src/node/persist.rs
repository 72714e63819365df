//! The persist task: makes term, vote and entries durable, in order.
//!
//! Group commit: what queued while the last sync ran becomes the next batch.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::NodeError;
use super::driver::Completed;
use crate::entry::{Entry, LogSlice};
use crate::hard_state::HardState;
use crate::log_store::{AppendBatch, LogStore};
use crate::protocol::{Persist, PersistToken};
use crate::stable_store::StableStore;
use crate::types::LogIndex;

/// Most requests that become one batch.
const MAX_BATCH: usize = 4096;

/// Starts the task; it ends when the sender is dropped or a write failed.
pub(super) fn spawn(
    stable: Arc<dyn StableStore>,
    log: Arc<dyn LogStore>,
    completed: mpsc::UnboundedSender<Completed>,
) -> mpsc::UnboundedSender<Persist> {
    // Unbounded: its content is what the protocol holds uncommitted, which is bounded in bytes.
    let (sender, mut queue) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut requests = Vec::new();
        while queue.recv_many(&mut requests, MAX_BATCH).await > 0 {
            let merged = Merged::of(requests.drain(..));
            let token = merged.token;
            let report = match write(stable.as_ref(), log.as_ref(), merged).await {
                Ok(()) => Completed::Persisted(token),
                Err(error) => Completed::Failed(error),
            };
            let is_failure = matches!(report, Completed::Failed(_));
            if completed.send(report).is_err() || is_failure {
                return;
            }
        }
    });
    sender
}

async fn write(
    stable: &dyn StableStore,
    log: &dyn LogStore,
    merged: Merged,
) -> Result<(), NodeError> {
    // Term and vote first: the log must never hold a term that the vote store has not seen.
    if let Some(hard_state) = merged.hard_state {
        stable
            .save(hard_state)
            .await
            .map_err(|source| ("saving term and vote", source))?;
    }
    if merged.truncate_from.is_some() || !merged.entries.is_empty() {
        let entries = LogSlice::new(merged.entries).expect("the protocol appends runs");
        let batch = AppendBatch {
            truncate_from: merged.truncate_from,
            entries,
        };
        log.append(batch)
            .await
            .map_err(|source| ("appending to the log", source))?;
    }
    Ok(())
}

/// Several requests as one: the same final state, one sync each for vote and log.
#[derive(Debug, Default)]
struct Merged {
    token: PersistToken,
    hard_state: Option<HardState>,
    truncate_from: Option<LogIndex>,
    entries: Vec<Entry>,
}

impl Merged {
    fn of(requests: impl Iterator<Item = Persist>) -> Self {
        let mut merged = Self::default();
        for request in requests {
            merged.add(request);
        }
        merged
    }

    fn add(&mut self, request: Persist) {
        self.token = request.token;
        self.hard_state = request.hard_state.or(self.hard_state);
        if let Some(cut) = request.truncate_from {
            let keep = self.entries.partition_point(|entry| entry.index() < cut);
            self.entries.truncate(keep);
            // A cut inside what this batch itself appends needs none in the store,
            // but for the cut that the batch began with.
            if self.entries.is_empty() {
                self.truncate_from = Some(self.truncate_from.map_or(cut, |from| from.min(cut)));
            }
        }
        self.entries.extend(request.entries.into_entries());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::LogId;

    fn request(token: u64, cut: Option<u64>, first: u64, count: u64, term: u64) -> Persist {
        let entries = (first..first + count)
            .map(|i| Entry::blank(LogId::new(term, i)))
            .collect();
        Persist {
            token: PersistToken(token),
            hard_state: None,
            truncate_from: cut.map(LogIndex::new),
            entries: LogSlice::new(entries).unwrap(),
        }
    }

    /// What a log becomes by a cut and a run.
    fn carry_out(log: &mut Vec<Entry>, cut: Option<LogIndex>, entries: &[Entry]) {
        if let Some(cut) = cut {
            log.retain(|entry| entry.index() < cut);
        }
        if let Some(first) = entries.first() {
            let last = log.last().map_or(LogIndex::ZERO, Entry::index);
            assert_eq!(first.index(), last.next(), "a gap or an overlap");
        }
        log.extend_from_slice(entries);
    }

    proptest! {
        #[test]
        fn a_merged_batch_leaves_the_log_that_its_requests_leave_one_by_one(
            steps in prop::collection::vec((0u64..6, 0u64..4, any::<bool>()), 1..12),
            stored in 0u64..6,
        ) {
            let initial: Vec<Entry> = (1..=stored).map(|i| Entry::blank(LogId::new(1, i))).collect();
            let mut expected = initial.clone();
            let mut requests = Vec::new();
            for (token, (back, count, cuts)) in (1..).zip(steps) {
                let last = expected.len() as u64;
                let cut = (cuts && back < last).then(|| last - back);
                let first = cut.unwrap_or(last + 1);
                let next = request(token, cut, first, count, token + 1);
                carry_out(&mut expected, next.truncate_from, next.entries.entries());
                requests.push(next);
            }

            let merged = Merged::of(requests.into_iter());
            let mut found = initial;
            carry_out(&mut found, merged.truncate_from, &merged.entries);

            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_latest_term_and_vote_win() {
        let saved = |term| HardState {
            current_term: crate::types::Term::new(term),
            voted_for: None,
        };
        let mut first = request(1, None, 1, 0, 1);
        first.hard_state = Some(saved(3));
        let mut second = request(2, None, 1, 1, 1);
        second.hard_state = Some(saved(4));
        let third = request(3, None, 2, 1, 4);

        let merged = Merged::of([first, second, third].into_iter());

        assert_eq!(merged.hard_state, Some(saved(4)));
        assert_eq!(merged.token, PersistToken(3));
        assert_eq!(merged.entries.len(), 2);
    }
}
