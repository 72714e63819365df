//! What openraft's nodes store: a log in memory as cheap as ours, and no state.

use std::collections::VecDeque;
use std::fmt;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{Stream, TryStreamExt};
use openraft::alias::{EntryOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf, VoteOf};
use openraft::impls::leader_id_adv::LeaderId;
use openraft::storage::{EntryResponder, IOFlushed, RaftLogStorage, RaftStateMachine};
use openraft::vote::RaftLeaderId;
use openraft::{
    AnyError, EntryPayload, LogState, OptionalSend, RaftLogReader, RaftSnapshotBuilder,
    RaftTypeConfig, StoredMembership, impls,
};

/// The types of a group whose commands and answers hold nothing; but for those
/// and for the cheaper responder, the defaults.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct TypeConfig;

impl RaftTypeConfig for TypeConfig {
    type D = Command;
    type R = Answer;
    type NodeId = u64;
    type Node = ();
    type Term = u64;
    type LeaderId = LeaderId<u64, u64>;
    type Vote = impls::Vote<Self::LeaderId>;
    type Payload = EntryPayload<Command, u64, ()>;
    type Entry = impls::Entry<<Self::LeaderId as RaftLeaderId>::Committed, Self::Payload>;
    type AsyncRuntime = impls::TokioRuntime;
    type Responder<T>
        = impls::OneshotResponder<Self, T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = impls::InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = AnyError;
}

/// A command without content.
#[derive(Clone, Debug)]
pub(crate) struct Command;

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a command")
    }
}

/// An answer without content.
#[derive(Clone, Debug)]
pub(crate) struct Answer;

/// A log and a vote in memory. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct MemoryLog(Arc<Mutex<Content>>);

#[derive(Default)]
struct Content {
    vote: Option<VoteOf<TypeConfig>>,
    purged: Option<LogIdOf<TypeConfig>>,
    /// Without gaps, from the entry after the purged one on.
    entries: VecDeque<EntryOf<TypeConfig>>,
}

impl Content {
    /// The index of the first entry, there or to come.
    fn first(&self) -> u64 {
        self.purged.map_or(0, |purged| purged.index() + 1)
    }

    /// Where `index` is among the entries, or their end.
    fn place_of(&self, index: u64) -> usize {
        let offset = index.saturating_sub(self.first());
        usize::try_from(offset).map_or(self.entries.len(), |at| at.min(self.entries.len()))
    }
}

impl MemoryLog {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RaftLogReader<TypeConfig> for MemoryLog {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<EntryOf<TypeConfig>>, io::Error> {
        let content = self.lock();
        let start = match range.start_bound() {
            Bound::Included(&index) => content.place_of(index),
            Bound::Excluded(&index) => content.place_of(index.saturating_add(1)),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&index) => content.place_of(index.saturating_add(1)),
            Bound::Excluded(&index) => content.place_of(index),
            Bound::Unbounded => content.entries.len(),
        };
        Ok(content
            .entries
            .range(start..end.max(start))
            .cloned()
            .collect())
    }

    async fn read_vote(&mut self) -> Result<Option<VoteOf<TypeConfig>>, io::Error> {
        Ok(self.lock().vote)
    }
}

impl RaftLogStorage<TypeConfig> for MemoryLog {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let content = self.lock();
        let last = content.entries.back().map(|entry| entry.log_id);
        Ok(LogState {
            last_purged_log_id: content.purged,
            last_log_id: last.or(content.purged),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<TypeConfig>) -> Result<(), io::Error> {
        self.lock().vote = Some(*vote);
        Ok(())
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: IOFlushed<TypeConfig>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = EntryOf<TypeConfig>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.lock().entries.extend(entries);
        callback.io_completed(Ok(()));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<TypeConfig>>) -> Result<(), io::Error> {
        let mut content = self.lock();
        let kept = last.map_or(0, |last| content.place_of(last.index() + 1));
        content.entries.truncate(kept);
        Ok(())
    }

    async fn purge(&mut self, up_to: LogIdOf<TypeConfig>) -> Result<(), io::Error> {
        let mut content = self.lock();
        let dropped = content.place_of(up_to.index() + 1);
        content.entries.drain(..dropped);
        content.purged = Some(up_to);
        Ok(())
    }
}

/// A state machine without state; only where it stands. Clones share that.
#[derive(Clone, Default)]
pub(crate) struct Nothing(Arc<Mutex<Position>>);

#[derive(Clone, Default)]
struct Position {
    applied: Option<LogIdOf<TypeConfig>>,
    membership: StoredMembershipOf<TypeConfig>,
}

impl Nothing {
    fn lock(&self) -> MutexGuard<'_, Position> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn picture(&self) -> SnapshotOf<TypeConfig, ()> {
        let position = self.lock().clone();
        SnapshotOf::<TypeConfig, ()> {
            meta: SnapshotMetaOf::<TypeConfig> {
                last_log_id: position.applied,
                last_membership: position.membership,
            },
            snapshot: (),
        }
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Nothing {
    type SnapshotData = ();

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<TypeConfig, ()>, io::Error> {
        Ok(self.picture())
    }
}

impl RaftStateMachine<TypeConfig> for Nothing {
    type SnapshotData = ();
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogIdOf<TypeConfig>>, StoredMembershipOf<TypeConfig>), io::Error> {
        let position = self.lock().clone();
        Ok((position.applied, position.membership))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut applied = None;
        while let Some((entry, responder)) = entries.try_next().await? {
            applied = Some(entry.log_id);
            if let EntryPayload::Membership(membership) = entry.payload {
                self.lock().membership = StoredMembership::new(applied, membership);
            }
            if let Some(responder) = responder {
                responder.send(Answer);
            }
        }
        if applied.is_some() {
            self.lock().applied = applied;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<TypeConfig>,
        _snapshot: (),
    ) -> Result<(), io::Error> {
        *self.lock() = Position {
            applied: meta.last_log_id,
            membership: meta.last_membership.clone(),
        };
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<TypeConfig, ()>>, io::Error> {
        let picture = self.picture();
        Ok(picture.meta.last_log_id.is_some().then_some(picture))
    }
}
