//! What a way from one node to another is, and where both nodes run.

use std::sync::Arc;

use raft_core::{Envelope, async_trait};
use tokio::runtime::{Builder, Runtime};

use crate::snapshot::Source;

/// How large datagrams get, for the ways that have them.
#[derive(Clone, Copy)]
pub(crate) enum Path {
    /// As large as ours get where the path carries them, as loopback does.
    Wide,
    /// What Ethernet carries.
    Ethernet,
}

impl Path {
    pub(crate) const fn largest_datagram(self) -> u16 {
        match self {
            Self::Wide => 6500,
            Self::Ethernet => 1452,
        }
    }
}

/// Each node has a thread of its own.
pub(crate) struct Place {
    pub(crate) asking: Runtime,
    pub(crate) answering: Runtime,
}

impl Place {
    /// Two nodes, each with so many threads.
    pub(crate) fn new(threads: usize) -> Self {
        let node = |name: &str| {
            Builder::new_multi_thread()
                .worker_threads(threads)
                .thread_name(name)
                .enable_all()
                .build()
                .expect("a runtime can be built")
        };
        Self {
            asking: node("asking"),
            answering: node("answering"),
        }
    }

    /// Runs on the thread of the node that asks.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let running = self.asking.spawn(task);
        self.asking.block_on(running).expect("it does not panic")
    }
}

/// One of the ways compared.
pub(crate) trait Way {
    fn name(&self) -> &'static str;
    /// Connects both nodes.
    fn open(&self, place: &Place) -> Lane;
}

/// Two nodes that are connected.
pub(crate) struct Lane {
    /// Taken for the time of a load.
    pub(crate) asker: Option<Box<dyn Asker>>,
    pub(crate) carrier: Arc<dyn Carrier>,
}

impl Lane {
    pub(crate) fn close(self, place: &Place) {
        let carrier = Arc::clone(&self.carrier);
        drop(self.asker);
        place.ask(async move { carrier.close().await });
    }
}

/// The node that asks; the other answers by [`crate::load::answer`].
#[async_trait]
pub(crate) trait Asker: Send {
    async fn send(&mut self, batch: Vec<Envelope>);
    async fn receive(&mut self) -> Vec<Envelope>;
}

/// What carries snapshots from the node that asks to the other one.
#[async_trait]
pub(crate) trait Carrier: Send + Sync {
    /// Returns when the other node has read all of it.
    async fn carry(&self, source: Source);
    async fn close(&self) {}
}
