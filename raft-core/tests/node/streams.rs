//! Snapshots that take long, stall, or lose their leader on their way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use raft_core::memory::MemoryStateMachine;
use raft_core::message::Heartbeat;
use raft_core::node::Node;
use raft_core::{
    AppliedState, CheckpointTask, Config, Envelope, GroupId, LogId, LogIndex, LogSlice, MemberInfo,
    Membership, MembershipChange, Message, Network, NodeId, ReplicaId, Snapshot, SnapshotHeader,
    SnapshotMeta, SnapshotReader, StateMachine, StorageError, Term, async_trait,
};
use tokio::time::Instant;

use crate::endings::Silent;
use crate::hosts::{Host, command, hosts, leader_of, wait_until};

/// A snapshot that gets no further is given up after this.
const LIMIT: Duration = Duration::from_secs(2);

fn short_logs(config: &mut Config) {
    config.checkpoint_entries = 10;
    config.keep_entries = 4;
    config.max_kept_entries = 4;
    config.snapshot_timeout = LIMIT;
}

/// A leader of one with 100 commands and next to no log; answers when node 2,
/// which joins, has all of them.
async fn node_2_catches_up(leader: &Host) -> Node {
    let node = leader.start().await;
    leader_of(std::slice::from_ref(&node)).await;
    for _ in 0..100 {
        node.propose(command("x")).await.expect("a leader commits");
    }
    wait_until(&node, |status| status.raft.purged.index.get() > 50).await;
    let joins = leader.newcomer(2);
    let newcomer = joins.start().await;
    let two = MembershipChange::new().add_learner(NodeId::new(2), MemberInfo::default());
    node.change_membership(two)
        .await
        .expect("a majority is there");

    let goal = node.status().raft.commit_index;
    wait_until(&newcomer, |status| status.raft.last_applied >= goal).await;
    assert_eq!(joins.state.commands().len(), 100);
    newcomer
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_may_take_longer_than_its_limit_on_silence() {
    let (_, mut hosts) = hosts(1);
    hosts[0].adjust = short_logs;
    // Each command is nine bytes of a snapshot.
    hosts[0].snapshot_rate = Some(90);

    let begun = Instant::now();
    node_2_catches_up(&hosts[0]).await;

    assert!(begun.elapsed() > 4 * LIMIT, "{:?}", begun.elapsed());
}

/// Its first snapshot says nothing.
#[derive(Clone)]
struct FirstIsSilent {
    inner: MemoryStateMachine,
    snapshots: Arc<AtomicUsize>,
}

#[async_trait]
impl StateMachine for FirstIsSilent {
    async fn applied(&mut self) -> Result<AppliedState, StorageError> {
        self.inner.applied().await
    }

    async fn apply(&mut self, entries: LogSlice) -> Result<Vec<Bytes>, StorageError> {
        self.inner.apply(entries).await
    }

    fn durable_applied(&self) -> LogIndex {
        self.inner.durable_applied()
    }

    async fn checkpoint(&mut self) -> Result<CheckpointTask, StorageError> {
        self.inner.checkpoint().await
    }

    async fn snapshot(&mut self) -> Result<Snapshot, StorageError> {
        let mut snapshot = self.inner.snapshot().await?;
        if self.snapshots.fetch_add(1, Ordering::Relaxed) == 0 {
            snapshot.reader = Box::new(Silent);
        }
        Ok(snapshot)
    }

    async fn restore(
        &mut self,
        meta: SnapshotMeta,
        reader: Box<dyn SnapshotReader>,
    ) -> Result<(), StorageError> {
        self.inner.restore(meta, reader).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_stalls_is_begun_anew_and_nobody_waits_for_the_old_one() {
    let (_, mut hosts) = hosts(1);
    hosts[0].adjust = short_logs;
    let machine = FirstIsSilent {
        inner: hosts[0].state.clone(),
        snapshots: Arc::default(),
    };
    *hosts[0].state_machine.lock().unwrap() = Some(Box::new(machine.clone()));

    let begun = Instant::now();
    node_2_catches_up(&hosts[0]).await;

    assert_eq!(machine.snapshots.load(Ordering::Relaxed), 2);
    // The receiver alone would wait for half a minute.
    assert!(begun.elapsed() < 3 * LIMIT, "{:?}", begun.elapsed());
}

/// What is left of it nobody sends: the replica goes on with the next leader at once.
#[tokio::test(start_paused = true)]
async fn a_half_read_snapshot_ends_when_the_next_leader_is_heard() {
    let (hub, hosts) = hosts(3);
    let node = hosts[0].start().await;
    let header = SnapshotHeader {
        group: GroupId::new(0),
        from: ReplicaId::first(2),
        to: ReplicaId::first(1),
        term: Term::new(1),
    };
    let meta = SnapshotMeta {
        last_included: LogId::new(1, 50),
        membership: Membership::of_ids(1..=3),
    };
    let reader = Box::new(Silent);
    let network = hub.network(NodeId::new(2));
    let sending = tokio::spawn(async move {
        network
            .send_snapshot(header, Snapshot { meta, reader })
            .await
    });
    wait_until(&node, |status| status.raft.is_installing).await;

    let begun = Instant::now();
    let heartbeat = Heartbeat {
        session: 1,
        round: 1,
        commit: LogIndex::ZERO,
    };
    let of_next_leader = Envelope {
        group: GroupId::new(0),
        from: ReplicaId::first(3),
        to: ReplicaId::first(1),
        term: Term::new(2),
        message: Message::Heartbeat(heartbeat),
    };
    hub.network(NodeId::new(3))
        .send(NodeId::new(1), vec![of_next_leader]);

    assert!(sending.await.unwrap().is_err());
    wait_until(&node, |status| !status.raft.is_installing).await;
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
}
