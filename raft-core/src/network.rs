//! The contract of a transport, and where a transport hands in what arrives.
//!
//! # Duties
//!
//! 1. **Never blocks.** [`Network::send`] returns at once, whatever the peer does.
//!    What cannot be sent is dropped, oldest droppable first, and counted.
//! 2. **Bounded.** Memory per peer stays under a stated limit, however slow the peer.
//! 3. **Classes.** A message of a more urgent [`MessageClass`](crate::message::MessageClass)
//!    does not wait behind one of a less urgent class.
//! 4. **Whole or not at all.** A message arrives as it was sent, or not. Loss,
//!    delay, reordering and duplicates are allowed; alteration is not.
//! 5. **Authentic.** What the inbox gets from node N was sent by node N of this cluster.
//! 6. **Follows addresses.** After [`Network::set_peers`] a peer is reached at its new address.
//! 7. **Routes by group.** A message reaches the inbox registered for its group.
//! 8. **Resumes.** A snapshot's stream that breaks goes on where the receiver
//!    stands, as soon as there is a connection again and however often it breaks.
//!    A transport that cannot do that fails, and the snapshot is begun anew. In
//!    either case the inbox gets each chunk once and in order, and an error
//!    instead of an end that is not the end.
//! 9. **Lets go.** A half-read snapshot is nothing that a node waits for without
//!    end. Its reader gives an error when its sender gave up, when the sender
//!    began another for the same group, when nobody went on with it for a stated
//!    time, or when the transport stops. Nobody goes on with it but the replica
//!    that began it, in the same term and with the same snapshot.
//! 10. **Tells of progress.** While the receiver takes more of a snapshot, the
//!     sender's reader is read on, or told by [`SnapshotReader::progressed`]. A
//!     snapshot of which neither happens for
//!     [`Config::snapshot_timeout`](crate::Config::snapshot_timeout) is given up:
//!     the future of [`Network::send_snapshot`] is dropped, and with it the transfer.

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::StorageError;
use crate::membership::MemberInfo;
use crate::message::Envelope;
use crate::snapshot::{Snapshot, SnapshotMeta, SnapshotReader};
use crate::types::{GroupId, NodeId, ReplicaId, Term};

/// How replicas reach each other. See the module's numbered duties.
///
/// One `Network` serves all groups of a process.
#[async_trait]
pub trait Network: Send + Sync + 'static {
    /// Hands over a batch for one peer, without waiting for it.
    fn send(&self, to: NodeId, batch: Vec<Envelope>);

    /// Names the peers of `group` and where they are; replaces what was named before.
    fn set_peers(&self, group: GroupId, peers: Vec<(NodeId, MemberInfo)>);

    /// Registers where messages of `group` are delivered; replaces an earlier inbox.
    fn register(&self, group: GroupId, inbox: Arc<dyn Inbox>);

    /// Streams a snapshot to a peer; returns when the peer has installed it.
    /// Dropping the future gives it up.
    ///
    /// # Errors
    ///
    /// When the peer cannot be reached, refuses, or the stream breaks for good.
    async fn send_snapshot(
        &self,
        header: SnapshotHeader,
        snapshot: Snapshot,
    ) -> Result<(), NetworkError>;
}

/// Where a transport hands in what arrived for one group.
#[async_trait]
pub trait Inbox: Send + Sync + 'static {
    /// Takes messages; returns at once. An inbox that is full drops and counts.
    fn deliver(&self, batch: Vec<Envelope>);

    /// Takes a snapshot that a leader streams to us; returns when it is installed.
    /// It may be refused before `reader` has given all, or any, of it.
    ///
    /// # Errors
    ///
    /// When it is stale, not wanted or cannot be installed.
    async fn deliver_snapshot(
        &self,
        header: SnapshotHeader,
        meta: SnapshotMeta,
        reader: Box<dyn SnapshotReader>,
    ) -> Result<(), NetworkError>;
}

/// What goes before a streamed snapshot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SnapshotHeader {
    /// The group.
    pub group: GroupId,
    /// The leader that sends it.
    pub from: ReplicaId,
    /// Whom it is for.
    pub to: ReplicaId,
    /// The leader's term.
    pub term: Term,
}

/// Why a snapshot did not get across.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The peer is not known or cannot be reached.
    #[error("cannot reach {peer}: {reason}")]
    Unreachable {
        /// The peer.
        peer: NodeId,
        /// Why.
        reason: String,
    },
    /// The receiver does not want it.
    #[error("the snapshot was refused: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// Reading or installing it failed.
    #[error("the snapshot could not be read or installed")]
    Storage(#[from] StorageError),
}
