//! A log store that keeps two files, for the tests of the kit for files: a journal,
//! and how much of it is certain.
//!
//! Behind the certain part a bad record is a torn tail; within it, it is damage.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard};

use bytes::{Buf, BufMut, Bytes};
use raft_core::testing::files::{Directory, RecordedDisk};
use raft_core::{
    AppendBatch, Entry, EntryKind, EntryMeta, LogBounds, LogId, LogIndex, LogStore, Membership,
    Payload, RequestId, StorageError, StorageHealth, StoredEntry, async_trait,
};

/// How a store breaks its contract.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Flaw {
    /// 1: returns before the journal is durable.
    ReturnsEarly,
    /// 1: forgets that a name is durable when its directory is.
    ForgetsTheDirectory,
    /// 2: each record counts on its own.
    AppendsByHalves,
    /// 5: returns damaged data as good.
    BelievesDamage,
    /// 9: cuts in memory only, if no run follows.
    LosesCuts,
    /// 10: empties the log, then notes the snapshot.
    ResetsByHalves,
    /// 11: says that a sync failed, and goes on.
    GoesOnAfterFailedSync,
    /// 11: syncs again after a failure, and believes that.
    SyncsAgain,
}

const JOURNAL: &str = "journal";
const CERTAIN: &str = "certain";
/// Fields of a record before its body, and their checksum.
const HEADER: usize = 46;

/// A record: what happens to the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Blank = 1,
    Command,
    Membership,
    Cut,
    Purge,
    Reset,
}

#[derive(Clone, Debug)]
struct Record {
    kind: Kind,
    /// The last of its call: the call counts when this record is whole.
    is_last: bool,
    log_id: LogId,
    body: Bytes,
}

/// An entry in the journal.
#[derive(Clone, Copy, Debug)]
struct Stored {
    meta: EntryMeta,
    at: usize,
    length: usize,
    checksum: u64,
}

#[derive(Debug, Default)]
struct State {
    purged: LogId,
    entries: BTreeMap<LogIndex, Stored>,
    end: usize,
    notes: u64,
    is_closed: bool,
}

pub(crate) struct FileLog {
    directory: Directory,
    flaw: Option<Flaw>,
    state: Mutex<State>,
}

impl FileLog {
    pub(crate) fn open(directory: Directory, flaw: Option<Flaw>) -> io::Result<Self> {
        if !directory.names()?.iter().any(|name| name == JOURNAL) {
            directory.write_at(JOURNAL, 0, &[])?;
            directory.write_at(CERTAIN, 0, &[])?;
            if flaw != Some(Flaw::ForgetsTheDirectory) {
                directory.sync_directory()?;
            }
        }
        let journal = directory.read(JOURNAL)?;
        let certain = certain(&directory.read(CERTAIN).unwrap_or_default());
        let mut state = State::default();
        let mut call = Vec::new();
        let mut at = 0;
        while let Some(record) = Record::read(&journal[at..]) {
            let length = HEADER + record.body.len();
            let body_checksum = record_checksum(&journal[at..]);
            let is_whole = checksum(&record.body) == body_checksum || at + length <= certain;
            if !is_whole {
                break;
            }
            let ends_here = record.is_last || flaw == Some(Flaw::AppendsByHalves);
            call.push((record, at));
            at += length;
            if ends_here {
                for (record, at) in call.drain(..) {
                    state.take(&record, at);
                }
                state.end = at;
            }
        }
        if journal.len() > state.end {
            directory.truncate(JOURNAL, state.end as u64)?;
            directory.sync(JOURNAL)?;
        }
        Ok(Self {
            directory,
            flaw,
            state: Mutex::new(state),
        })
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Writes the records of one call, and makes them certain.
    fn commit(&self, mut records: Vec<Record>) -> Result<(), StorageError> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(StorageError::Closed);
        }
        let Some(last) = records.last_mut() else {
            return Ok(());
        };
        last.is_last = true;
        let bytes: Vec<_> = records.iter().map(Record::bytes).collect();
        let start = state.end;
        let written = self.write(start, &bytes, state.notes);
        if let Err(error) = written {
            state.is_closed = !self.has(Flaw::GoesOnAfterFailedSync);
            return Err(StorageError::io("writing the journal", error));
        }
        state.notes += 1;
        for (record, bytes) in records.iter().zip(bytes) {
            let at = state.end;
            state.take(record, at);
            state.end += bytes.len();
        }
        Ok(())
    }

    fn write(&self, start: usize, records: &[Vec<u8>], notes: u64) -> io::Result<()> {
        let directory = &self.directory;
        let bytes = records.concat();
        if self.has(Flaw::AppendsByHalves) || self.has(Flaw::ResetsByHalves) {
            let mut at = start as u64;
            for record in records {
                directory.write_at(JOURNAL, at, record)?;
                directory.sync(JOURNAL)?;
                at += record.len() as u64;
            }
        } else {
            directory.write_at(JOURNAL, start as u64, &bytes)?;
        }
        if self.has(Flaw::ReturnsEarly) {
            return Ok(());
        }
        if self.has(Flaw::SyncsAgain) {
            directory
                .sync(JOURNAL)
                .or_else(|_| directory.sync(JOURNAL))?;
        } else {
            directory.sync(JOURNAL)?;
        }
        let end = (start + bytes.len()) as u64;
        let mut note = end.to_be_bytes().to_vec();
        note.extend(checksum(&note).to_be_bytes());
        // Two places in turn, so that a torn note leaves the one before.
        directory.write_at(CERTAIN, notes % 2 * 16, &note)?;
        directory.sync(CERTAIN)
    }
}

impl State {
    fn take(&mut self, record: &Record, at: usize) {
        let LogId { index, .. } = record.log_id;
        match record.kind {
            Kind::Cut => drop(self.entries.split_off(&index)),
            Kind::Purge => {
                self.entries = self.entries.split_off(&index.next());
                self.purged = record.log_id;
            }
            Kind::Reset => {
                self.entries.clear();
                self.purged = record.log_id;
            }
            Kind::Blank | Kind::Command | Kind::Membership => {
                let kind = match record.kind {
                    Kind::Command => EntryKind::Command,
                    Kind::Membership => EntryKind::Membership,
                    _ => EntryKind::Blank,
                };
                let log_id = record.log_id;
                let stored = Stored {
                    meta: EntryMeta { log_id, kind },
                    at: at + HEADER,
                    length: record.body.len(),
                    checksum: checksum(&record.body),
                };
                self.entries.insert(index, stored);
            }
        }
    }

    fn bounds(&self) -> LogBounds {
        let last = self.entries.values().next_back();
        LogBounds {
            purged: self.purged,
            last: last.map_or(self.purged, |stored| stored.meta.log_id),
        }
    }

    fn check(&self, batch: &AppendBatch) -> Result<(), StorageError> {
        let bounds = self.bounds();
        let cut = batch.truncate_from;
        let next = cut.unwrap_or(bounds.last.index.next());
        let first = batch.entries.first().map_or(next, |first| first.index);
        let is_within = next > bounds.purged.index && next <= bounds.last.index.next();
        if is_within && first == next {
            return Ok(());
        }
        let reason = format!("{first} after a cut at {cut:?} of a log that spans {bounds:?}");
        Err(StorageError::Misuse { reason })
    }
}

#[async_trait]
impl LogStore for FileLog {
    async fn append(&self, batch: AppendBatch) -> Result<(), StorageError> {
        self.lock().check(&batch)?;
        let cut = batch
            .truncate_from
            .map(|index| Record::mark(Kind::Cut, LogId::new(0, index.get())));
        let is_lost = self.has(Flaw::LosesCuts) && batch.entries.is_empty();
        if let Some(cut) = cut.as_ref().filter(|_| is_lost) {
            self.lock().take(cut, 0);
            return Ok(());
        }
        let entries = batch.entries.entries().iter().map(Record::of);
        self.commit(cut.into_iter().chain(entries).collect())
    }

    async fn read(
        &self,
        first: LogIndex,
        last: LogIndex,
        max_bytes: usize,
    ) -> Result<Vec<StoredEntry>, StorageError> {
        let read = self.directory.read(JOURNAL);
        let journal = read.map_err(|error| StorageError::io("reading the journal", error))?;
        let (state, mut found, mut bytes) = (self.lock(), Vec::new(), 0);
        let mut index = first;
        while index <= last {
            let Some(stored) = state.entries.get(&index) else {
                found.push(StoredEntry::Absent { index });
                index = index.next();
                continue;
            };
            bytes += stored.length;
            if bytes > max_bytes && !found.is_empty() {
                break;
            }
            let body = &journal[stored.at..stored.at + stored.length];
            let is_good = checksum(body) == stored.checksum && !is_damaged(&journal, stored);
            found.push(match is_good || self.has(Flaw::BelievesDamage) {
                true => StoredEntry::Entry(decode(stored.meta, body)),
                false => StoredEntry::Corrupt {
                    index,
                    meta: Some(stored.meta),
                    reason: "its checksum is wrong".into(),
                },
            });
            index = index.next();
        }
        Ok(found)
    }

    async fn metadata(
        &self,
        first: LogIndex,
        last: LogIndex,
    ) -> Result<Vec<EntryMeta>, StorageError> {
        let state = self.lock();
        let entries = state.entries.range(first..=last);
        Ok(entries.map(|(_, stored)| stored.meta).collect())
    }

    async fn bounds(&self) -> Result<LogBounds, StorageError> {
        Ok(self.lock().bounds())
    }

    async fn purge(&self, up_to: LogId) -> Result<(), StorageError> {
        if up_to.index > self.lock().bounds().last.index {
            let reason = format!("{up_to} lies beyond the log");
            return Err(StorageError::Misuse { reason });
        }
        self.commit(vec![Record::mark(Kind::Purge, up_to)])
    }

    async fn reset(&self, snapshot: LogId) -> Result<(), StorageError> {
        let mut records = vec![Record::mark(Kind::Reset, snapshot)];
        if self.has(Flaw::ResetsByHalves) {
            let mut empty = Record::mark(Kind::Cut, LogId::ZERO);
            empty.is_last = true;
            records.insert(0, empty);
        }
        self.commit(records)
    }

    fn health(&self) -> StorageHealth {
        match self.lock().is_closed {
            true => StorageHealth::Closed,
            false => StorageHealth::Healthy,
        }
    }
}

impl Record {
    fn mark(kind: Kind, log_id: LogId) -> Self {
        Self {
            kind,
            is_last: false,
            log_id,
            body: Bytes::new(),
        }
    }

    fn of(entry: &Entry) -> Self {
        let mut body = Vec::new();
        let kind = match &entry.payload {
            Payload::Blank => Kind::Blank,
            Payload::Command { request, data } => {
                body.put_u64(request.boot);
                body.put_u64(request.sequence);
                body.put_slice(data);
                Kind::Command
            }
            // The suite's memberships have voters and nothing else.
            Payload::Membership(membership) => {
                for voter in membership.voters() {
                    body.put_u64(voter.get());
                }
                Kind::Membership
            }
        };
        Self {
            body: body.into(),
            ..Self::mark(kind, entry.log_id)
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.kind as u8, u8::from(self.is_last)];
        bytes.put_u64(self.log_id.term.get());
        bytes.put_u64(self.log_id.index.get());
        bytes.put_u32(u32::try_from(self.body.len()).unwrap());
        bytes.put_u64(checksum(&self.body));
        bytes.put_u64(0);
        bytes.put_u64(checksum(&bytes));
        bytes.put_slice(&self.body);
        bytes
    }

    /// The record at the beginning of `bytes`, if its header is good and it fits.
    fn read(mut bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..HEADER)?;
        let (fields, mut sum) = header.split_at(HEADER - 8);
        if checksum(fields) != sum.get_u64() {
            return None;
        }
        let kind = match bytes.get_u8() {
            1 => Kind::Blank,
            2 => Kind::Command,
            3 => Kind::Membership,
            4 => Kind::Cut,
            5 => Kind::Purge,
            _ => Kind::Reset,
        };
        let is_last = bytes.get_u8() == 1;
        let log_id = LogId::new(bytes.get_u64(), bytes.get_u64());
        let length = usize::try_from(bytes.get_u32()).ok()?;
        bytes.advance(24);
        let body = Bytes::copy_from_slice(bytes.get(..length)?);
        Some(Self {
            kind,
            is_last,
            log_id,
            body,
        })
    }
}

/// The checksum of its body, as a record's header has it.
fn record_checksum(record: &[u8]) -> u64 {
    (&record[22..30]).get_u64()
}

fn is_damaged(journal: &[u8], stored: &Stored) -> bool {
    let header = &journal[stored.at - HEADER..];
    record_checksum(header) != checksum(&journal[stored.at..stored.at + stored.length])
}

fn decode(meta: EntryMeta, mut body: &[u8]) -> Entry {
    let payload = match meta.kind {
        EntryKind::Blank => Payload::Blank,
        EntryKind::Command => Payload::Command {
            request: RequestId {
                boot: body.get_u64(),
                sequence: body.get_u64(),
            },
            data: Bytes::copy_from_slice(body),
        },
        EntryKind::Membership => {
            let voters = body.chunks(8).map(|mut voter| voter.get_u64());
            Payload::Membership(Box::new(Membership::of_ids(voters)))
        }
    };
    Entry {
        log_id: meta.log_id,
        payload,
    }
}

/// The end of the journal's certain part: the later of the notes that are whole.
fn certain(notes: &[u8]) -> usize {
    let whole = notes.chunks_exact(16).filter_map(|note| {
        let (mut end, mut sum) = note.split_at(8);
        let is_whole = checksum(end) == sum.get_u64();
        is_whole.then(|| end.get_u64())
    });
    usize::try_from(whole.max().unwrap_or(0)).unwrap()
}

/// A digest that tells damage.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum: u64, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Flips a bit of the payload at `index`.
pub(crate) fn damage(disk: &RecordedDisk, index: LogIndex) -> bool {
    let log = FileLog::open(disk.mount(), None).unwrap();
    let stored = log.lock().entries.get(&index).copied();
    stored.is_some_and(|stored| disk.flip(JOURNAL, stored.at as u64 + 20))
}
