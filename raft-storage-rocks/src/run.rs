//! Runs: how the entries of an append lie on the disk.
//!
//! An append is cut into runs of entries of one term. A run is a record in `meta`,
//! and in `payload`, under the same key, what its entries hold, one after the other.
//!
//! ```text
//! key      group u64 be, index of the first entry u64 be
//!
//! meta     the frame of a record, kind 7, whose body is
//!            term      u64 le   of all its entries
//!            and for each entry
//!            kind      u8       0 blank, 1 command, 2 membership
//!            end       u32 le   where its bytes end in `payload`
//!            checksum  u32 le   CRC-32 of group u64 be, term u64 be, index u64 be,
//!                               kind and its bytes
//!
//! payload  the bytes of each entry, and nothing else
//!            blank       none
//!            command     boot u64 le, sequence u64 le, the command
//!            membership  bincode 2, standard configuration
//! ```
//!
//! *The run with the largest first index up to `i` governs `i`*; if `i` lies behind
//! its last entry, there is nothing at `i`. So a cut at `c` removes the runs from `c`
//! on, and whatever is written at `c` then shadows the rest of an older run: nothing
//! is read to be changed. A run without entries says that the log ends before it.
//!
//! The checksum of an entry covers who it is, so that metadata and payload that were
//! not written together never pair.

use std::ops::Range;

use bytes::Bytes;
use raft_core::{Entry, EntryKind, EntryMeta, GroupId, LogId, LogIndex, Payload, RequestId, Term};

use crate::keys::log_key;
use crate::record::{self, Kind, RecordError};

/// A run takes in no further entry beyond this many bytes. Large enough that what a
/// run costs is little beside its bytes, small enough to stay in the processor's
/// cache from here to RocksDB's log, and to be read whole for one entry.
const RUN_BYTES: usize = 64 << 10;

/// Most entries in a run, so that metadata of small entries stays readable in pieces.
const RUN_ENTRIES: usize = 1024;

const TERM: usize = 8;
const LINE: usize = 9;
const REQUEST: usize = 16;

/// Turns entries into runs, in buffers that it keeps.
#[derive(Debug, Default)]
pub(crate) struct RunEncoder {
    meta: Vec<u8>,
    payload: Vec<u8>,
}

impl RunEncoder {
    /// Hands each run of `entries` to `put`: its key, what belongs into `meta`, and
    /// what into `payload`.
    pub(crate) fn encode(
        &mut self,
        group: GroupId,
        entries: &[Entry],
        mut put: impl FnMut(&[u8], &[u8], &[u8]),
    ) {
        let mut rest = entries;
        while let Some(first) = rest.first() {
            let key = log_key(group, first.index());
            let taken = self.fill(group, first.term(), rest);
            record::seal(&key, &mut self.meta);
            put(&key, &self.meta, &self.payload);
            rest = &rest[taken..];
        }
    }

    /// Fills the buffers with one run; answers how many entries it took.
    fn fill(&mut self, group: GroupId, term: Term, entries: &[Entry]) -> usize {
        begin(&mut self.meta, term);
        self.payload.clear();
        let identity = Identity::new(group, term);
        let mut taken = 0;
        for entry in entries.iter().take(RUN_ENTRIES) {
            let is_full = self.payload.len() + entry.size() > RUN_BYTES;
            if entry.term() != term || (is_full && taken > 0) {
                break;
            }
            let start = self.payload.len();
            put_payload(&mut self.payload, &entry.payload);
            let kind = byte_of(entry.kind());
            let checksum = identity.checksum(entry.index(), kind, &self.payload[start..]);
            let end = u32::try_from(self.payload.len()).expect("RocksDB takes no larger value");
            let mut line = [kind; LINE];
            line[1..5].copy_from_slice(&end.to_le_bytes());
            line[5..].copy_from_slice(&checksum.to_le_bytes());
            self.meta.extend_from_slice(&line);
            taken += 1;
        }
        taken
    }
}

/// The record of a run without entries, which says that the log ends before `first`.
pub(crate) fn empty_run(key: &[u8]) -> Vec<u8> {
    let mut meta = Vec::new();
    begin(&mut meta, Term::default());
    record::seal(key, &mut meta);
    meta
}

fn begin(meta: &mut Vec<u8>, term: Term) {
    meta.clear();
    record::begin(meta, Kind::Run);
    meta.extend_from_slice(&term.get().to_le_bytes());
}

/// What is known of the entries of a run without their payloads.
#[derive(Debug)]
pub(crate) struct Run {
    first: LogIndex,
    term: Term,
    identity: Identity,
    lines: Vec<u8>,
}

/// What a run says of one entry.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    kind: EntryKind,
    /// Where its bytes are in the payload of the run.
    pub(crate) bytes: Range<usize>,
    checksum: u32,
}

impl Line {
    /// What the entry counts toward the byte limit of a read.
    pub(crate) const fn size(&self) -> usize {
        const FRAME: usize = 32;
        let bytes = self.bytes.end - self.bytes.start;
        match self.kind {
            EntryKind::Command => FRAME + bytes - REQUEST,
            EntryKind::Blank | EntryKind::Membership => FRAME + bytes,
        }
    }
}

impl Run {
    /// Decodes the record found in `meta` under the key of `first`.
    pub(crate) fn decode(
        group: GroupId,
        first: LogIndex,
        record: &[u8],
    ) -> Result<Self, RecordError> {
        let body = record::open(&log_key(group, first), record, Kind::Run)?;
        let shape = |reason: &str| RecordError::Body {
            reason: reason.to_owned(),
        };
        let (term, lines) = body
            .split_first_chunk::<TERM>()
            .ok_or_else(|| shape("it has no term"))?;
        let term = Term::new(u64::from_le_bytes(*term));
        let count = (lines.len() / LINE) as u64;
        if lines.len() % LINE != 0 || first.get().checked_add(count).is_none() {
            return Err(shape("it is no list of entries"));
        }
        let run = Self {
            first,
            term,
            identity: Identity::new(group, term),
            lines: lines.to_vec(),
        };
        let mut start = 0;
        for place in 0..count {
            let line = run
                .line_at(place)
                .ok_or_else(|| shape("an entry is of no known kind"))?;
            let least = match line.kind {
                EntryKind::Command => REQUEST,
                EntryKind::Blank | EntryKind::Membership => 0,
            };
            if line.bytes.end < start + least {
                return Err(shape("an entry ends before it begins"));
            }
            start = line.bytes.end;
        }
        Ok(run)
    }

    /// The last entry; nothing in a run without entries.
    pub(crate) fn last(&self) -> Option<LogId> {
        let before_last = self.count().checked_sub(1)?;
        Some(LogId {
            term: self.term,
            index: self.first.plus(before_last),
        })
    }

    /// What the run says of the entry at `index`, if it holds one there.
    pub(crate) fn line(&self, index: LogIndex) -> Option<Line> {
        let place = index.get().checked_sub(self.first.get())?;
        if place >= self.count() {
            return None;
        }
        self.line_at(place)
    }

    /// Identity and kind of the entry at `index`, if the run holds one there.
    pub(crate) fn meta(&self, index: LogIndex) -> Option<EntryMeta> {
        let kind = self.line(index)?.kind;
        let term = self.term;
        let log_id = LogId { term, index };
        Some(EntryMeta { log_id, kind })
    }

    /// The entry at `index` from its bytes, if they are those that were written.
    pub(crate) fn entry(
        &self,
        index: LogIndex,
        line: &Line,
        bytes: Bytes,
    ) -> Result<Entry, String> {
        let found = self.identity.checksum(index, byte_of(line.kind), &bytes);
        if found != line.checksum {
            let stored = line.checksum;
            return Err(format!(
                "its payload: its checksum is {found:08x}, {stored:08x} was stored"
            ));
        }
        let term = self.term;
        Ok(Entry {
            log_id: LogId { term, index },
            payload: payload_from(line.kind, bytes)?,
        })
    }

    fn count(&self) -> u64 {
        (self.lines.len() / LINE) as u64
    }

    fn line_at(&self, place: u64) -> Option<Line> {
        let at = usize::try_from(place).ok()? * LINE;
        let end_of = |at: usize| {
            let end: [u8; 4] = self.lines[at + 1..at + 5].try_into().expect("four bytes");
            u32::from_le_bytes(end) as usize
        };
        let checksum: [u8; 4] = self.lines[at + 5..at + LINE]
            .try_into()
            .expect("four bytes");
        let start = at.checked_sub(LINE).map_or(0, end_of);
        Some(Line {
            kind: kind_of(self.lines[at])?,
            bytes: start..end_of(at),
            checksum: u32::from_le_bytes(checksum),
        })
    }
}

/// What the checksums of entries of one group and term begin with.
#[derive(Clone, Debug)]
struct Identity(crc32fast::Hasher);

impl Identity {
    fn new(group: GroupId, term: Term) -> Self {
        let mut begun = crc32fast::Hasher::new();
        begun.update(&group.get().to_be_bytes());
        begun.update(&term.get().to_be_bytes());
        Self(begun)
    }

    fn checksum(&self, index: LogIndex, kind: u8, bytes: &[u8]) -> u32 {
        let mut who = [kind; 9];
        who[..8].copy_from_slice(&index.get().to_be_bytes());
        let mut hasher = self.0.clone();
        hasher.update(&who);
        hasher.update(bytes);
        hasher.finalize()
    }
}

/// The record in `repaired` of an entry: a frame of kind 8, whose body is the term
/// (u64 le), the kind and the bytes of the entry, as a run has them.
pub(crate) fn repaired(key: &[u8], entry: &Entry) -> Vec<u8> {
    let mut copy = Vec::new();
    record::begin(&mut copy, Kind::Repaired);
    copy.extend_from_slice(&entry.term().get().to_le_bytes());
    copy.push(byte_of(entry.kind()));
    put_payload(&mut copy, &entry.payload);
    record::seal(key, &mut copy);
    copy
}

/// The entry of which `record` is the copy under `key`.
pub(crate) fn repaired_entry(
    key: &[u8],
    index: LogIndex,
    record: &[u8],
) -> Result<Entry, RecordError> {
    let body = record::open(key, record, Kind::Repaired)?;
    let wrong = |reason: String| RecordError::Body { reason };
    let parts = body.split_first_chunk::<TERM>();
    let parts = parts.and_then(|(term, rest)| Some((term, rest.split_first()?)));
    let Some((term, (kind, bytes))) = parts else {
        return Err(wrong("it is too short".to_owned()));
    };
    let term = Term::new(u64::from_le_bytes(*term));
    let kind = kind_of(*kind).ok_or_else(|| wrong("it is of no known kind".to_owned()))?;
    Ok(Entry {
        log_id: LogId { term, index },
        payload: payload_from(kind, Bytes::copy_from_slice(bytes)).map_err(wrong)?,
    })
}

fn put_payload(bytes: &mut Vec<u8>, payload: &Payload) {
    match payload {
        Payload::Blank => {}
        Payload::Command { request, data } => {
            bytes.extend_from_slice(&request.boot.to_le_bytes());
            bytes.extend_from_slice(&request.sequence.to_le_bytes());
            bytes.extend_from_slice(data);
        }
        Payload::Membership(membership) => record::put_membership(bytes, membership),
    }
}

fn payload_from(kind: EntryKind, mut bytes: Bytes) -> Result<Payload, String> {
    match kind {
        EntryKind::Blank if bytes.is_empty() => Ok(Payload::Blank),
        EntryKind::Blank => Err("it is blank and has a payload".to_owned()),
        EntryKind::Command => {
            let Some((boot, rest)) = bytes.split_first_chunk::<8>() else {
                return Err("its request is cut off".to_owned());
            };
            let Some((sequence, _)) = rest.split_first_chunk::<8>() else {
                return Err("its request is cut off".to_owned());
            };
            let request = RequestId {
                boot: u64::from_le_bytes(*boot),
                sequence: u64::from_le_bytes(*sequence),
            };
            // A part of the run's buffer, not a copy of it.
            let data = bytes.split_off(REQUEST);
            Ok(Payload::Command { request, data })
        }
        EntryKind::Membership => match record::membership_from(&bytes) {
            Ok(membership) => Ok(Payload::Membership(Box::new(membership))),
            Err(error) => Err(format!("its membership: {error}")),
        },
    }
}

const fn byte_of(kind: EntryKind) -> u8 {
    match kind {
        EntryKind::Blank => 0,
        EntryKind::Command => 1,
        EntryKind::Membership => 2,
    }
}

const fn kind_of(byte: u8) -> Option<EntryKind> {
    match byte {
        0 => Some(EntryKind::Blank),
        1 => Some(EntryKind::Command),
        2 => Some(EntryKind::Membership),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: GroupId = GroupId::new(3);

    fn command(term: u64, index: u64, length: usize) -> Entry {
        let request = RequestId {
            boot: term,
            sequence: index,
        };
        Entry::command(LogId::new(term, index), request, vec![7; length].into())
    }

    /// The runs of `entries`: first index, metadata record, payload record.
    fn runs(entries: &[Entry]) -> Vec<(LogIndex, Vec<u8>, Bytes)> {
        let mut found = Vec::new();
        RunEncoder::default().encode(GROUP, entries, |key, meta, payload| {
            let first = crate::keys::index_of(GROUP, key).unwrap();
            found.push((first, meta.to_vec(), Bytes::copy_from_slice(payload)));
        });
        found
    }

    fn decoded(runs: &[(LogIndex, Vec<u8>, Bytes)]) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (first, meta, payload) in runs {
            let run = Run::decode(GROUP, *first, meta).unwrap();
            for place in 0..run.count() {
                let (index, line) = (first.plus(place), run.line_at(place).unwrap());
                let bytes = payload.slice(line.bytes.clone());
                entries.push(run.entry(index, &line, bytes).unwrap());
            }
        }
        entries
    }

    #[test]
    fn runs_end_where_the_term_changes_and_where_they_are_full() {
        let large = RUN_BYTES;
        let entries = [
            command(1, 5, 10),
            command(2, 6, 0),
            Entry::blank(LogId::new(2, 7)),
            command(2, 8, large),
            command(2, 9, large / 2),
            command(2, 10, 1),
        ];

        let runs = runs(&entries);

        let firsts: Vec<u64> = runs.iter().map(|(first, ..)| first.get()).collect();
        assert_eq!(firsts, [5, 6, 8, 9]);
        assert_eq!(decoded(&runs), entries);
    }

    #[test]
    fn many_small_entries_make_several_runs() {
        let entries: Vec<_> = (1..=2500).map(|index| command(4, index, 1)).collect();
        let runs = runs(&entries);
        assert_eq!(runs.len(), 3);
        assert_eq!(decoded(&runs), entries);
    }

    #[test]
    fn an_entry_pairs_with_no_payload_but_its_own() {
        let (first, meta, payload) = runs(&[command(2, 6, 20)]).remove(0);
        let run = Run::decode(GROUP, first, &meta).unwrap();
        let line = run.line(first).unwrap();
        assert!(run.entry(first, &line, payload.clone()).is_ok());

        for (term, index) in [(1, 6), (2, 7)] {
            let (other_first, other, _) = runs(&[command(term, index, 20)]).remove(0);
            let other = Run::decode(GROUP, other_first, &other).unwrap();
            let line = other.line(other_first).unwrap();
            assert!(other.entry(other_first, &line, payload.clone()).is_err());
        }
    }

    #[test]
    fn every_flipped_bit_of_metadata_and_payload_is_noticed() {
        let (first, meta, payload) = runs(&[command(2, 6, 20)]).remove(0);
        for bit in 0..meta.len() * 8 {
            let mut damaged = meta.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Run::decode(GROUP, first, &damaged).is_err(), "bit {bit}");
        }
        let run = Run::decode(GROUP, first, &meta).unwrap();
        let line = run.line(first).unwrap();
        for bit in 0..payload.len() * 8 {
            let mut damaged = payload.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(run.entry(first, &line, damaged.into()).is_err());
        }
    }

    #[test]
    fn an_empty_run_holds_nothing() {
        let first = LogIndex::new(9);
        let record = empty_run(&log_key(GROUP, first));
        let run = Run::decode(GROUP, first, &record).unwrap();
        assert_eq!(run.last(), None);
        assert!(run.line(first).is_none());
    }

    #[test]
    fn a_copy_of_an_entry_is_known_by_its_key() {
        let entry = command(2, 6, 20);
        let key = log_key(GROUP, entry.index());
        let copy = repaired(&key, &entry);
        assert_eq!(repaired_entry(&key, entry.index(), &copy), Ok(entry));
        let other = log_key(GROUP, LogIndex::new(7));
        assert!(repaired_entry(&other, LogIndex::new(7), &copy).is_err());
    }
}
