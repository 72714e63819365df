//! What a node waits for when it stops, and what it does not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use raft_core::memory::MemoryStateMachine;
use raft_core::node::Node;
use raft_core::{
    AppliedState, CheckpointTask, GroupId, LogId, LogIndex, LogSlice, Membership, Network, NodeId,
    ReplicaId, Snapshot, SnapshotHeader, SnapshotMeta, SnapshotReader, StateMachine, StorageError,
    Term, async_trait,
};

use crate::hosts::{Host, hosts, leader_of, wait_until};

/// A state machine whose checkpoints take long, or panic.
#[derive(Clone)]
struct SlowToCheckpoint {
    inner: MemoryStateMachine,
    panics: bool,
    takes: Duration,
    is_writing: Arc<AtomicBool>,
    has_written: Arc<AtomicBool>,
}

/// A write that is under way until this is dropped.
struct Writing(Arc<AtomicBool>);

impl Writing {
    fn begin(is_writing: &Arc<AtomicBool>) -> Self {
        is_writing.store(true, Ordering::Relaxed);
        Self(Arc::clone(is_writing))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[async_trait]
impl StateMachine for SlowToCheckpoint {
    async fn applied(&mut self) -> Result<AppliedState, StorageError> {
        self.inner.applied().await
    }

    async fn apply(&mut self, entries: LogSlice) -> Result<Vec<Bytes>, StorageError> {
        self.inner.apply(entries).await
    }

    fn durable_applied(&self) -> LogIndex {
        LogIndex::ZERO
    }

    async fn checkpoint(&mut self) -> Result<CheckpointTask, StorageError> {
        let (panics, takes) = (self.panics, self.takes);
        let is_writing = Arc::clone(&self.is_writing);
        let has_written = Arc::clone(&self.has_written);
        Ok(Box::pin(async move {
            assert!(!panics, "a fault in the checkpoint");
            let _writing = Writing::begin(&is_writing);
            tokio::time::sleep(takes).await;
            has_written.store(true, Ordering::Relaxed);
            Ok(LogIndex::new(1))
        }))
    }

    async fn snapshot(&mut self) -> Result<Snapshot, StorageError> {
        self.inner.snapshot().await
    }

    async fn restore(
        &mut self,
        meta: SnapshotMeta,
        reader: Box<dyn SnapshotReader>,
    ) -> Result<(), StorageError> {
        self.inner.restore(meta, reader).await
    }
}

async fn started_with(host: &Host, machine: &SlowToCheckpoint) -> Node {
    {
        let mut place = host
            .state_machine
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *place = Some(Box::new(machine.clone()));
    }
    let node = host.start().await;
    leader_of(std::slice::from_ref(&node)).await;
    node
}

fn machine(host: &Host, panics: bool) -> SlowToCheckpoint {
    SlowToCheckpoint {
        inner: host.state.clone(),
        panics,
        takes: Duration::from_secs(60),
        is_writing: Arc::default(),
        has_written: Arc::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_panics_fails_the_node() {
    let (_, hosts) = hosts(1);
    let node = started_with(&hosts[0], &machine(&hosts[0], true)).await;

    assert!(node.checkpoint().await.is_err());

    wait_until(&node, |status| status.failure.is_some()).await;
    let reason = node.status().failure.unwrap_or_default();
    assert!(reason.contains("a fault in the checkpoint"), "{reason}");
}

/// It is waited for, but not for ever.
#[tokio::test(start_paused = true)]
async fn a_node_that_was_shut_down_writes_no_checkpoint_any_more() {
    for (takes, is_done) in [(5, true), (60, false)] {
        let (_, hosts) = hosts(1);
        let mut machine = machine(&hosts[0], false);
        machine.takes = Duration::from_secs(takes);

        shut_down_while_writing(&hosts[0], &machine).await;

        assert!(!machine.is_writing.load(Ordering::Relaxed), "{takes} s");
        let has_written = machine.has_written.load(Ordering::Relaxed);
        assert_eq!(has_written, is_done, "{takes} s");
    }
}

async fn shut_down_while_writing(host: &Host, machine: &SlowToCheckpoint) {
    let node = started_with(host, machine).await;
    let asked = node.clone();
    let asking = tokio::spawn(async move { asked.checkpoint().await.is_err() });
    while !machine.is_writing.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    node.shutdown().await;

    assert!(asking.await.is_ok_and(|is_stopped| is_stopped));
}

/// A stream that never says anything.
pub(crate) struct Silent;

#[async_trait]
impl SnapshotReader for Silent {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_holds_up_neither_the_end_of_a_node_nor_the_next_snapshot() {
    let (hub, hosts) = hosts(3);
    let node = hosts[0].start().await;
    let header = SnapshotHeader {
        group: GroupId::new(0),
        from: ReplicaId::first(2),
        to: ReplicaId::first(1),
        term: Term::new(1),
    };
    let send = move || {
        let meta = SnapshotMeta {
            last_included: LogId::new(1, 50),
            membership: Membership::of_ids(1..=3),
        };
        let reader = Box::new(Silent);
        let snapshot = Snapshot { meta, reader };
        let network = hub.network(NodeId::new(2));
        tokio::spawn(async move { network.send_snapshot(header, snapshot).await.is_err() })
    };

    let first = send();
    wait_until(&node, |status| status.raft.is_installing).await;
    // Nothing comes for the idle timeout: it is given up.
    assert!(first.await.is_ok_and(|is_refused| is_refused));
    let second = send();
    wait_until(&node, |status| status.raft.is_installing).await;
    node.shutdown().await;

    assert!(second.await.is_ok_and(|is_refused| is_refused));
}
