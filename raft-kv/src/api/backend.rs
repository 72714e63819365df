//! What all services share: how a request reaches the log or the store.
//!
//! A write goes through the log, from whichever member took it. Raft refuses
//! without effect while there is no leader; such a refusal is tried again until
//! the request's deadline, so that clients do not notice most elections. An
//! outcome that is *unknown* is never tried again: the write could happen twice.
//!
//! A linearizable read asks Raft from which index on the local store is fresh
//! enough, and then reads there.

use std::time::Duration;

use bytes::Bytes;
use raft_core::node::{Node, NodeStatus};
use raft_core::{Consistency, NodeId, ProposeError, ReadError, Term};
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::metadata::MetadataMap;

use super::deadline::Deadline;
use super::error::ApiError;
use crate::command::{Command, Outcome, Response};
use crate::member;
use crate::model::{Range, RangeResult, Txn, TxnResult};
use crate::mvcc::MvccStore;
use crate::proto::etcdserverpb::ResponseHeader;

/// Between two tries while the members do not agree yet on who leads.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// What requests are held to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a request may take.
    pub deadline: Duration,
    /// Largest write.
    pub max_request_bytes: usize,
    /// Most operations in one transaction.
    pub max_txn_ops: usize,
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Freshness {
    /// It sees every write acknowledged before it began.
    Linearizable,
    /// It sees what this member has.
    Serializable,
}

impl Freshness {
    /// As requests say it.
    pub(super) const fn of(serializable: bool) -> Self {
        if serializable {
            Self::Serializable
        } else {
            Self::Linearizable
        }
    }
}

/// One member's node and store, as the services use them. A cheap clone.
#[derive(Clone)]
pub struct Backend {
    cluster_id: u64,
    member: NodeId,
    node: Node,
    store: MvccStore,
    limits: Limits,
}

impl Backend {
    /// Of the member `member` of cluster `cluster_id`.
    pub fn new(
        cluster_id: u64,
        member: NodeId,
        node: Node,
        store: MvccStore,
        limits: Limits,
    ) -> Self {
        Self {
            cluster_id,
            member,
            node,
            store,
            limits,
        }
    }

    /// What requests are held to.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Where the node stands.
    pub fn status(&self) -> NodeStatus {
        self.node.status()
    }

    /// The member's Raft node.
    pub(super) const fn node(&self) -> &Node {
        &self.node
    }

    /// The member's store.
    pub(super) fn store(&self) -> &MvccStore {
        &self.store
    }

    /// The header of an answer at `revision`.
    pub(super) fn header(&self, revision: i64) -> ResponseHeader {
        ResponseHeader {
            cluster_id: self.cluster_id,
            member_id: self.member.get(),
            revision,
            raft_term: self.status().raft.term().get(),
        }
    }

    /// Takes a request in: when it must be answered, and whether it may be at all.
    ///
    /// # Errors
    ///
    /// No leader, when the client wants to know at once.
    pub(super) fn admit(&self, metadata: &MetadataMap) -> Result<Deadline, ApiError> {
        let wants_leader = metadata.get("hasleader").is_some_and(|v| v == "true");
        if wants_leader && self.status().raft.leader.is_none() {
            return Err(ApiError::NoLeader);
        }
        Ok(Deadline::of_request(metadata, self.limits.deadline))
    }

    /// Puts a command through the log; its outcome once it is committed and applied.
    pub(super) async fn write(
        &self,
        command: Command,
        deadline: Deadline,
    ) -> Result<Outcome, ApiError> {
        let encoded = Bytes::from(command.encode());
        if encoded.len() > self.limits.max_request_bytes {
            return Err(ApiError::TooLarge);
        }
        let answer = self.propose(encoded, deadline).await?;
        match Response::decode(&answer).map_err(|error| ApiError::Answer(error.to_string()))? {
            Response::Ok(outcome) => Ok(outcome),
            Response::Refused { error, .. } => Err(error.into()),
        }
    }

    async fn propose(&self, command: Bytes, deadline: Deadline) -> Result<Bytes, ApiError> {
        let began_in = self.status().raft.term();
        loop {
            let proposal = self.node.propose(command.clone());
            let error = match timeout_at(deadline.at(), proposal).await {
                Ok(Ok(committed)) => return Ok(committed.response),
                Ok(Err(error)) => error,
                Err(_) => return Err(self.unanswered(began_in)),
            };
            match error {
                ProposeError::NoLeader
                | ProposeError::NotLeader { .. }
                | ProposeError::Superseded { .. } => self.await_leader(deadline).await?,
                // The others do not take what a removed member forwards.
                ProposeError::Overloaded { .. } if self.is_removed() => {
                    return Err(ApiError::Stopped);
                }
                other => return Err(other.into()),
            }
        }
    }

    /// Returns once this member's store holds every write acknowledged before the call.
    pub async fn linearize(&self, deadline: Deadline) -> Result<(), ApiError> {
        loop {
            match timeout_at(deadline.at(), self.node.read(Consistency::Linearizable)).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(ReadError::NoLeader | ReadError::Unconfirmed)) => {
                    self.await_leader(deadline).await?;
                }
                Ok(Err(other)) => return Err(other.into()),
                Err(_) => return Err(self.unread()),
            }
        }
    }

    /// Reads keys.
    pub(super) async fn range(
        &self,
        range: Range,
        freshness: Freshness,
        deadline: Deadline,
    ) -> Result<(RangeResult, i64), ApiError> {
        if freshness == Freshness::Linearizable {
            self.linearize(deadline).await?;
        }
        // One key is a look-up; more can take long, and must not hold up other requests.
        if range.keys.range_end.is_empty() {
            self.store.range(&range).map_err(ApiError::from)
        } else {
            self.blocking(move |store| store.range(&range)).await
        }
    }

    /// Answers a transaction that only reads.
    pub(super) async fn read_txn(
        &self,
        txn: Txn,
        freshness: Freshness,
        deadline: Deadline,
    ) -> Result<(TxnResult, i64), ApiError> {
        if freshness == Freshness::Linearizable {
            self.linearize(deadline).await?;
        }
        self.blocking(move |store| store.txn_read_only(&txn)).await
    }

    /// The store's revision by now.
    pub(super) async fn revision(&self) -> Result<i64, ApiError> {
        self.blocking(MvccStore::revision).await
    }

    async fn blocking<T, E>(
        &self,
        read: impl FnOnce(&MvccStore) -> Result<T, E> + Send + 'static,
    ) -> Result<T, ApiError>
    where
        T: Send + 'static,
        E: Into<ApiError> + Send + 'static,
    {
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || read(&store)).await {
            Ok(result) => result.map_err(Into::into),
            Err(panicked) => Err(ApiError::Storage(panicked.to_string())),
        }
    }

    /// Whether the cluster goes on without this member.
    fn is_removed(&self) -> bool {
        member::is_removed(&self.status().raft)
    }

    /// Waits until this member knows a leader; at least a moment, because who
    /// leads may be known here and not yet where the request went. A removed one
    /// refuses instead.
    async fn await_leader(&self, deadline: Deadline) -> Result<(), ApiError> {
        let pause = Instant::now() + RETRY_PAUSE;
        let mut status = self.node.watch();
        let known = async {
            sleep_until(pause).await;
            status
                .wait_for(|status| status.raft.leader.is_some() || member::is_removed(&status.raft))
                .await
                .is_ok()
        };
        match timeout_at(deadline.at(), known).await {
            Ok(true) if !self.is_removed() => Ok(()),
            Ok(_) => Err(ApiError::Stopped),
            Err(_) => Err(ApiError::NoLeader),
        }
    }

    /// A write whose answer did not come in time: its outcome is unknown.
    fn unanswered(&self, began_in: Term) -> ApiError {
        let raft = self.status().raft;
        let leader_failed = raft.leader.is_none() || raft.term() != began_in;
        if leader_failed {
            ApiError::LeaderFailed
        } else {
            ApiError::Timeout
        }
    }

    /// A read that could not be confirmed in time.
    fn unread(&self) -> ApiError {
        let has_leader = self.status().raft.leader.is_some();
        if has_leader {
            ApiError::Timeout
        } else {
            ApiError::NoLeader
        }
    }
}
