//! What waits to be written: what was handed in, and what is put off while the disk
//! has no room for it.
//!
//! Appends and repairs are put off, and what follows them in the same log, because its
//! changes take effect in order. Votes and purges go on: they need little, and a purge
//! makes room. Nobody who waits is told anything until there is space again, so nothing
//! is acknowledged that is not written, and nothing is refused that may yet be.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use raft_core::StorageError;
use tokio::sync::oneshot;

use crate::change::Change;
use crate::condition::Condition;
use crate::room::Room;

/// How often a full disk is asked whether there is space again.
pub(crate) const ASK_EVERY: Duration = Duration::from_millis(100);

/// How long a flush is waited for before it is asked about again.
const MOMENT: Duration = Duration::from_millis(5);

/// Whoever waits for a change.
pub(crate) type Outcome = oneshot::Sender<Result<(), StorageError>>;

/// A change, and who waits for it.
pub(crate) type Handed = (Change, Outcome);

/// The writing end of the queue.
pub(crate) struct Intake {
    queue: Receiver<Handed>,
    is_over: bool,
    put_off: VecDeque<Handed>,
    room: Room,
    condition: Arc<Condition>,
}

impl Intake {
    pub(crate) const fn new(
        queue: Receiver<Handed>,
        room: Room,
        condition: Arc<Condition>,
    ) -> Self {
        Self {
            queue,
            is_over: false,
            put_off: VecDeque::new(),
            room,
            condition,
        }
    }

    /// The next change that can be written now.
    pub(crate) fn try_next(&mut self) -> Option<Handed> {
        self.forget_the_abandoned();
        if let Some(place) = self.first_that_passes() {
            let handed = self.put_off.remove(place);
            if self.put_off.is_empty() {
                self.has_room_again();
            }
            return handed;
        }
        loop {
            match self.queue.try_recv() {
                Ok(handed) => {
                    if let Some(handed) = self.admit(handed) {
                        return Some(handed);
                    }
                }
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => {
                    self.is_over = true;
                    return None;
                }
            }
        }
    }

    /// Whether nothing comes any more. Nobody waits then for what was put off.
    pub(crate) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether something was put off.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.put_off.is_empty()
    }

    /// The disk refused a write for want of space: takes in what comes, for a while.
    /// Answers whether anybody still waits.
    pub(crate) fn wait_for_space(&mut self) -> bool {
        self.is_full();
        self.take_in_for(ASK_EVERY)
    }

    fn take_in_for(&mut self, duration: Duration) -> bool {
        match self.queue.recv_timeout(duration) {
            Ok(handed) => self.put_off.push_back(handed),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        true
    }

    /// Whether the disk shows more than the reserve.
    pub(crate) fn has_room(&mut self) -> bool {
        self.room.ask();
        !self.room.is_short()
    }

    /// Takes in what comes, for a moment. Answers whether anybody still waits.
    pub(crate) fn wait_a_moment(&mut self) -> bool {
        self.take_in_for(MOMENT)
    }

    /// What was refused is written.
    pub(crate) fn space_is_found(&mut self) {
        if self.put_off.is_empty() {
            self.has_room_again();
        }
    }

    /// Lets a change pass, or puts it off.
    fn admit(&mut self, handed: Handed) -> Option<Handed> {
        let follows = self.follows(&handed.0, self.put_off.len());
        if !follows && self.has_room_for(handed.0.bytes()) {
            return Some(handed);
        }
        self.is_full();
        self.put_off.push_back(handed);
        None
    }

    /// The place of the first of those put off that need not wait any more: the first of
    /// all, once there is room for it, or one that needs none.
    fn first_that_passes(&mut self) -> Option<usize> {
        let first = self.put_off.front()?.0.bytes();
        if self.has_room_for(first) {
            return Some(0);
        }
        (1..self.put_off.len()).find(|&place| {
            let change = &self.put_off[place].0;
            change.bytes() == 0 && !self.follows(change, place)
        })
    }

    /// Whoever gave up was told nothing and may have begun anew: what they wanted must
    /// not take effect behind that.
    fn forget_the_abandoned(&mut self) {
        let waited = !self.put_off.is_empty();
        self.put_off.retain(|(_, outcome)| !outcome.is_closed());
        if waited && self.put_off.is_empty() {
            self.has_room_again();
        }
    }

    /// Whether one of those put off before `place` changes the same thing.
    fn follows(&self, change: &Change, place: usize) -> bool {
        let mut before = self.put_off.iter().take(place);
        before.any(|(other, _)| other.thing() == change.thing())
    }

    fn has_room_for(&mut self, bytes: usize) -> bool {
        bytes == 0 || self.condition.is_closed() || self.room.takes(bytes)
    }

    fn is_full(&self) {
        self.condition.set_waiting(true, self.room.free());
    }

    fn has_room_again(&self) {
        self.condition.set_waiting(false, self.room.free());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use raft_core::{AppendBatch, Entry, GroupId, LogBounds, LogId, LogSlice};

    use super::*;
    use crate::group::{Group, RecentBudget};

    /// An intake before a disk without room, and the other end of its queue.
    fn before_a_full_disk() -> (Sender<Handed>, Intake) {
        let (sender, queue) = channel();
        let condition = Arc::<Condition>::default();
        let room = Room::without_space(Arc::clone(&condition));
        (sender, Intake::new(queue, room, condition))
    }

    fn log(id: u64) -> Arc<Group> {
        let bounds = LogBounds::default();
        let budget = RecentBudget::new(0);
        Arc::new(Group::new(GroupId::new(id), bounds, false, budget))
    }

    fn append(log: &Arc<Group>) -> Change {
        let entries = vec![Entry::blank(LogId::new(1, 1))];
        let batch = AppendBatch {
            truncate_from: None,
            entries: LogSlice::new(entries).unwrap(),
        };
        Change::Append(Arc::clone(log), batch)
    }

    fn vote() -> Change {
        Change::Vote {
            group: GroupId::new(1),
            vote: Vec::new(),
            mark: Vec::new(),
        }
    }

    /// Hands in a change, and waits for it as long as the answer is kept.
    #[must_use]
    fn hand_in(
        queue: &Sender<Handed>,
        change: Change,
    ) -> oneshot::Receiver<Result<(), StorageError>> {
        let (outcome, waiting) = oneshot::channel();
        queue.send((change, outcome)).unwrap();
        waiting
    }

    fn doing(handed: Option<Handed>) -> Option<&'static str> {
        handed.map(|(change, _)| change.doing())
    }

    #[test]
    fn what_needs_no_room_passes_appends_that_wait() {
        let (queue, mut intake) = before_a_full_disk();
        let _waiting = [append(&log(1)), vote()].map(|change| hand_in(&queue, change));

        assert_eq!(doing(intake.try_next()), Some("saving the vote"));
        assert_eq!(doing(intake.try_next()), None);
    }

    /// While a write is tried again, all that comes is put off, whatever it needs.
    #[test]
    fn what_needs_no_room_passes_also_when_it_was_put_off_itself() {
        let (queue, mut intake) = before_a_full_disk();
        let (one, other) = (log(1), log(2));
        let changes = [
            append(&one),
            Change::Purge(Arc::clone(&one), LogId::ZERO),
            vote(),
            Change::Purge(other, LogId::ZERO),
        ];
        let _waiting = changes.map(|change| hand_in(&queue, change));
        for _ in 0..4 {
            assert!(intake.wait_a_moment());
        }

        assert_eq!(doing(intake.try_next()), Some("saving the vote"));
        assert_eq!(doing(intake.try_next()), Some("purging the log"));
        // The other purge follows an append in its log.
        assert_eq!(doing(intake.try_next()), None);
    }

    /// It could come after what its owner did next, and undo that.
    #[test]
    fn what_nobody_waits_for_any_more_is_not_written() {
        let (queue, mut intake) = before_a_full_disk();
        let given_up = hand_in(&queue, vote());
        assert!(intake.wait_a_moment());
        drop(given_up);
        let _waiting = hand_in(&queue, Change::Purge(log(1), LogId::ZERO));

        assert_eq!(doing(intake.try_next()), Some("purging the log"));
        assert_eq!(doing(intake.try_next()), None);
    }
}
