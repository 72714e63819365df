//! Where changes are taken in and written, by one at a time.
//!
//! What queued while the last sync ran becomes one batch with one sync, across groups,
//! logs and votes. Changes take effect in the order in which they were handed in, and a
//! batch is all or nothing, so each of them is.

use std::time::{Duration, Instant};

use crate::disk::{ComeBack, Disk};
use crate::intake::{ASK_EVERY, Handed, Intake};
use crate::refused::Refused;

/// Most changes in one batch.
const MAX_BATCH_CHANGES: usize = 1024;

/// A batch takes in no further change beyond this size, so that a flood does not
/// make its first writer wait for its last.
const MAX_BATCH_BYTES: usize = 16 << 20;

/// How long the thread looks out for the next change before it sleeps, as long as
/// changes follow each other so closely. Waking it up takes about as long, and is
/// more than all else that a small append costs beside its sync.
const LOOKOUT: Duration = Duration::from_micros(50);

/// RocksDB goes on by itself within seconds of there being space, but not if it lacked
/// an inode or a quota for a new file of its write-ahead log. Then only a new start helps.
const GIVES_UP_AFTER: Duration = Duration::from_secs(60);

/// The queue and the disk. Whoever has it writes.
pub(crate) struct Desk {
    intake: Intake,
    disk: Disk,
    /// Taken from the queue, and not to share a batch with what came before it.
    next: Option<Handed>,
    changes: Vec<Handed>,
    /// Whether the last batch took in all there was.
    is_drained: bool,
    /// What stands in the way of all else: it may be on the disk in part.
    come_back: Option<ComeBack>,
    lookout: Option<Lookout>,
}

/// What the thread that keeps the desk does next.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Rest {
    /// Nothing, until it is called.
    UntilCalled,
    /// The same again, after this time.
    For(Duration),
    /// Nothing any more: nobody is left to call it.
    ForGood,
}

impl Desk {
    /// The thread that keeps it looks out for changes if `looks_out`. It should not
    /// where others come to the desk themselves.
    pub(crate) fn new(intake: Intake, disk: Disk, looks_out: bool) -> Self {
        Self {
            intake,
            disk,
            next: None,
            changes: Vec::new(),
            is_drained: true,
            come_back: None,
            lookout: looks_out.then(Lookout::default),
        }
    }

    /// Writes one batch of what is queued, if nothing stands in the way. For a visitor:
    /// it waits for nothing but the sync.
    pub(crate) fn write_one_batch(&mut self) {
        if self.come_back.is_none()
            && let Some(first) = self.take_next()
        {
            self.come_back = self.write_with(first);
        }
    }

    /// Whether something is left to do that is nobody's who comes later.
    pub(crate) fn has_chores(&self) -> bool {
        let is_left = self.next.is_some() || self.come_back.is_some() || !self.is_drained;
        is_left || self.intake.is_waiting() || self.disk.has_purged()
    }

    /// Writes all that is queued, and waits for what stands in its way.
    pub(crate) fn work(&mut self) -> Rest {
        loop {
            if let Some(come_back) = self.come_back.take() {
                self.insist(come_back);
            }
            while let Some(first) = self.take_next() {
                if let Some(come_back) = self.write_with(first) {
                    self.insist(come_back);
                }
            }
            if self.disk.has_purged() && !self.disk.delete_purged() {
                return self.rest_for(ASK_EVERY);
            }
            match self.look_out() {
                Some(change) => self.next = Some(change),
                None if self.intake.is_over() => return Rest::ForGood,
                None if self.intake.is_waiting() => return Rest::For(ASK_EVERY),
                None => return Rest::UntilCalled,
            }
        }
    }

    /// Nobody comes any more.
    pub(crate) fn leave(&self) {
        self.disk.leave();
    }

    fn rest_for(&self, time: Duration) -> Rest {
        match self.intake.is_over() {
            true => Rest::ForGood,
            false => Rest::For(time),
        }
    }

    fn take_next(&mut self) -> Option<Handed> {
        self.next.take().or_else(|| self.intake.try_next())
    }

    /// What comes within a moment.
    fn look_out(&mut self) -> Option<Handed> {
        let intake = &mut self.intake;
        self.lookout.as_ref()?.wait(|| intake.try_next())
    }

    /// Writes a change with what queued behind it and can share its sync.
    fn write_with(&mut self, first: Handed) -> Option<ComeBack> {
        if let Some(lookout) = &mut self.lookout {
            lookout.something_came();
        }
        let mut bytes = first.0.bytes();
        self.changes.push(first);
        self.is_drained = false;
        while self.changes.len() < MAX_BATCH_CHANGES && bytes < MAX_BATCH_BYTES {
            match self.intake.try_next() {
                Some(change) if change.0.reads() => {
                    self.next = Some(change);
                    break;
                }
                Some(change) => {
                    bytes += change.0.bytes();
                    self.changes.push(change);
                }
                None => {
                    self.is_drained = true;
                    break;
                }
            }
        }
        let together = self.disk.plan(self.changes.drain(..));
        let come_back = self.disk.write(together).err();
        if let Some(lookout) = &mut self.lookout {
            lookout.idle_since = Instant::now();
        }
        come_back
    }

    /// The same write until the disk has space for it, or it fails for another reason.
    ///
    /// RocksDB, which refuses all writes until then, makes what it holds in memory
    /// durable in table files and begins another file of its write-ahead log, so that
    /// nothing is written behind what the failed write may have left.
    fn insist(&mut self, mut come_back: ComeBack) {
        let mut has_room_since = None;
        loop {
            let is_awaited = match &come_back.refused {
                Refused::Stalled => self.intake.wait_a_moment(),
                Refused::Full(reason) | Refused::Failed(reason) => {
                    let since = has_room_since.get_or_insert_with(Instant::now);
                    if !self.intake.has_room() {
                        has_room_since = None;
                    } else if since.elapsed() > GIVES_UP_AFTER {
                        let reason = format!("{reason}; there is space, and RocksDB stays closed");
                        return self.disk.fail(&reason, come_back.together);
                    }
                    self.intake.wait_for_space()
                }
            };
            let ComeBack { together, refused } = come_back;
            if !is_awaited {
                return self.disk.fail(&String::from(refused), together);
            }
            // However little is free: what was admitted may take of the reserve, and
            // RocksDB knows best when it can go on.
            match self.disk.write(together) {
                Ok(()) => return self.intake.space_is_found(),
                Err(again) => come_back = again,
            }
        }
    }
}

/// Looking out for the next change without sleeping.
struct Lookout {
    /// Whether the last change that came could have been met without sleeping.
    is_worth_it: bool,
    idle_since: Instant,
    /// Whether looking out would keep the processor from whoever is to come.
    is_alone: bool,
}

impl Default for Lookout {
    fn default() -> Self {
        Self {
            is_worth_it: false,
            idle_since: Instant::now(),
            is_alone: std::thread::available_parallelism().is_ok_and(|count| count.get() == 1),
        }
    }
}

impl Lookout {
    fn wait<T>(&self, mut try_next: impl FnMut() -> Option<T>) -> Option<T> {
        while self.is_worth_it && self.idle_since.elapsed() < LOOKOUT {
            if let Some(found) = try_next() {
                return Some(found);
            }
            std::hint::spin_loop();
        }
        None
    }

    fn something_came(&mut self) {
        self.is_worth_it = !self.is_alone && self.idle_since.elapsed() < LOOKOUT;
    }
}
