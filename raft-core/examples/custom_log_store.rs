//! A log store of one's own around another one: it times every append.
//!
//! Whatever a backend adds (encryption, a cache, a metric), the numbered duties
//! of `LogStore` stay the inner store's, as long as it passes every call on and
//! adds nothing after the inner store said that a write is durable.
//!
//! ```text
//! cargo run -p raft-core --example custom_log_store
//! ```

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use raft_core::memory::{MemoryHub, MemoryLogStore, MemoryStableStore, MemoryStateMachine};
use raft_core::node::{Backends, Node, NodeConfig, random_seed};
use raft_core::{
    AppendBatch, Config, EntryMeta, LogBounds, LogId, LogIndex, LogStore, Membership, NodeId,
    ReplicaId, StorageError, StorageHealth, StoredEntry, async_trait,
};

/// Counts the appends of the store inside, their entries and their time.
struct TimedLogStore<S> {
    inner: S,
    appends: AtomicU64,
    entries: AtomicU64,
    micros: AtomicU64,
}

impl<S> TimedLogStore<S> {
    const fn around(inner: S) -> Self {
        Self {
            inner,
            appends: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            micros: AtomicU64::new(0),
        }
    }
}

#[async_trait]
impl<S: LogStore> LogStore for TimedLogStore<S> {
    async fn append(&self, batch: AppendBatch) -> Result<(), StorageError> {
        let begin = Instant::now();
        let entries = batch.entries.len() as u64;
        self.inner.append(batch).await?;
        let micros = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.appends.fetch_add(1, Ordering::Relaxed);
        self.entries.fetch_add(entries, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        Ok(())
    }

    async fn read(
        &self,
        first: LogIndex,
        last: LogIndex,
        max_bytes: usize,
    ) -> Result<Vec<StoredEntry>, StorageError> {
        self.inner.read(first, last, max_bytes).await
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
        self.inner.health()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let log = Arc::new(TimedLogStore::around(MemoryLogStore::new()));
    let raft = Config::new(ReplicaId::first(1), random_seed());
    let config = NodeConfig::new(raft, Membership::of_ids([1]));
    let backends = Backends {
        log: Arc::clone(&log) as Arc<dyn LogStore>,
        stable: Arc::new(MemoryStableStore::new()),
        network: Arc::new(MemoryHub::new().network(NodeId::new(1))),
        state_machine: Box::new(MemoryStateMachine::new()),
    };
    let node = Node::spawn(config, backends).await?;
    let mut status = node.watch();
    status
        .wait_for(|status| status.raft.leader.is_some())
        .await?;

    let proposals: Vec<_> = (0..1000_u32)
        .map(|number| {
            let node = node.clone();
            let command = Bytes::copy_from_slice(&number.to_be_bytes());
            tokio::spawn(async move { node.propose(command).await })
        })
        .collect();
    for proposal in proposals {
        proposal.await??;
    }
    node.shutdown().await;

    println!(
        "{} entries in {} appends, which took {} µs together",
        log.entries.load(Ordering::Relaxed),
        log.appends.load(Ordering::Relaxed),
        log.micros.load(Ordering::Relaxed),
    );
    Ok(())
}
