//! Reading a group's log as it is at one moment.
//!
//! A reader looks at a RocksDB snapshot, because the writer goes on meanwhile: two
//! looks at the live database could pair the metadata of a truncated entry with
//! the payload of its successor, or take an entry purged in between for damaged.

use bytes::Bytes;
use raft_core::{EntryMeta, GroupId, LogBounds, LogId, LogIndex, StorageError, StoredEntry};
use rocksdb::{DB, Direction, ErrorKind, IteratorMode, Snapshot};

use crate::answers::{Answers, spans};
use crate::keys::{self, META, PAYLOAD, REPAIRED, STATE, StateKey, index_of, log_key};
use crate::metrics::count_corruption;
use crate::record::{self, PurgedBody};
use crate::run::{self, Line, Run};
use crate::unreadable::Unreadable;
use crate::walk::{Governing, Stretch, Walk};

/// Most metadata records that one call answers.
pub(crate) const METADATA_PAGE: usize = 65_536;

/// One group's log at one moment.
pub(crate) struct Reader<'a> {
    db: &'a DB,
    snapshot: Snapshot<'a>,
    group: GroupId,
    unreadable: Unreadable,
}

/// What stands under a key.
enum Found<T> {
    Sound(T),
    Nothing,
    Damaged(String),
}

impl<'a> Reader<'a> {
    pub(crate) fn new(db: &'a DB, group: GroupId) -> Self {
        let snapshot = db.snapshot();
        Self {
            db,
            snapshot,
            group,
            unreadable: Unreadable::default(),
        }
    }

    /// What it could not read so far.
    pub(crate) const fn unreadable(&self) -> &Unreadable {
        &self.unreadable
    }

    /// What the log spans: the purge record, and the last run. A few seeks, however
    /// long the log.
    ///
    /// A last run whose metadata is missing or damaged is an error: without its
    /// term the replica cannot say how up to date its log is.
    pub(crate) fn bounds(&self) -> Result<LogBounds, StorageError> {
        let purged = self.purged()?;
        let last = match self.last_run()? {
            Some((first, run)) => match (run.last(), first.previous()) {
                (Some(last), _) => last,
                (None, Some(before)) if before > purged.index => self.metadata_at(before)?.log_id,
                (None, _) => purged,
            },
            None => purged,
        };
        let last = if last.index > purged.index {
            last
        } else {
            purged
        };
        Ok(LogBounds { purged, last })
    }

    /// Whether there are copies of damaged entries.
    pub(crate) fn has_copies(&self) -> Result<bool, StorageError> {
        Ok(self.last_key(REPAIRED)?.is_some())
    }

    /// The entries of a range, one answer per index, as far as `max_bytes` goes.
    /// `bounds` are those from before the snapshot.
    pub(crate) fn entries(
        &self,
        bounds: LogBounds,
        first: LogIndex,
        last: LogIndex,
        max_bytes: usize,
    ) -> Result<Vec<StoredEntry>, StorageError> {
        let mut answers = Answers::new(max_bytes);
        answers.put_absent(bounds, first, last);
        let mut walk = self.walk();
        let end = last.min(bounds.last.index);
        let mut index = first.max(bounds.purged.index.next());
        while index <= end && answers.has_room() {
            let before = answers.len();
            self.put_entries(walk.at(index)?, index, end, &mut answers)?;
            index = index.plus(answers.len() - before);
        }
        // What lies behind the end is asked for too, and one answer says so.
        let came_to_end = bounds.purged.index < end && first <= end && end < index;
        if came_to_end && end < last && answers.has_room() {
            answers.put_absent(bounds, end.next(), last);
        }
        Ok(answers.into_vec())
    }

    /// Metadata of a range, at most a page of it; a hole in it is damage.
    pub(crate) fn metadata(
        &self,
        first: LogIndex,
        last: LogIndex,
    ) -> Result<Vec<EntryMeta>, StorageError> {
        let (mut found, mut walk, mut index) = (Vec::new(), self.walk(), first);
        while index <= last && found.len() < METADATA_PAGE {
            match self.meta_in(walk.at(index)?, index) {
                Ok(meta) => found.push(meta),
                // Truncated or purged since the caller looked.
                Err(_) if !spans(self.bounds()?, index) => break,
                Err(reason) => return Err(self.corrupt_metadata(index, reason)),
            }
            index = index.next();
        }
        Ok(found)
    }

    /// Metadata of an entry that must be there.
    pub(crate) fn metadata_at(&self, index: LogIndex) -> Result<EntryMeta, StorageError> {
        let found = self.meta_in(self.walk().at(index)?, index);
        found.map_err(|reason| self.corrupt_metadata(index, reason))
    }

    /// The entry up to which the log is purged; zero if it never was.
    pub(crate) fn purged(&self) -> Result<LogId, StorageError> {
        let key = StateKey::Purged.of(self.group);
        let decode = |record: &[u8]| record::decode(&key, record).map_err(|e| e.to_string());
        match self.get(STATE, &key, decode)? {
            Found::Sound(PurgedBody(purged)) => Ok(purged),
            Found::Nothing => Ok(LogId::ZERO),
            Found::Damaged(reason) => Err(StorageError::Corrupt {
                what: format!("the purge record of {}", self.group),
                reason,
            }),
        }
    }

    /// Where the run begins that governs `index`, as far as that can be told.
    pub(crate) fn run_of(&self, index: LogIndex) -> Result<LogIndex, StorageError> {
        Ok(self.walk().at(index)?.first)
    }

    fn walk(&self) -> Walk<'_> {
        let rows = self.snapshot.raw_iterator_cf(keys::family(self.db, META));
        Walk::new(rows, self.group, &self.unreadable)
    }

    fn meta_in(&self, stretch: &Stretch, index: LogIndex) -> Result<EntryMeta, String> {
        match &stretch.governing {
            Governing::Run(run) => run.meta(index).ok_or_else(|| MISSING.to_owned()),
            Governing::Nothing => Err(MISSING.to_owned()),
            Governing::Damaged(reason) => Err(reason.clone()),
        }
    }

    /// Answers for one stretch, from `index` up to at most `end`: at least one.
    fn put_entries(
        &self,
        stretch: &Stretch,
        index: LogIndex,
        end: LogIndex,
        answers: &mut Answers,
    ) -> Result<(), StorageError> {
        let run = match &stretch.governing {
            Governing::Run(run) if run.line(index).is_some() => run,
            Governing::Damaged(reason) => {
                let reason = format!("its metadata: {reason}");
                return self.put_missing(index, reason, answers);
            }
            Governing::Run(_) | Governing::Nothing => {
                return self.put_missing(index, "its metadata is missing".to_owned(), answers);
            }
        };
        let lines = self.lines(run, index, end.min(stretch.last), answers);
        let (Some(first), Some(last)) = (lines.first(), lines.last()) else {
            return Ok(());
        };
        let offset = first.bytes.start;
        let payload = self.payload(stretch.first, offset, last.bytes.end)?;
        for (place, line) in (0..).zip(&lines) {
            let index = index.plus(place);
            let bytes = line.bytes.start - offset..line.bytes.end - offset;
            let entry = match &payload {
                Ok(payload) if bytes.end <= payload.len() => {
                    run.entry(index, line, payload.slice(bytes))
                }
                Ok(_) => Err("its payload is cut off".to_owned()),
                Err(reason) => Err(reason.clone()),
            };
            answers.put(match entry {
                Ok(entry) => StoredEntry::Entry(entry),
                Err(reason) => self.copy_or_corrupt(run.meta(index), index, reason)?,
            });
        }
        Ok(())
    }

    /// What the run says of the entries from `index` on, as far as there is room.
    fn lines(&self, run: &Run, index: LogIndex, end: LogIndex, answers: &Answers) -> Vec<Line> {
        let count = end.distance_from(index) + 1;
        let mut lines: Vec<Line> = (0..count)
            .map_while(|place| run.line(index.plus(place)))
            .collect();
        lines.truncate(answers.room_for(lines.iter().map(Line::size)));
        lines
    }

    /// A part of the payload of the run at `first`, or why it cannot be had.
    fn payload(
        &self,
        first: LogIndex,
        from: usize,
        to: usize,
    ) -> Result<Result<Bytes, String>, StorageError> {
        let key = log_key(self.group, first);
        // One copy, of which the entries are parts.
        let part = |bytes: &[u8]| {
            let (from, to) = (from.min(bytes.len()), to.min(bytes.len()));
            Ok(Bytes::copy_from_slice(&bytes[from..to]))
        };
        Ok(match self.get(PAYLOAD, &key, part)? {
            Found::Sound(bytes) => Ok(bytes),
            Found::Nothing if to == 0 => Ok(Bytes::new()),
            Found::Nothing => Err("its payload is missing".to_owned()),
            Found::Damaged(reason) => Err(format!("its payload: {reason}")),
        })
    }

    /// A damaged entry may have been replaced by a copy.
    fn copy_or_corrupt(
        &self,
        meta: Option<EntryMeta>,
        index: LogIndex,
        reason: String,
    ) -> Result<StoredEntry, StorageError> {
        let key = log_key(self.group, index);
        let decode = |record: &[u8]| {
            run::repaired_entry(&key, index, record).map_err(|error| error.to_string())
        };
        match self.get(REPAIRED, &key, decode)? {
            Found::Sound(entry) if Some(EntryMeta::from(&entry)) == meta => {
                Ok(StoredEntry::Entry(entry))
            }
            _ => Ok(corrupt(index, meta, reason)),
        }
    }

    /// No metadata for an index inside the bounds is damage, unless the log was cut
    /// or purged since they were looked at.
    fn put_missing(
        &self,
        index: LogIndex,
        reason: String,
        answers: &mut Answers,
    ) -> Result<(), StorageError> {
        let is_there = match self.bounds() {
            Ok(bounds) => spans(bounds, index),
            Err(StorageError::Corrupt { .. }) => true,
            Err(error) => return Err(error),
        };
        answers.put(if is_there {
            corrupt(index, None, reason)
        } else {
            StoredEntry::Absent { index }
        });
        Ok(())
    }

    /// The last run, and where it begins.
    fn last_run(&self) -> Result<Option<(LogIndex, Run)>, StorageError> {
        let last_payload = match self.last_key(PAYLOAD) {
            Ok(found) => found,
            // The metadata says where the log ends.
            Err(StorageError::Corrupt { .. }) => None,
            Err(error) => return Err(error),
        };
        let last = self.last_key(META)?;
        let Some(first) = last.max(last_payload) else {
            return Ok(None);
        };
        let decode = |record: &[u8]| {
            Run::decode(self.group, first, record).map_err(|error| error.to_string())
        };
        match self.get(META, &log_key(self.group, first), decode)? {
            Found::Sound(run) => Ok(Some((first, run))),
            Found::Nothing => Err(self.corrupt_metadata(first, MISSING.to_owned())),
            Found::Damaged(reason) => Err(self.corrupt_metadata(first, reason)),
        }
    }

    fn last_key(&self, name: &'static str) -> Result<Option<LogIndex>, StorageError> {
        let end = log_key(self.group, LogIndex::new(u64::MAX));
        let mode = IteratorMode::From(&end, Direction::Reverse);
        let mut backwards = self.snapshot.iterator_cf(keys::family(self.db, name), mode);
        match backwards.next().transpose() {
            Ok(found) => Ok(found.and_then(|(key, _)| index_of(self.group, &key))),
            Err(error) if error.kind() == ErrorKind::Corruption => {
                count_corruption();
                self.unreadable.note(name);
                Err(StorageError::Corrupt {
                    what: format!("the end of the log of {} in {name}", self.group),
                    reason: error.into_string(),
                })
            }
            Err(error) => Err(StorageError::io(DOING, error)),
        }
    }

    fn get<T>(
        &self,
        name: &'static str,
        key: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<Found<T>, StorageError> {
        let family = keys::family(self.db, name);
        Ok(match self.snapshot.get_pinned_cf(family, key) {
            Ok(None) => Found::Nothing,
            Ok(Some(record)) => match decode(&record) {
                Ok(value) => Found::Sound(value),
                Err(reason) => Found::Damaged(reason),
            },
            // RocksDB's own checksum of the block does not match.
            Err(error) if error.kind() == ErrorKind::Corruption => {
                self.unreadable.note_key(name, key);
                Found::Damaged(error.into_string())
            }
            Err(error) => return Err(StorageError::io(DOING, error)),
        })
    }

    fn corrupt_metadata(&self, index: LogIndex, reason: String) -> StorageError {
        count_corruption();
        StorageError::Corrupt {
            what: format!("the metadata of entry {index} of {}", self.group),
            reason,
        }
    }
}

pub(crate) const DOING: &str = "reading the log";
const MISSING: &str = "it is missing";

fn corrupt(index: LogIndex, meta: Option<EntryMeta>, reason: String) -> StoredEntry {
    count_corruption();
    StoredEntry::Corrupt {
        index,
        meta,
        reason,
    }
}
