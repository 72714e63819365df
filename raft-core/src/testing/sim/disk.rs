//! A replica's disk: what is durable, what is being written, what a crash leaves.
//!
//! The fault model. A persist request is queued and becomes durable after a
//! delay, in order, sometimes several at once, sometimes only after a long
//! stall. The replica learns of it when the sync returns. A crash keeps a
//! prefix of what was queued, of any length, though nothing of it was reported;
//! of the request after that prefix it may keep term and vote without the
//! entries, because the two are separate stores. A cut and the entries after it
//! are one atomic write. A purge is a write like others, without an answer. What
//! is durable is never lost here, but for votes: `lost_votes.rs`. Payloads may be
//! damaged, those of memberships too, which shows when they are read; identities
//! never are.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::checker::corruption;
use super::image::LogImage;
use super::random::Random;
use super::report::Violation;
use crate::entry::LogSlice;
use crate::hard_state::HardState;
use crate::protocol::{Persist, PersistToken, ReadLog};
use crate::types::{LogId, LogIndex};

/// The disk of one node, through all its lives.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// Durable term and vote.
    pub(crate) hard_state: HardState,
    /// Durable log.
    pub(crate) log: LogImage,
    /// Every entry that ever was durable here.
    pub(crate) ever: BTreeSet<LogId>,
    /// Entries that cannot be read until they are mended.
    pub(crate) damaged: BTreeSet<LogIndex>,
    /// Mended since the replica was told last.
    pub(crate) mended: Vec<LogId>,
    /// Nothing completes before this moment.
    pub(crate) stalled_until: u64,
    queue: VecDeque<Write>,
}

/// Something on its way to the disk.
#[derive(Debug)]
pub(crate) enum Write {
    /// With the snapshot that the log starts anew from, if it does.
    Persist(Persist, Option<Arc<LogImage>>),
    Purge(LogId),
    Repair(LogSlice),
}

impl Write {
    const fn token(&self) -> Option<PersistToken> {
        match self {
            Self::Persist(persist, _) => Some(persist.token),
            Self::Purge(_) | Self::Repair(_) => None,
        }
    }
}

/// What a completion or a crash did to the durable term and vote, step by step.
pub(crate) type HardStateChanges = Vec<(HardState, HardState)>;

/// What a crash left of the writes under way.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    pub(crate) kept: usize,
    pub(crate) lost: usize,
    pub(crate) changes: HardStateChanges,
}

impl Disk {
    /// Begins a write. Answers whether the disk was idle.
    pub(crate) fn begin(&mut self, write: Write) -> bool {
        self.queue.push_back(write);
        self.queue.len() == 1
    }

    /// Whether nothing is being written.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// A sync returns: one or more of the oldest writes are durable.
    pub(crate) fn complete(
        &mut self,
        random: &mut Random,
    ) -> Result<(Option<PersistToken>, usize, HardStateChanges), Violation> {
        let count = match (self.queue.len(), random.chance(5000)) {
            (0 | 1, _) | (_, true) => self.queue.len(),
            (queued, false) => 1 + random.position(queued),
        };
        let (mut token, mut changes) = (None, Vec::new());
        for _ in 0..count {
            let write = self.queue.pop_front().expect("as many as counted");
            token = write.token().or(token);
            self.save_hard_state(&write, &mut changes);
            self.save_log(&write)?;
        }
        Ok((token, count, changes))
    }

    /// The node stops here.
    pub(crate) fn crash(&mut self, random: &mut Random) -> Result<Remains, Violation> {
        let mut remains = Remains::default();
        self.mended.clear();
        let queue = std::mem::take(&mut self.queue);
        let kept = random.position(queue.len() + 1);
        for (place, write) in queue.iter().enumerate() {
            if place < kept {
                self.save_hard_state(write, &mut remains.changes);
                self.save_log(write)?;
            } else if place == kept && random.chance(5000) {
                self.save_hard_state(write, &mut remains.changes);
            }
        }
        (remains.kept, remains.lost) = (kept, queue.len() - kept);
        Ok(remains)
    }

    /// The log starts anew after the last entry of `snapshot`.
    pub(crate) fn reset(&mut self, snapshot: &LogImage) {
        self.log.reset(snapshot);
        self.damaged.clear();
    }

    /// Reads as far as nothing is damaged. Answers what is, right after.
    pub(crate) fn read(&self, request: ReadLog) -> (LogSlice, Option<LogIndex>) {
        let ReadLog { first, last, .. } = request;
        let damaged = self.damaged.range(first..=last).next().copied();
        let end = damaged.map_or(Some(last), LogIndex::previous);
        let entries = end
            .filter(|end| *end >= first)
            .map_or_else(LogSlice::empty, |end| {
                self.log.read(first, end, request.max_bytes)
            });
        let next = entries.last().map_or(first, |last| last.index.next());
        (entries, damaged.filter(|index| *index == next))
    }

    /// Damaged entries are replaced by what must be the very same.
    fn mend(&mut self, entries: &LogSlice) -> Result<(), Violation> {
        for entry in entries.entries() {
            let Some(original) = self.log.entry(entry.index()) else {
                continue;
            };
            corruption::mended(original, entry)?;
            if original == entry {
                self.damaged.remove(&entry.index());
                self.mended.push(entry.log_id);
            }
        }
        Ok(())
    }

    fn save_hard_state(&mut self, write: &Write, changes: &mut HardStateChanges) {
        let Write::Persist(persist, _) = write else {
            return;
        };
        if let Some(new) = persist.hard_state {
            changes.push((self.hard_state, new));
            self.hard_state = new;
        }
    }

    fn save_log(&mut self, write: &Write) -> Result<(), Violation> {
        let (persist, snapshot) = match write {
            Write::Persist(persist, snapshot) => (persist, snapshot),
            Write::Purge(up_to) => {
                self.log.purge(*up_to);
                self.damaged.retain(|index| *index > up_to.index);
                return Ok(());
            }
            Write::Repair(entries) => return self.mend(entries),
        };
        if let Some(snapshot) = snapshot {
            self.reset(snapshot);
        }
        if let Some(cut) = persist.truncate_from {
            self.damaged.retain(|index| *index < cut);
        }
        self.log.write(persist.truncate_from, &persist.entries)?;
        let ids = persist.entries.entries().iter().map(|entry| entry.log_id);
        self.ever.extend(ids);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Concern;
    use super::*;
    use crate::entry::Entry;
    use crate::protocol::ReadToken;
    use crate::types::Term;

    fn write(token: u64) -> Write {
        let entry = Entry::blank(LogId::new(token, token));
        let persist = Persist {
            token: PersistToken(token),
            hard_state: Some(HardState {
                current_term: Term::new(token),
                voted_for: None,
            }),
            reset: None,
            truncate_from: None,
            entries: LogSlice::new(vec![entry]).unwrap(),
        };
        Write::Persist(persist, None)
    }

    fn disk_writing(count: u64) -> Disk {
        let mut disk = Disk::default();
        for token in 1..=count {
            disk.begin(write(token));
        }
        disk
    }

    #[test]
    fn a_crash_keeps_any_prefix_and_a_term_never_behind_the_log() {
        let mut ends = BTreeSet::new();
        for seed in 0..200 {
            let mut disk = disk_writing(3);
            let mut random = Random::stream(seed, Concern::Disk);
            disk.crash(&mut random).unwrap();
            let (term, last) = (disk.hard_state.current_term, disk.log.last());
            assert!(term >= last.term && term.get() <= last.term.get() + 1);
            ends.insert((term, last));
        }
        assert_eq!(ends.len(), 7);
    }

    fn written(count: u64) -> Disk {
        let mut disk = disk_writing(count);
        let mut random = Random::stream(3, Concern::Disk);
        while !disk.is_idle() {
            disk.complete(&mut random).unwrap();
        }
        disk
    }

    fn read(disk: &Disk, first: u64) -> (usize, Option<LogIndex>) {
        let request = ReadLog {
            token: ReadToken(1),
            first: LogIndex::new(first),
            last: LogIndex::new(5),
            max_bytes: usize::MAX,
        };
        let (entries, corrupt) = disk.read(request);
        (entries.len(), corrupt)
    }

    #[test]
    fn a_read_ends_at_a_damaged_entry_and_names_it_until_it_is_mended() {
        let mut disk = written(5);
        disk.damaged.insert(LogIndex::new(3));
        assert_eq!(read(&disk, 1), (2, Some(LogIndex::new(3))));
        assert_eq!(read(&disk, 3), (0, Some(LogIndex::new(3))));
        assert_eq!(read(&disk, 4), (2, None));

        let entry = Entry::blank(LogId::new(3, 3));
        disk.mend(&LogSlice::new(vec![entry]).unwrap()).unwrap();
        assert_eq!(read(&disk, 1), (5, None));
    }

    #[test]
    fn another_payload_mends_nothing_and_is_caught() {
        let mut disk = written(5);
        disk.damaged.insert(LogIndex::new(3));
        let request = crate::types::RequestId {
            boot: 1,
            sequence: 1,
        };
        let forged = Entry::command(LogId::new(3, 3), request, Default::default());
        assert!(disk.mend(&LogSlice::new(vec![forged]).unwrap()).is_err());

        // The place holds another entry by now: the mending comes too late.
        let late = Entry::blank(LogId::new(2, 3));
        disk.mend(&LogSlice::new(vec![late]).unwrap()).unwrap();
        assert!(disk.damaged.contains(&LogIndex::new(3)));
    }

    #[test]
    fn completions_are_in_order_and_reach_the_end() {
        let mut disk = disk_writing(5);
        let mut random = Random::stream(3, Concern::Disk);
        let mut last = PersistToken(0);
        while !disk.is_idle() {
            let (token, _, _) = disk.complete(&mut random).unwrap();
            assert!(token.unwrap() > last);
            last = token.unwrap();
        }
        assert_eq!(disk.log.last(), LogId::new(5, 5));
    }
}
