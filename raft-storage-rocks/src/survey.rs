//! Looking at all that a store holds: which groups, and what of it is damaged.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use raft_core::{
    EntryKind, GroupId, Incarnation, LogBounds, LogIndex, StableState, StorageError, StoredEntry,
    Term,
};
use rocksdb::{DB, ErrorKind};

use crate::keys::{IDENTITY, META, PAYLOAD, STATE, family, log_key};
use crate::read::Reader;
use crate::unreadable::{Unreadable, spans};
use crate::vote::VoteReader;

/// Bytes of entries held at once.
const PAGE: usize = 1 << 20;

/// How long a slow look sleeps before it asks whether it shall end.
const NAP: Duration = Duration::from_millis(100);

/// A whole store, to look at.
pub(crate) struct Survey<'a> {
    pub(crate) db: &'a DB,
    pub(crate) directory: &'a Path,
    pub(crate) first_life: Incarnation,
    /// Told of what RocksDB could not read.
    pub(crate) met: &'a dyn Fn(&Unreadable),
}

/// Something damaged.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// In which group.
    pub group: GroupId,
    /// What it is.
    pub what: DamagedPart,
    /// The table file that holds its record, if it lies in one.
    pub file: Option<PathBuf>,
    /// How the damage shows.
    pub reason: String,
}

/// What can be damaged.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DamagedPart {
    /// An entry. Term and kind are known when its metadata is whole.
    Entry {
        /// Its position.
        index: LogIndex,
        /// Its term.
        term: Option<Term>,
        /// Its kind.
        kind: Option<EntryKind>,
    },
    /// The record of term and vote.
    Vote,
    /// What says where the log begins and ends.
    Bounds,
}

/// How fast to look, and how long.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Pace {
    /// Bytes of entries a second at most; nothing for as fast as the disk goes.
    pub bytes_per_second: Option<NonZeroU64>,
    /// Set, it ends the look within about a megabyte, with what was seen so far.
    pub stop: Arc<AtomicBool>,
}

impl Pace {
    /// At most so many bytes a second.
    pub fn at(bytes_per_second: NonZeroU64) -> Self {
        Self {
            bytes_per_second: Some(bytes_per_second),
            ..Self::default()
        }
    }

    /// Waits until so many bytes are due. Answers whether to go on.
    fn goes_on(&self, begun: Instant, bytes: u64) -> bool {
        if let Some(rate) = self.bytes_per_second {
            let due = Duration::from_secs_f64(bytes as f64 / rate.get() as f64);
            while begun.elapsed() < due && !self.stop.load(Ordering::Acquire) {
                thread::sleep(due.saturating_sub(begun.elapsed()).min(NAP));
            }
        }
        !self.stop.load(Ordering::Acquire)
    }
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Surveyed {
    /// Groups.
    pub groups: usize,
    /// Entries, whole or damaged.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many things are damaged.
    pub damaged: u64,
}

impl fmt::Display for DamagedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry { index, term, kind } => {
                write!(f, "entry {index}")?;
                match term {
                    Some(term) => write!(f, " of term {}", term.get())?,
                    None => f.write_str(" of an unknown term")?,
                }
                kind.map_or(Ok(()), |kind| write!(f, " ({kind:?})"))
            }
            Self::Vote => f.write_str("term and vote"),
            Self::Bounds => f.write_str("the bounds of the log"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group {}: {} is damaged", self.group.get(), self.what)?;
        if let Some(file) = &self.file {
            write!(f, ", in {}", file.display())?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl Survey<'_> {
    /// All groups of which anything is stored.
    pub(crate) fn groups(&self) -> Result<Vec<GroupId>, StorageError> {
        let mut groups = std::collections::BTreeSet::new();
        for name in [STATE, META, PAYLOAD, IDENTITY] {
            let mut rows = self.db.raw_iterator_cf(family(self.db, name));
            rows.seek_to_first();
            while let Some(key) = rows.key() {
                // The identity of the store is a key of its own, and of no group.
                match key.split_first_chunk::<8>() {
                    Some((group, rest)) if name != IDENTITY || rest == b"m" => {
                        let group = GroupId::new(u64::from_be_bytes(*group));
                        groups.insert(group);
                        rows.seek(behind(group));
                    }
                    _ => rows.next(),
                }
            }
            match rows.status() {
                // The other column families name the groups behind it, too.
                Err(error) if error.kind() != ErrorKind::Corruption => {
                    return Err(StorageError::io("listing the groups", error));
                }
                _ => {}
            }
        }
        Ok(groups.into_iter().collect())
    }

    /// Term and vote of `group`.
    pub(crate) fn vote(&self, group: GroupId) -> Result<StableState, StorageError> {
        let reader = VoteReader {
            db: self.db,
            group,
            first_life: self.first_life,
        };
        reader.load()
    }

    /// Reads everything, and hands each damaged thing to `found`.
    pub(crate) fn scrub(
        &self,
        pace: &Pace,
        found: &mut dyn FnMut(Finding),
    ) -> Result<Surveyed, StorageError> {
        let mut surveyed = Surveyed::default();
        let begun = Instant::now();
        let mut goes_on = |bytes: u64| pace.goes_on(begun, bytes);
        for group in self.groups()? {
            surveyed.groups += 1;
            let mut note = |what, file, reason| {
                found(Finding {
                    group,
                    what,
                    file,
                    reason,
                });
            };
            surveyed.damaged += self.scrub_vote(group, &mut note)?;
            let reader = Reader::new(self.db, group);
            let bounds = reader.bounds();
            (self.met)(reader.unreadable());
            let bounds = match bounds {
                Ok(bounds) => bounds,
                Err(StorageError::Corrupt { what, reason }) => {
                    surveyed.damaged += 1;
                    note(DamagedPart::Bounds, None, format!("{what}: {reason}"));
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.scrub_log(group, bounds, &mut surveyed, &mut note, &mut goes_on)?;
            goes_on(surveyed.bytes);
        }
        Ok(surveyed)
    }

    fn scrub_vote(&self, group: GroupId, note: Note<'_>) -> Result<u64, StorageError> {
        match self.vote(group)? {
            StableState::Lost { reason, .. } => {
                let key = group.get().to_be_bytes();
                note(DamagedPart::Vote, self.file_of(STATE, &key), reason);
                Ok(1)
            }
            StableState::Saved(_) | StableState::Empty => Ok(0),
        }
    }

    fn scrub_log(
        &self,
        group: GroupId,
        bounds: LogBounds,
        surveyed: &mut Surveyed,
        note: Note<'_>,
        goes_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<(), StorageError> {
        let mut index = bounds.purged.index.next();
        while index <= bounds.last.index && goes_on(surveyed.bytes) {
            let reader = Reader::new(self.db, group);
            let page = reader.entries(bounds, index, bounds.last.index, PAGE)?;
            (self.met)(reader.unreadable());
            for stored in page {
                match stored {
                    StoredEntry::Entry(entry) => surveyed.bytes += entry.size() as u64,
                    // Purged or cut meanwhile.
                    StoredEntry::Absent { .. } => {}
                    StoredEntry::Corrupt { meta, reason, .. } => {
                        surveyed.damaged += 1;
                        let record = if meta.is_some() { PAYLOAD } else { META };
                        let run = log_key(group, reader.run_of(index)?);
                        let what = DamagedPart::Entry {
                            index,
                            term: meta.map(|meta| meta.log_id.term),
                            kind: meta.map(|meta| meta.kind),
                        };
                        note(what, self.file_of(record, &run), reason);
                    }
                }
                surveyed.entries += 1;
                index = index.next();
            }
        }
        Ok(())
    }

    /// The table file that holds the record under `key`. One that only spans it may be
    /// named instead: the first file of the highest level is the one that is read.
    fn file_of(&self, name: &str, key: &[u8]) -> Option<PathBuf> {
        let files = self.db.live_files().ok()?;
        let spanning = files.iter().filter(|file| spans(file, name, key));
        let file = spanning.min_by_key(|file| file.level)?;
        Some(self.directory.join(file.name.trim_start_matches('/')))
    }
}

/// Hands on what is damaged, the file it lies in, and how it shows.
type Note<'a> = &'a mut dyn FnMut(DamagedPart, Option<PathBuf>, String);

/// Behind all keys of a group.
fn behind(group: GroupId) -> Vec<u8> {
    match group.get().checked_add(1) {
        Some(next) => next.to_be_bytes().to_vec(),
        None => vec![u8::MAX; 32],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_is_named() {
        let finding = Finding {
            group: GroupId::new(3),
            what: DamagedPart::Entry {
                index: LogIndex::new(17),
                term: Some(Term::new(4)),
                kind: Some(EntryKind::Command),
            },
            file: Some("/data/raft/000012.sst".into()),
            reason: "its checksum is another".into(),
        };
        assert_eq!(
            finding.to_string(),
            "group 3: entry i17 of term 4 (Command) is damaged, in /data/raft/000012.sst: \
             its checksum is another"
        );
    }

    #[test]
    fn the_last_group_of_all_has_an_end_too() {
        let last = GroupId::new(u64::MAX);
        assert!(behind(last).as_slice() > log_key(last, LogIndex::new(u64::MAX)).as_slice());
        assert!(
            behind(GroupId::new(1)).as_slice()
                > log_key(GroupId::new(1), LogIndex::new(9)).as_slice()
        );
    }
}
