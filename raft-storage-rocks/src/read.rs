//! Reading a group's log as it is at one moment.
//!
//! A reader looks at a RocksDB snapshot, because the writer goes on meanwhile: two
//! looks at the live database could pair the metadata of a truncated entry with
//! the payload of its successor, or take an entry purged in between for damaged.

use raft_core::{Entry, EntryMeta, GroupId, LogBounds, LogId, LogIndex, StorageError, StoredEntry};
use rocksdb::{DB, Direction, ErrorKind, IteratorMode, Snapshot};

use crate::keys::{self, META, PAYLOAD, STATE, StateKey, entry_key, index_of};
use crate::record::{self, Body, MetaBody, PayloadBody, PurgedBody};

/// Most metadata records that one call answers.
const METADATA_PAGE: usize = 65_536;

/// What an answer without an entry counts toward the byte limit of a read.
const EMPTY_ANSWER: usize = size_of::<StoredEntry>();

/// One group's log at one moment.
pub(crate) struct Reader<'a> {
    db: &'a DB,
    snapshot: Snapshot<'a>,
    group: GroupId,
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
        }
    }

    /// What the log spans: the purge record, and the last key in either column
    /// family of entries. A few seeks, however long the log.
    ///
    /// A last entry whose metadata is missing or damaged is an error: without its
    /// term the replica cannot say how up to date its log is.
    pub(crate) fn bounds(&self) -> Result<LogBounds, StorageError> {
        let purged = self.purged()?;
        let last = self.last_key(META)?.max(self.last_key(PAYLOAD)?);
        let last = match last.filter(|index| *index > purged.index) {
            Some(index) => self.metadata_at(index)?.log_id,
            None => purged,
        };
        Ok(LogBounds { purged, last })
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
        let (mut answers, mut bytes, mut index) = (Vec::new(), 0, first);
        while index <= last && (answers.is_empty() || bytes <= max_bytes) {
            let answer = if spans(bounds, index) {
                self.entry_at(index)?
            } else {
                StoredEntry::Absent { index }
            };
            bytes += match &answer {
                StoredEntry::Entry(entry) => entry.size(),
                _ => EMPTY_ANSWER,
            };
            answers.push(answer);
            // Nothing follows the end of the log; one answer says so.
            if index > bounds.last.index {
                break;
            }
            index = index.next();
        }
        Ok(answers)
    }

    /// Metadata of a range, at most a page of it; a hole in it is damage.
    pub(crate) fn metadata(
        &self,
        first: LogIndex,
        last: LogIndex,
    ) -> Result<Vec<EntryMeta>, StorageError> {
        let mut found = Vec::new();
        let mut index = first;
        while index <= last && found.len() < METADATA_PAGE {
            match self.get::<MetaBody>(META, &entry_key(self.group, index))? {
                Found::Sound(body) => found.push(body.at(index)),
                // Truncated or purged since the caller looked.
                Found::Nothing if !spans(self.bounds()?, index) => break,
                Found::Nothing => return Err(self.corrupt_metadata(index, MISSING.into())),
                Found::Damaged(reason) => return Err(self.corrupt_metadata(index, reason)),
            }
            index = index.next();
        }
        Ok(found)
    }

    /// Metadata of an entry that must be there.
    pub(crate) fn metadata_at(&self, index: LogIndex) -> Result<EntryMeta, StorageError> {
        match self.get::<MetaBody>(META, &entry_key(self.group, index))? {
            Found::Sound(body) => Ok(body.at(index)),
            Found::Nothing => Err(self.corrupt_metadata(index, MISSING.into())),
            Found::Damaged(reason) => Err(self.corrupt_metadata(index, reason)),
        }
    }

    /// One entry inside the bounds: the entry, or how it is damaged; absent only
    /// if the log was cut or purged since the bounds were looked at.
    fn entry_at(&self, index: LogIndex) -> Result<StoredEntry, StorageError> {
        let key = entry_key(self.group, index);
        let payload = self.get::<PayloadBody>(PAYLOAD, &key)?;
        let meta = match self.get::<MetaBody>(META, &key)? {
            Found::Sound(body) => body.at(index),
            Found::Nothing if !spans(self.bounds()?, index) => {
                return Ok(StoredEntry::Absent { index });
            }
            Found::Nothing => return Ok(corrupt(index, None, "its metadata is missing".into())),
            Found::Damaged(reason) => {
                return Ok(corrupt(index, None, format!("its metadata: {reason}")));
            }
        };
        Ok(match payload {
            Found::Sound(body) => join(meta, body),
            Found::Nothing => corrupt(index, Some(meta), "its payload is missing".into()),
            Found::Damaged(reason) => corrupt(index, Some(meta), format!("its payload: {reason}")),
        })
    }

    /// The entry up to which the log is purged; zero if it never was.
    pub(crate) fn purged(&self) -> Result<LogId, StorageError> {
        match self.get::<PurgedBody>(STATE, &StateKey::Purged.of(self.group))? {
            Found::Sound(PurgedBody(purged)) => Ok(purged),
            Found::Nothing => Ok(LogId::ZERO),
            Found::Damaged(reason) => Err(StorageError::Corrupt {
                what: format!("the purge record of {}", self.group),
                reason,
            }),
        }
    }

    fn last_key(&self, name: &str) -> Result<Option<LogIndex>, StorageError> {
        let end = entry_key(self.group, LogIndex::new(u64::MAX));
        let mode = IteratorMode::From(&end, Direction::Reverse);
        let mut backwards = self.snapshot.iterator_cf(keys::family(self.db, name), mode);
        match backwards.next().transpose() {
            Ok(found) => Ok(found.and_then(|(key, _)| index_of(self.group, &key))),
            Err(error) => Err(StorageError::io(DOING, error)),
        }
    }

    fn get<T: Body>(&self, name: &str, key: &[u8]) -> Result<Found<T>, StorageError> {
        let family = keys::family(self.db, name);
        Ok(match self.snapshot.get_pinned_cf(family, key) {
            Ok(None) => Found::Nothing,
            Ok(Some(record)) => match record::decode(key, &record) {
                Ok(body) => Found::Sound(body),
                Err(error) => Found::Damaged(error.to_string()),
            },
            // RocksDB's own checksum of the block does not match.
            Err(error) if error.kind() == ErrorKind::Corruption => {
                Found::Damaged(error.into_string())
            }
            Err(error) => return Err(StorageError::io(DOING, error)),
        })
    }

    fn corrupt_metadata(&self, index: LogIndex, reason: String) -> StorageError {
        StorageError::Corrupt {
            what: format!("the metadata of entry {index} of {}", self.group),
            reason,
        }
    }
}

const DOING: &str = "reading the log";
const MISSING: &str = "it is missing";

fn spans(bounds: LogBounds, index: LogIndex) -> bool {
    bounds.purged.index < index && index <= bounds.last.index
}

fn corrupt(index: LogIndex, meta: Option<EntryMeta>, reason: String) -> StoredEntry {
    StoredEntry::Corrupt {
        index,
        meta,
        reason,
    }
}

/// Metadata and payload as one entry, if they were written together.
fn join(meta: EntryMeta, body: PayloadBody) -> StoredEntry {
    if body.term != meta.log_id.term {
        let reason = format!("its payload is of {}", body.term);
        return corrupt(meta.log_id.index, Some(meta), reason);
    }
    let entry = Entry {
        log_id: meta.log_id,
        payload: body.payload,
    };
    if entry.kind() != meta.kind {
        let reason = format!("its payload is a {:?}", entry.kind());
        return corrupt(meta.log_id.index, Some(meta), reason);
    }
    StoredEntry::Entry(entry)
}
