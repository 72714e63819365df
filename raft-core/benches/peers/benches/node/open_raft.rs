//! Three nodes of openraft in one process. Its configuration is the one of its
//! own benchmark, but for elections, and for compaction, which are as ours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::base::{BoxFuture, BoxStream};
use openraft::error::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, VoteRequest,
    VoteResponse,
};
use openraft::{
    AnyError, Config, OptionalSend, Raft, RaftNetworkFactory, RaftNetworkV2, SnapshotPolicy,
};

use crate::clients::Writer;
use crate::open_raft_store::{Command, MemoryLog, Nothing, TypeConfig};

type Node = Raft<TypeConfig, Nothing>;

/// Longer than any election takes.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

/// Nodes of openraft, and who leads them.
#[derive(Clone)]
pub(crate) struct OpenRaftNodes {
    nodes: Arc<[Node]>,
    leader: Node,
}

impl OpenRaftNodes {
    /// Nodes that have elected a leader, on the runtime that this runs on.
    pub(crate) async fn with_leader() -> Self {
        let config = Arc::new(config().validate().expect("a sound configuration"));
        let hub = Hub::default();
        let mut nodes = Vec::new();
        for id in 1..=3 {
            let log = MemoryLog::default();
            let node = Raft::new(
                id,
                Arc::clone(&config),
                hub.clone(),
                log,
                Nothing::default(),
            );
            let node = node.await.expect("a new node starts on empty stores");
            hub.insert(id, node.clone());
            nodes.push(node);
        }
        let leader = nodes[0].clone();
        let members = BTreeSet::from([1, 2, 3]);
        let initialized = leader.initialize(members).await;
        initialized.expect("the group is new");
        let elected = leader.wait(PATIENCE).current_leader(1, "elected").await;
        elected.expect("who initializes a group leads it");
        Self {
            nodes: nodes.into(),
            leader,
        }
    }

    /// Stops the nodes.
    pub(crate) async fn shutdown(self) {
        for node in self.nodes.iter() {
            node.shutdown().await.expect("no node has panicked");
        }
    }
}

impl Writer for OpenRaftNodes {
    async fn write(&self) -> Result<(), String> {
        let written = self.leader.client_write(Command).await;
        written.map(drop).map_err(|error| error.to_string())
    }
}

fn config() -> Config {
    Config {
        max_payload_entries: 1024,
        purge_batch_size: 1024,
        // A busy machine must not cause elections; ours get the same.
        election_timeout_min: 1000,
        election_timeout_max: 2000,
        // Ours by default.
        heartbeat_interval: 50,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(50_000),
        max_in_snapshot_log_to_keep: 20_000,
        replication_lag_threshold: 1_000_000,
        ..Config::default()
    }
}

/// Connects the nodes of one process.
#[derive(Clone, Default)]
struct Hub(Arc<Mutex<BTreeMap<u64, Node>>>);

impl Hub {
    fn insert(&self, id: u64, node: Node) {
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.insert(id, node);
    }
}

impl RaftNetworkFactory<TypeConfig> for Hub {
    type Network = Link;

    async fn new_client(&mut self, target: u64, _node: &()) -> Link {
        let nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Link {
            target: nodes[&target].clone(),
        }
    }
}

/// A way to one node: a call of its methods.
struct Link {
    target: Node,
}

fn unreachable(error: &(impl std::error::Error + 'static)) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::new(error))
}

impl RaftNetworkV2<TypeConfig> for Link {
    type SnapshotData = ();

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let answer = self.target.append_entries(request).await;
        answer.map_err(|error| unreachable(&error))
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let answer = self.target.vote(request).await;
        answer.map_err(|error| unreachable(&error))
    }

    async fn full_snapshot(
        &mut self,
        _vote: VoteOf<TypeConfig>,
        _snapshot: SnapshotOf<TypeConfig, ()>,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        // Nobody lags so far that it needs one.
        let error = AnyError::error("there is nothing to send");
        Err(StreamingError::Unreachable(Unreachable::new(&error)))
    }

    /// Without it, openraft would wait for each answer before it sends more.
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<AppendResults<'s>, RPCError<TypeConfig>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        let answers = self.target.stream_append(input);
        let answers = answers.map(|answer| answer.map_err(|error| unreachable(&error)));
        let answers: AppendResults<'s> = Box::pin(answers);
        Box::pin(async move { Ok(answers) })
    }
}

type AppendResults<'s> =
    BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>;
