//! Snapshots that come in: what is half-read stays here while its streams break.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use raft_core::{GroupId, Inbox, NetworkError};
use tokio::sync::{Mutex as AsyncMutex, watch};

use super::admission::{Admission, admit};
use super::describe;
use super::intake::{self, ChunkReader, Intake};
use crate::shared::Shared;
use crate::wire::{SnapshotBegin, SnapshotReply};

const MAX_REASON: usize = 512;
/// How long a snapshot waits for the end of the one whose place it takes.
const MAX_OVERLAP: Duration = Duration::from_secs(1);

/// The latest transfer of each group.
#[derive(Default)]
pub(crate) struct Transfers {
    by_group: Mutex<HashMap<GroupId, Arc<Transfer>>>,
}

/// One snapshot that comes in.
pub(super) struct Transfer {
    begin: SnapshotBegin,
    /// Held by the stream that feeds it.
    pub(super) intake: AsyncMutex<Intake>,
    state: watch::Sender<State>,
}

/// How a transfer stands.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// The latest stream; earlier ones let go.
    stream: u64,
    is_attached: bool,
    /// The first break after the last chunk.
    broken_since: Option<Instant>,
    /// All of it is here.
    is_whole: bool,
    /// Why no more of it will come.
    pub(super) given_up: Option<&'static str>,
    /// What became of it.
    reply: Option<SnapshotReply>,
}

impl Transfers {
    /// The transfer that a stream begins, or goes on with; or why it may not.
    pub(super) fn admit(
        &self,
        shared: &Arc<Shared>,
        begin: SnapshotBegin,
    ) -> Result<Arc<Transfer>, String> {
        let group = begin.header().group;
        let inbox = shared
            .inbox(group)
            .ok_or_else(|| format!("group {group} is not on this node"))?;
        let mut by_group = self.lock();
        let known = by_group.get(&group);
        let latest = known.map(|known| (&known.begin, known.is_over()));
        if admit(latest, &begin)? == Admission::GoesOn
            && let Some(known) = known
        {
            return Ok(Arc::clone(known));
        }
        let (transfer, reader) = Transfer::new(begin);
        let previous = by_group.insert(group, Arc::clone(&transfer));
        drop(by_group);
        if let Some(previous) = &previous {
            previous.give_up("another snapshot took its place");
        }
        let shared_too = Arc::clone(shared);
        let kept = Arc::clone(&transfer);
        shared.spawn(async move {
            keep(&shared_too, &kept, previous, inbox, reader).await;
        });
        Ok(transfer)
    }

    /// Nothing more comes in.
    pub(crate) fn give_up_all(&self, reason: &'static str) {
        for transfer in self.lock().drain().map(|(_, transfer)| transfer) {
            transfer.give_up(reason);
        }
    }

    fn forget(&self, transfer: &Arc<Transfer>) {
        let group = transfer.begin.header().group;
        let mut by_group = self.lock();
        if by_group
            .get(&group)
            .is_some_and(|latest| Arc::ptr_eq(latest, transfer))
        {
            by_group.remove(&group);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<GroupId, Arc<Transfer>>> {
        // Each change leaves the map whole, so a panic elsewhere spoils nothing.
        self.by_group.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands a snapshot to its inbox, however often its streams break, and keeps
/// the reply for a sender that lost it with its stream.
async fn keep(
    shared: &Shared,
    transfer: &Arc<Transfer>,
    previous: Option<Arc<Transfer>>,
    inbox: Arc<dyn Inbox>,
    reader: ChunkReader,
) {
    let patience = shared.config.snapshot_patience;
    if let Some(previous) = previous {
        // A state machine is restored from one snapshot at a time.
        let over = previous.reply();
        if tokio::time::timeout(MAX_OVERLAP, over).await.is_err() {
            tracing::debug!("a snapshot is still being read that nobody sends any more");
        }
    }
    let (header, meta) = (transfer.begin.header(), transfer.begin.meta.clone());
    let mut delivering = inbox.deliver_snapshot(header, meta, Box::new(reader));
    let delivered = tokio::select! {
        delivered = &mut delivering => delivered,
        () = transfer.deserted(patience) => {
            transfer.give_up("its sender went on with it no more");
            delivering.await
        }
    };
    transfer.finish(reply_of(delivered));
    tokio::time::sleep(patience).await;
    shared.transfers.forget(transfer);
}

fn reply_of(delivered: Result<(), NetworkError>) -> SnapshotReply {
    match delivered {
        Ok(()) => SnapshotReply::Installed,
        Err(NetworkError::Refused { reason }) => refusal(&reason),
        Err(other) => refusal(&describe(&other)),
    }
}

/// A refusal that fits into its frame.
pub(super) fn refusal(reason: &str) -> SnapshotReply {
    SnapshotReply::Refused(reason.chars().take(MAX_REASON).collect())
}

impl Transfer {
    fn new(begin: SnapshotBegin) -> (Arc<Self>, ChunkReader) {
        let state = watch::Sender::new(State::default());
        let (intake, reader) = intake::open(begin.header().from.node, state.subscribe());
        let transfer = Self {
            begin,
            intake: AsyncMutex::new(intake),
            state,
        };
        (Arc::new(transfer), reader)
    }

    fn is_over(&self) -> bool {
        let state = self.state.borrow();
        state.reply.is_some() || state.given_up.is_some()
    }

    /// Nobody waits for the rest any more.
    pub(super) fn give_up(&self, reason: &'static str) {
        self.state.send_modify(|state| {
            state.given_up.get_or_insert(reason);
        });
    }

    fn finish(&self, reply: SnapshotReply) {
        if let SnapshotReply::Refused(reason) = &reply {
            let from = self.begin.header().from;
            tracing::info!(%from, reason, "a snapshot was not installed");
        }
        self.state.send_modify(|state| state.reply = Some(reply));
    }

    /// A chunk arrived: the patience with its sender begins anew.
    pub(super) fn got_further(&self) {
        self.state.send_if_modified(|state| {
            state.broken_since = None;
            false
        });
    }

    /// All of it is here: its sender is not needed any more.
    pub(super) fn is_whole(&self) {
        self.state.send_modify(|state| state.is_whole = true);
    }

    /// What became of it, once that is known.
    pub(super) async fn reply(&self) -> SnapshotReply {
        let mut state = self.state.subscribe();
        match state.wait_for(|state| state.reply.is_some()).await {
            Ok(state) => state.reply.clone().expect("just seen"),
            Err(_) => unreachable!("the transfer holds its sender"),
        }
    }

    /// Returns when no stream has brought anything for so long after a break.
    async fn deserted(&self, patience: Duration) {
        let mut state = self.state.subscribe();
        loop {
            let since = {
                let state = state.borrow_and_update();
                let waits = !state.is_attached && !state.is_whole;
                state.broken_since.filter(|_| waits)
            };
            let left = since.map(|since| patience.saturating_sub(since.elapsed()));
            tokio::select! {
                _ = state.changed() => {}
                () = tokio::time::sleep(left.unwrap_or_default()), if left.is_some() => return,
            }
        }
    }

    /// Another stream feeds it from now on.
    pub(super) fn attach(self: Arc<Self>) -> Attached {
        let mut stream = 0;
        self.state.send_modify(|state| {
            state.stream += 1;
            state.is_attached = true;
            stream = state.stream;
        });
        Attached {
            transfer: self,
            stream,
        }
    }
}

/// A stream that feeds a transfer, until it is dropped.
pub(super) struct Attached {
    pub(super) transfer: Arc<Transfer>,
    stream: u64,
}

impl Attached {
    /// Returns when another stream took over.
    pub(super) async fn superseded(&self) {
        let mut state = self.transfer.state.subscribe();
        let changed = state.wait_for(|state| state.stream != self.stream).await;
        debug_assert!(changed.is_ok(), "the transfer holds its sender");
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.transfer.state.send_if_modified(|state| {
            let is_latest = state.stream == self.stream;
            if is_latest {
                state.is_attached = false;
                state.broken_since.get_or_insert_with(Instant::now);
            }
            is_latest
        });
    }
}
