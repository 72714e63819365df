//! Backends that fail, stall, panic or lie, and what the node makes of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use raft_core::memory::{MemoryLogStore, MemoryStateMachine};
use raft_core::node::{Node, NodeError};
use raft_core::{
    AppendBatch, AppliedState, Consistency, EntryMeta, LogBounds, LogId, LogIndex, LogSlice,
    LogStore, ProposeError, ReadError, SavedVote, Snapshot, SnapshotMeta, SnapshotReader,
    StableState, StableStore, StateMachine, StorageError, StorageHealth, StoredEntry, async_trait,
};

use crate::hosts::{Host, command, hosts, leader_of, wait_until};

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Fault {
    #[default]
    None,
    /// Writes are refused by the disk.
    Fail,
    /// Writes never return.
    Stall,
    /// Writes wait for space.
    Full,
    /// Writes panic.
    Panic,
    /// Reads find damage at this index and after.
    Damage(u64),
}

/// A backend with a switch.
#[derive(Clone, Default)]
struct Faulty<B> {
    inner: B,
    fault: Arc<Mutex<Fault>>,
}

impl<B> Faulty<B> {
    fn set(&self, fault: Fault) {
        *self.fault.lock().expect("no holder of this lock panics") = fault;
    }

    fn fault(&self) -> Fault {
        *self.fault.lock().expect("no holder of this lock panics")
    }

    async fn before_write(&self) -> Result<(), StorageError> {
        match self.fault() {
            Fault::None | Fault::Damage(_) => Ok(()),
            Fault::Fail => Err(StorageError::io("writing", "the disk is gone")),
            Fault::Stall | Fault::Full => std::future::pending().await,
            Fault::Panic => panic!("a fault in the backend"),
        }
    }
}

#[async_trait]
impl LogStore for Faulty<MemoryLogStore> {
    async fn append(&self, batch: AppendBatch) -> Result<(), StorageError> {
        self.before_write().await?;
        self.inner.append(batch).await
    }

    async fn read(
        &self,
        first: LogIndex,
        last: LogIndex,
        max_bytes: usize,
    ) -> Result<Vec<StoredEntry>, StorageError> {
        let mut answers = self.inner.read(first, last, max_bytes).await?;
        if let Fault::Damage(from) = self.fault() {
            for answer in &mut answers {
                if let StoredEntry::Entry(entry) = answer
                    && entry.index().get() >= from
                {
                    *answer = StoredEntry::Corrupt {
                        index: entry.index(),
                        meta: None,
                        reason: "checksum mismatch".into(),
                    };
                }
            }
        }
        Ok(answers)
    }

    async fn metadata(
        &self,
        first: LogIndex,
        last: LogIndex,
    ) -> Result<Vec<EntryMeta>, StorageError> {
        self.inner.metadata(first, last).await
    }

    async fn bounds(&self) -> Result<LogBounds, StorageError> {
        self.inner.bounds().await
    }

    async fn purge(&self, up_to: LogId) -> Result<(), StorageError> {
        self.inner.purge(up_to).await
    }

    async fn reset(&self, snapshot: LogId) -> Result<(), StorageError> {
        self.inner.reset(snapshot).await
    }

    fn health(&self) -> StorageHealth {
        match self.fault() {
            Fault::Full => StorageHealth::Full,
            _ => StorageHealth::Healthy,
        }
    }
}

#[async_trait]
impl StateMachine for Faulty<MemoryStateMachine> {
    async fn applied(&mut self) -> Result<AppliedState, StorageError> {
        self.inner.applied().await
    }

    async fn apply(&mut self, entries: LogSlice) -> Result<Vec<Bytes>, StorageError> {
        self.before_write().await?;
        self.inner.apply(entries).await
    }

    fn durable_applied(&self) -> LogIndex {
        self.inner.durable_applied()
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

/// A vote store that knows it held a vote and cannot read it.
struct LostVote;

#[async_trait]
impl StableStore for LostVote {
    async fn load(&self) -> Result<StableState, StorageError> {
        Ok(StableState::Lost {
            incarnation: None,
            reason: "the file is gone".into(),
        })
    }

    async fn save(&self, _vote: SavedVote) -> Result<(), StorageError> {
        unreachable!("a node without its vote does not start")
    }
}

/// A group of one that leads, and the switch of its log.
async fn leader_with_faulty_log() -> (Host, Node, Faulty<MemoryLogStore>) {
    let (_, mut hosts) = hosts(1);
    let mut host = hosts.remove(0);
    let log = Faulty::default();
    host.log = Arc::new(log.clone());
    let node = host.start().await;
    leader_of(std::slice::from_ref(&node)).await;
    (host, node, log)
}

/// The same, and the switch of its state machine.
async fn leader_with_faulty_state_machine() -> (Node, Faulty<MemoryStateMachine>) {
    let (_, hosts) = hosts(1);
    let machine = Faulty {
        inner: hosts[0].state.clone(),
        fault: Arc::default(),
    };
    *hosts[0]
        .state_machine
        .lock()
        .expect("no holder of this lock panics") = Some(Box::new(machine.clone()));
    let node = hosts[0].start().await;
    leader_of(std::slice::from_ref(&node)).await;
    (node, machine)
}

fn is_unknown(outcome: &Result<impl Sized, ProposeError>) -> bool {
    matches!(outcome, Err(ProposeError::Unknown { .. }))
}

/// The node failed, says `what`, takes nothing more and does not claim to lead.
async fn assert_failed(node: &Node, what: &str) {
    wait_until(node, |status| !status.is_running).await;
    let status = node.status();
    let failure = status.failure.expect("the node says why it failed");
    assert!(failure.contains(what), "{failure}");
    assert_eq!(status.raft.leader, None);
    assert_eq!(
        node.propose(command("later")).await,
        Err(ProposeError::Stopped)
    );
    assert_eq!(
        node.read(Consistency::Linearizable).await,
        Err(ReadError::Stopped)
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_disk_fails_stops_and_says_why() {
    let (_, node, log) = leader_with_faulty_log().await;
    node.propose(command("written")).await.unwrap();

    log.set(Fault::Fail);
    let outcome = node.propose(command("not written")).await;

    assert!(is_unknown(&outcome), "{outcome:?}");
    assert_failed(&node, "the disk is gone").await;
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_log_store_panics_stops_and_says_why() {
    let (_, node, log) = leader_with_faulty_log().await;

    log.set(Fault::Panic);
    let outcome = node.propose(command("lost on the way")).await;

    assert!(is_unknown(&outcome), "{outcome:?}");
    assert_failed(&node, "the writer task panicked: a fault in the backend").await;
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_state_machine_panics_stops_and_says_why() {
    let (node, machine) = leader_with_faulty_state_machine().await;

    machine.set(Fault::Panic);
    let outcome = node.propose(command("committed")).await;

    assert!(is_unknown(&outcome), "{outcome:?}");
    assert_failed(&node, "the state machine task panicked").await;
}

#[tokio::test(start_paused = true)]
async fn requests_end_in_time_while_the_state_machine_hangs() {
    let (node, machine) = leader_with_faulty_state_machine().await;
    let timeout = node.config().request_timeout;
    let begin = tokio::time::Instant::now();

    machine.set(Fault::Stall);
    let (proposed, read) = tokio::join!(node.propose(command("stuck")), async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        node.read(Consistency::Linearizable).await
    });

    assert!(is_unknown(&proposed), "{proposed:?}");
    assert_eq!(read, Err(ReadError::Unconfirmed));
    assert!(begin.elapsed() < timeout + Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn proposals_that_wait_for_the_disk_end_as_unknown_when_the_node_stops() {
    let (_, node, log) = leader_with_faulty_log().await;
    log.set(Fault::Stall);
    let proposer = node.clone();
    let waiting = tokio::spawn(async move { proposer.propose(command("on its way")).await });
    wait_until(&node, |status| status.raft.pending_proposals == 1).await;

    // The disk never answers, so the shutdown itself does not end either.
    let stopper = node.clone();
    let shutdown = tokio::spawn(async move { stopper.shutdown().await });

    let outcome = waiting.await.unwrap();
    assert!(is_unknown(&outcome), "{outcome:?}");
    assert!(!shutdown.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_by_name_and_is_not_waited_for_when_the_node_stops() {
    let (_, node, log) = leader_with_faulty_log().await;
    log.set(Fault::Full);
    let proposer = node.clone();
    let waiting = tokio::spawn(async move { proposer.propose(command("on its way")).await });
    wait_until(&node, |status| status.raft.pending_proposals == 1).await;
    wait_until(&node, |status| status.storage == StorageHealth::Full).await;

    let refused = node.propose(command("too late")).await;
    assert!(
        matches!(refused, Err(ProposeError::DiskFull)),
        "{refused:?}"
    );
    node.shutdown().await;

    let outcome = waiting.await.unwrap();
    assert!(is_unknown(&outcome), "{outcome:?}");
}

/// As when the disk of the state machine alone is full: the log's disk is well.
#[tokio::test(start_paused = true)]
async fn a_state_machine_that_does_not_finish_is_given_up_when_the_node_stops() {
    let (node, machine) = leader_with_faulty_state_machine().await;
    machine.set(Fault::Stall);
    let proposer = node.clone();
    let waiting = tokio::spawn(async move { proposer.propose(command("committed")).await });
    wait_until(&node, |status| {
        status.raft.commit_index > status.raft.last_applied
    })
    .await;
    let begin = tokio::time::Instant::now();

    let stopped = tokio::time::timeout(Duration::from_secs(60), node.shutdown()).await;

    assert!(stopped.is_ok(), "it waits for ever");
    let patience = Duration::from_secs(10)..Duration::from_secs(11);
    assert!(patience.contains(&begin.elapsed()), "{:?}", begin.elapsed());
    let outcome = waiting.await.unwrap();
    assert!(is_unknown(&outcome), "{outcome:?}");
    assert!(!machine.inner.commands().contains(&command("committed")));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_shut_down_has_let_go_of_its_stores() {
    let (host, node, _) = leader_with_faulty_log().await;
    node.propose(command("a")).await.unwrap();
    assert!(Arc::strong_count(&host.log) > 1);

    node.shutdown().await;

    assert_eq!(Arc::strong_count(&host.log), 1);
    assert_eq!(Arc::strong_count(&host.stable), 1);
}

#[tokio::test(start_paused = true)]
async fn a_node_stops_when_its_last_handle_is_dropped() {
    let (host, node, _) = leader_with_faulty_log().await;
    let mut status = node.watch();

    drop(node);

    status.wait_for(|status| !status.is_running).await.unwrap();
    while status.changed().await.is_ok() {}
    assert_eq!(Arc::strong_count(&host.log), 1);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_lost_its_vote_does_not_start_as_who_it_was() {
    let (_, mut hosts) = hosts(1);
    hosts[0].stable = Arc::new(LostVote);

    let error = hosts[0].try_start().await.unwrap_err();

    assert!(matches!(error, NodeError::VoteLost { .. }), "{error}");
    assert!(
        error.to_string().contains("remove it from its group"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_damaged_entry_that_nobody_else_has_is_counted_and_never_applied() {
    let (mut host, node, log) = leader_with_faulty_log().await;
    for text in ["a", "b", "c"] {
        node.propose(command(text)).await.unwrap();
    }
    node.shutdown().await;

    // A new state machine has to be filled from the log, where index 3 is `b`.
    log.set(Fault::Damage(3));
    host.state = MemoryStateMachine::new();
    let node = host.start().await;

    wait_until(&node, |status| status.raft.damaged_entries == 2).await;
    // What follows the damage is no durable copy, so not even `a` commits anew.
    leader_of(std::slice::from_ref(&node)).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(node.status().raft.last_applied, LogIndex::ZERO);
    assert!(!host.state.commands().contains(&command("b")));
}

#[tokio::test(start_paused = true)]
async fn a_new_state_machine_is_filled_from_the_log() {
    let (mut host, node, _) = leader_with_faulty_log().await;
    for text in ["a", "b", "c"] {
        node.propose(command(text)).await.unwrap();
    }
    node.shutdown().await;

    host.state = MemoryStateMachine::new();
    let node = host.start().await;
    leader_of(std::slice::from_ref(&node)).await;
    node.read(Consistency::Linearizable).await.unwrap();

    assert_eq!(host.state.commands(), ["a", "b", "c"]);
}
