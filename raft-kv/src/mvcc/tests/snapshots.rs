//! Snapshots as moments, and restores that are whole or nothing.

use std::collections::VecDeque;

use super::*;
use bytes::Bytes;
use raft_core::{LogIndex, SnapshotMeta, SnapshotReader, StorageError, async_trait};

/// A stream of chunks that may break.
struct Chunks {
    chunks: VecDeque<Bytes>,
    breaks: bool,
}

#[async_trait]
impl SnapshotReader for Chunks {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        match self.chunks.pop_front() {
            None if self.breaks => Err(StorageError::io("reading", "connection lost")),
            chunk => Ok(chunk),
        }
    }
}

fn stream(bytes: &[u8], chunk_bytes: usize) -> Box<Chunks> {
    Box::new(Chunks {
        chunks: bytes
            .chunks(chunk_bytes)
            .map(Bytes::copy_from_slice)
            .collect(),
        breaks: false,
    })
}

async fn read_to_end(reader: &mut dyn SnapshotReader) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(chunk) = reader.next_chunk().await.unwrap() {
        assert!(chunk.len() <= 1 << 20);
        bytes.extend_from_slice(&chunk);
    }
    bytes
}

/// A replica with a history, and the bytes of its snapshot.
async fn source() -> (Replica, SnapshotMeta, Vec<u8>) {
    let mut replica = Replica::new();
    replica
        .machine
        .apply(membership_entry(1, Membership::of_ids([1, 2])))
        .await
        .unwrap();
    replica.put("a", "1").await;
    replica.put("a", "2").await;
    replica.delete("a").await;
    replica.put("b", "3").await;
    let mut snapshot = replica.machine.snapshot().await.unwrap();
    let bytes = read_to_end(snapshot.reader.as_mut()).await;
    (replica, snapshot.meta, bytes)
}

/// A replica with another history, which a failed restore must not touch.
async fn bystander() -> Replica {
    let mut replica = Replica::new();
    replica.put("mine", "1").await;
    replica
}

fn states(replica: &Replica) -> Vec<String> {
    let entries = std::fs::read_dir(replica.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut states: Vec<_> = names.filter(|name| name.starts_with("state-")).collect();
    states.sort();
    states
}

#[tokio::test]
async fn a_snapshot_holds_its_moment_whatever_is_applied_while_it_is_read() {
    let mut replica = Replica::new();
    let big = "x".repeat(100_000);
    for n in 0..40 {
        replica.put(&format!("k{n}"), &big).await;
    }
    let hash = replica.store.hash().unwrap();

    let mut snapshot = replica.machine.snapshot().await.unwrap();
    let mut bytes = Vec::new();
    while let Some(chunk) = snapshot.reader.next_chunk().await.unwrap() {
        bytes.extend_from_slice(&chunk);
        replica.put("later", "1").await;
        replica.delete("k0").await;
    }

    assert!(bytes.len() > 40 * big.len());
    assert_ne!(replica.store.hash().unwrap(), hash);
    let mut other = Replica::new();
    other
        .machine
        .restore(snapshot.meta, stream(&bytes, 1 << 20))
        .await
        .unwrap();
    assert_eq!(other.store.hash().unwrap(), hash);
    assert_eq!(other.store.last_applied(), LogId::new(1, 40));
}

#[tokio::test]
async fn a_restore_replaces_everything_and_handles_made_before_see_it() {
    let (replica, meta, bytes) = source().await;
    let mut other = bystander().await;
    let old_handle = other.store.clone();

    other
        .machine
        .restore(meta.clone(), stream(&bytes, 100))
        .await
        .unwrap();

    assert_eq!(old_handle.hash().unwrap(), replica.store.hash().unwrap());
    assert_eq!(old_handle.last_applied(), meta.last_included);
    assert_eq!(old_handle.membership(), Some(meta.membership));
    assert_eq!(old_handle.revision().unwrap(), 5);
    assert_eq!(other.get("mine"), None);
    let history = other.range(&Range {
        revision: 3,
        ..range("a", "")
    });
    assert_eq!(history.kvs[0].value, b"2");
    assert_eq!(other.machine.durable_applied(), LogIndex::new(5));
    assert_eq!(states(&other), ["state-2"]);
    assert_eq!(other.put("a", "again").await, 6);
}

#[tokio::test]
async fn a_restored_state_is_there_after_a_restart() {
    let (replica, meta, bytes) = source().await;
    let mut other = bystander().await;
    other
        .machine
        .restore(meta, stream(&bytes, 1 << 20))
        .await
        .unwrap();
    let Replica {
        store,
        machine,
        directory,
    } = other;
    drop((store, machine));

    let reopened = Replica::open(directory);

    assert_eq!(
        reopened.store.hash().unwrap(),
        replica.store.hash().unwrap()
    );
}

#[tokio::test]
async fn chunk_boundaries_mean_nothing() {
    let (replica, meta, bytes) = source().await;

    for chunk_bytes in [1, 3, 7, bytes.len()] {
        let mut other = Replica::new();
        other
            .machine
            .restore(meta.clone(), stream(&bytes, chunk_bytes))
            .await
            .unwrap();
        assert_eq!(other.store.hash().unwrap(), replica.store.hash().unwrap());
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_broken_damaged_or_too_long_leaves_the_old_state() {
    let (_, meta, bytes) = source().await;
    let mut other = bystander().await;
    let hash = other.store.hash().unwrap();
    let broken = Chunks {
        chunks: [Bytes::copy_from_slice(&bytes[..50])].into(),
        breaks: true,
    };
    let mut streams = vec![
        stream(&[], 1),
        stream(&[bytes.as_slice(), b"x"].concat(), 64),
        Box::new(broken),
    ];
    streams.extend(
        (1..bytes.len())
            .step_by(29)
            .map(|len| stream(&bytes[..len], 64)),
    );
    streams.extend((0..bytes.len()).step_by(31).map(|at| {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        stream(&damaged, 64)
    }));

    for bad in streams {
        assert!(other.machine.restore(meta.clone(), bad).await.is_err());
    }

    assert_eq!(other.store.hash().unwrap(), hash);
    assert_eq!(states(&other), ["state-1"]);
    assert_eq!(other.put("mine", "2").await, 3);
}

#[tokio::test]
async fn a_stream_of_another_moment_than_announced_is_refused() {
    let (_, meta, bytes) = source().await;
    let mut other = bystander().await;
    let wrong = SnapshotMeta {
        last_included: LogId::new(1, 9),
        ..meta
    };

    let refused = other.machine.restore(wrong, stream(&bytes, 64)).await;

    assert!(
        matches!(refused, Err(StorageError::Corrupt { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_restore_that_a_crash_interrupted_is_cleaned_up_at_the_next_open() {
    let replica = bystander().await;
    replica.machine.flush().await.unwrap();
    let Replica {
        store,
        machine,
        directory,
    } = replica;
    drop((store, machine));
    std::fs::create_dir(directory.path().join("state-2")).unwrap();

    let reopened = Replica::open(directory);

    assert_eq!(states(&reopened), ["state-1"]);
    assert!(reopened.get("mine").is_some());
}

#[tokio::test]
async fn a_snapshot_that_nobody_reads_holds_nothing_up() {
    let mut replica = bystander().await;

    for _ in 0..3 {
        drop(replica.machine.snapshot().await.unwrap());
    }

    assert_eq!(replica.put("mine", "2").await, 3);
}
