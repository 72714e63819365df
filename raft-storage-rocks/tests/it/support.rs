//! A store in a temporary directory, and a way past it to its bytes.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use raft_core::{
    AppendBatch, Entry, GroupId, HardState, Incarnation, LogId, LogIndex, LogSlice, LogStore,
    NodeId, ReplicaId, RequestId, SavedVote, Term,
};
use raft_storage_rocks::{Identity, RocksOptions, RocksStore};
use rocksdb::{DB, Direction, IteratorMode, Options};
use tempfile::TempDir;

use crate::image::copy_moment;

pub(crate) const GROUP: GroupId = GroupId::new(0);

pub(crate) fn identity(cluster: u64, node: u64) -> Identity {
    Identity {
        cluster,
        node: NodeId::new(node),
        incarnation: Incarnation::new(0),
    }
}

/// Bytes before the lines of a run: frame and term.
const HEADER: usize = 6 + 8;

/// A directory that is removed in the end.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a temporary directory can be made"))
    }

    /// In memory where there is such a place: for what opens stores thousands of times.
    pub(crate) fn quick() -> Self {
        TempDir::new_in("/dev/shm").map_or_else(|_| Self::new(), Self)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("raft")
    }

    pub(crate) fn open(&self) -> RocksStore {
        open(&self.path())
    }

    /// Changes the record under `key`, past the store, which is not open.
    pub(crate) fn rewrite(&self, family: &str, key: &[u8], change: impl FnOnce(&mut Vec<u8>)) {
        let db = raw(&self.path());
        let handle = db.cf_handle(family).expect("the family exists");
        let mut record = db
            .get_cf(handle, key)
            .expect("it can be read")
            .expect("it is there");
        change(&mut record);
        db.put_cf(handle, key, record).expect("it can be written");
    }

    /// Flips a bit in what the entry at `index` holds, past the store, which is not open.
    pub(crate) fn damage_payload(&self, index: u64) {
        self.damage_payload_of(GROUP, index);
    }

    /// As above, in any group. The entry is in the last run that begins up to it.
    pub(crate) fn damage_payload_of(&self, group: GroupId, index: u64) {
        let db = raw(&self.path());
        let meta = db.cf_handle("meta").expect("the family exists");
        let key = [group.get().to_be_bytes(), index.to_be_bytes()].concat();
        let mut runs = db.iterator_cf(meta, IteratorMode::From(&key, Direction::Reverse));
        let (key, run) = runs.next().expect("it has a run").expect("it can be read");
        let first = u64::from_be_bytes(key[8..].try_into().expect("eight bytes"));
        let line = HEADER + 9 * usize::try_from(index - first).expect("a run is short");
        let end: [u8; 4] = run[line + 1..line + 5].try_into().expect("four bytes");
        let payload = db.cf_handle("payload").expect("the family exists");
        let bytes = db.get_cf(payload, &key).expect("it can be read");
        let mut bytes = bytes.expect("it is there");
        bytes[u32::from_le_bytes(end) as usize - 1] ^= 1;
        db.put_cf(payload, key, bytes).expect("it can be written");
    }

    /// A copy of the files as they are now, whoever has them open: what a crash leaves.
    /// See [`copy_moment`] for what that means while the store goes on.
    pub(crate) fn image(&self) -> Self {
        let copy = Self::new();
        copy_moment(&self.path(), &copy.path());
        copy
    }

    pub(crate) fn remove(&self, family: &str, key: &[u8]) {
        let db = raw(&self.path());
        let handle = db.cf_handle(family).expect("the family exists");
        db.delete_cf(handle, key).expect("it can be removed");
    }
}

pub(crate) fn open(path: &Path) -> RocksStore {
    RocksStore::open(path, &RocksOptions::default(), identity(1, 1)).expect("the store opens")
}

/// The database itself, past the store, which is not open.
pub(crate) fn raw(path: &Path) -> DB {
    let families = DB::list_cf(&Options::default(), path).expect("the families can be listed");
    DB::open_cf(&Options::default(), path, families).expect("the database opens")
}

pub(crate) fn run_key(index: u64) -> Vec<u8> {
    [GROUP.get().to_be_bytes(), index.to_be_bytes()].concat()
}

pub(crate) fn vote_key() -> Vec<u8> {
    [&GROUP.get().to_be_bytes()[..], b"v"].concat()
}

pub(crate) fn mark_key() -> Vec<u8> {
    [&GROUP.get().to_be_bytes()[..], b"m"].concat()
}

/// A vote in `term`, of the node's life with this number.
pub(crate) fn vote_of(life: u64, term: u64) -> SavedVote {
    SavedVote {
        incarnation: Incarnation::new(life),
        hard_state: HardState {
            current_term: Term::new(term),
            voted_for: Some(ReplicaId::first(2)),
        },
    }
}

/// A record whose checksum holds, made by hand.
pub(crate) fn sealed(key: &[u8], version: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    let checked = [key, &[version, kind], body].concat();
    let checksum = crc32fast::hash(&checked).to_le_bytes();
    [&[version, kind][..], &checksum, body].concat()
}

/// An entry whose payload is known from its place.
pub(crate) fn entry(term: u64, index: u64) -> Entry {
    let request = RequestId {
        boot: term,
        sequence: index,
    };
    Entry::command(
        LogId::new(term, index),
        request,
        Bytes::from(format!("{term}/{index}")),
    )
}

pub(crate) async fn append(log: &impl LogStore, cut: Option<u64>, entries: Vec<Entry>) {
    let entries = LogSlice::new(entries).expect("a run");
    let batch = AppendBatch {
        truncate_from: cut.map(LogIndex::new),
        entries,
    };
    log.append(batch)
        .await
        .expect("the append is within the contract");
}
