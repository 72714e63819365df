//! Format 1 is for ever: what it wrote is read, and what is written is the same.
//!
//! `tests/data/v1/records.txt` holds every kind of record, as hexadecimal key and
//! value by column family. `UPDATE_EXPECT=1` writes it anew; a changed line means
//! that existing data directories are not read any more.

use std::fmt::Write as _;
use std::path::PathBuf;

use bytes::Bytes;
use raft_core::{
    AppendBatch, Entry, GroupId, HardState, Incarnation, LogId, LogIndex, LogSlice, LogStore,
    MemberInfo, Membership, NodeId, Payload, ReplicaId, RequestId, SavedVote, StableState,
    StableStore, StoredEntry, Term,
};
use raft_storage_rocks::RocksStore;
use rocksdb::IteratorMode;

use crate::support::{GROUP, Place, append, entry, raw};

fn golden_file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/v1/records.txt")
}

/// In this one the node lost a vote.
const OTHER_GROUP: GroupId = GroupId::new(1);

fn vote(life: u64) -> SavedVote {
    SavedVote {
        incarnation: Incarnation::new(life),
        hard_state: HardState {
            current_term: Term::new(300),
            voted_for: Some(ReplicaId {
                node: NodeId::new(2),
                incarnation: Incarnation::new(1),
            }),
        },
    }
}

/// One entry of each kind, with small and large numbers.
fn entries() -> Vec<Entry> {
    let info = MemberInfo {
        incarnation: Incarnation::new(3),
        address: "a.example:7000".into(),
        context: Bytes::from_static(b"context"),
    };
    let members = [
        (NodeId::new(1), MemberInfo::default()),
        (NodeId::new(2), info),
    ];
    let voters = [NodeId::new(1)].into();
    let outgoing = [NodeId::new(1), NodeId::new(2)].into();
    let membership = Membership::from_parts(members.into(), voters, Some(outgoing)).unwrap();
    let request = RequestId {
        boot: u64::MAX,
        sequence: 70_000,
    };
    vec![
        Entry::blank(LogId::new(1, 2)),
        Entry::command(LogId::new(300, 3), request, Bytes::from_static(b"abc")),
        Entry {
            log_id: LogId::new(70_000, 4),
            payload: Payload::Membership(Box::new(membership)),
        },
    ]
}

async fn fill(store: &RocksStore) {
    let log = store.log_store(GROUP).unwrap();
    log.reset(LogId::new(1, 1)).await.unwrap();
    let batch = AppendBatch {
        truncate_from: None,
        entries: LogSlice::new(entries()).unwrap(),
    };
    log.append(batch).await.unwrap();
    let copy = LogSlice::new(vec![entries()[1].clone()]).unwrap();
    log.repair(copy).await.unwrap();
    // An end without entries, at the cut of another log.
    let other = store.log_store(OTHER_GROUP).unwrap();
    append(&other, None, vec![entry(5, 1), entry(5, 2)]).await;
    append(&other, Some(2), vec![]).await;
    let stable = store.stable_store(GROUP);
    stable.save(vote(0)).await.unwrap();
    let stable = store.stable_store(OTHER_GROUP);
    stable.save(vote(70_000)).await.unwrap();
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn dump(place: &Place) -> String {
    let db = raw(&place.path());
    let mut text = String::new();
    for name in ["identity", "state", "meta", "payload", "repaired"] {
        let family = db.cf_handle(name).unwrap();
        for item in db.iterator_cf(family, IteratorMode::Start) {
            let (key, value) = item.unwrap();
            writeln!(text, "{name} {} {}", hex(&key), hex(&value)).unwrap();
        }
    }
    text
}

#[tokio::test]
async fn every_record_is_written_as_format_1_has_it() {
    let place = Place::new();
    fill(&place.open()).await;

    let written = dump(&place);

    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::create_dir_all(golden_file().parent().unwrap()).unwrap();
        std::fs::write(golden_file(), &written).unwrap();
    }
    let golden = std::fs::read_to_string(golden_file()).unwrap();
    assert_eq!(written, golden);
}

#[tokio::test]
async fn every_record_of_format_1_is_read() {
    let place = Place::new();
    drop(place.open());
    let golden = std::fs::read_to_string(golden_file()).unwrap();
    {
        let db = raw(&place.path());
        for line in golden.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let family = db.cf_handle(fields[0]).unwrap();
            db.put_cf(family, bytes_of(fields[1]), bytes_of(fields[2]))
                .unwrap();
        }
    }

    let store = place.open();
    let log = store.log_store(GROUP).unwrap();
    let found = log
        .read(LogIndex::new(2), LogIndex::new(4), usize::MAX)
        .await;

    let expected: Vec<_> = entries().into_iter().map(StoredEntry::Entry).collect();
    assert_eq!(found.unwrap(), expected);
    assert_eq!(log.bounds().await.unwrap().purged, LogId::new(1, 1));
    let other = store.log_store(OTHER_GROUP).unwrap();
    assert_eq!(other.bounds().await.unwrap().last, LogId::new(5, 1));
    let state = store.stable_store(GROUP).load().await.unwrap();
    assert_eq!(state, StableState::Saved(vote(0)));
    let state = store.stable_store(OTHER_GROUP).load().await.unwrap();
    assert_eq!(state, StableState::Saved(vote(70_000)));
}
