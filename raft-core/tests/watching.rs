//! What operators see of a group: events in the log, and metrics.
//!
//! One test, and so one thread, in a process of its own: whether an event is worth
//! telling is decided once for the whole process.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use raft_core::memory::{MemoryHub, MemoryLogStore, MemoryStableStore, MemoryStateMachine};
use raft_core::node::{Backends, Node, NodeConfig, NodeStatus, random_seed};
use raft_core::protocol::RoleKind;
use raft_core::{Config, Consistency, MemberInfo, Membership, MembershipChange, NodeId, ReplicaId};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};

/// The events of this thread that are worth an operator's attention.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Line>>>);

#[derive(Default)]
struct Line {
    message: String,
    node: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "node" => self.node = format!("{value:?}"),
            _ => {}
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.0.lock().expect("nobody panics with it").push(line);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Log {
    fn tells(&self, of: &str) -> bool {
        let lines = self.0.lock().expect("nobody panics with it");
        let told = |line: &Line| line.message.starts_with(of) && !line.node.is_empty();
        lines.iter().any(told)
    }
}

/// Counters by name and node; whatever else is registered is only named.
#[derive(Default)]
struct Counters(Mutex<BTreeMap<(String, String), Arc<AtomicU64>>>);

impl Counters {
    fn register(&self, key: &Key) -> Arc<AtomicU64> {
        let label = |name| {
            let mut labels = key.labels();
            labels
                .find(|label| label.key() == name)
                .map(|label| label.value().to_owned())
        };
        let name = key.name().to_owned();
        let node = label("node").unwrap_or_else(|| panic!("{name} does not say of which node"));
        assert!(
            label("group").is_some(),
            "{name} does not say of which group"
        );
        let mut counters = self.0.lock().expect("nobody panics with it");
        Arc::clone(counters.entry((name, node)).or_default())
    }

    fn sum(&self, name: &str) -> u64 {
        let counters = self.0.lock().expect("nobody panics with it");
        let of_name = counters.iter().filter(|((n, _), _)| n == name);
        of_name
            .map(|(_, value)| value.load(Ordering::Relaxed))
            .sum()
    }
}

/// Counts how often something was measured.
struct Measured(Arc<AtomicU64>);

impl HistogramFn for Measured {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.register(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.register(key);
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Measured(self.register(key))))
    }
}

/// A node that keeps next to nothing of its log, so that who joins needs a snapshot.
async fn start(hub: &MemoryHub, id: u64, membership: Membership) -> Node {
    let mut raft = Config::new(ReplicaId::first(id), random_seed());
    raft.checkpoint_entries = 10;
    raft.keep_entries = 4;
    raft.max_kept_entries = 4;
    let backends = Backends {
        log: Arc::new(MemoryLogStore::new()),
        stable: Arc::new(MemoryStableStore::new()),
        network: Arc::new(hub.network(NodeId::new(id))),
        state_machine: Box::new(MemoryStateMachine::new()),
    };
    let node = Node::spawn(NodeConfig::new(raft, membership), backends).await;
    node.expect("empty stores are sound")
}

async fn wait_until(node: &Node, condition: impl FnMut(&NodeStatus) -> bool) {
    let mut watch = node.watch();
    let met = tokio::time::timeout(Duration::from_secs(30), watch.wait_for(condition)).await;
    met.expect("within 30 s").expect("the node runs");
}

/// Writes, lets a node join by snapshot, reads, and moves leadership.
async fn eventful_life() {
    let hub = MemoryHub::new();
    let mut nodes = Vec::new();
    for id in 1..=3 {
        nodes.push(start(&hub, id, Membership::of_ids(1..=3)).await);
    }
    wait_until(&nodes[0], |status| status.raft.leader.is_some()).await;
    let leads = |node: &Node| node.status().raft.role == RoleKind::Leader;
    let leader = nodes.iter().find(|node| leads(node)).cloned();
    let leader = leader.expect("whoever is followed leads");
    for _ in 0..100 {
        leader.propose("x".into()).await.expect("the group writes");
    }
    wait_until(&leader, |status| status.raft.purged.index.get() > 50).await;

    let newcomer = start(&hub, 4, Membership::default()).await;
    let change = MembershipChange::new().add_learner(NodeId::new(4), MemberInfo::default());
    leader.change_membership(change).await.expect("it is added");
    wait_until(&newcomer, |status| status.raft.purged.index.get() > 50).await;
    let read = leader.read(Consistency::Linearizable).await;
    read.expect("the group reads");
    let moved = leader.transfer_leadership(None).await;
    moved.expect("somebody takes over");
}

#[tokio::test(start_paused = true)]
async fn what_a_group_does_is_told_counted_and_measured() {
    let (log, counters) = (Log::default(), Counters::default());
    let _telling = tracing::subscriber::set_default(log.clone());
    let _counting = metrics::set_default_local_recorder(&counters);

    eventful_life().await;

    for event in [
        "enters t",
        "campaigns in t",
        "leads t",
        "follows n",
        "steps down in t",
        "membership of",
        "hands leadership over to",
        "has a checkpoint at",
        "sends a snapshot to",
        "takes in a snapshot of",
        "installed the snapshot at",
    ] {
        assert!(log.tells(event), "nobody said `{event} …`");
    }
    assert_eq!(counters.sum("raft_proposals_total"), 100);
    assert_eq!(counters.sum("raft_proposal_seconds"), 100);
    assert_eq!(counters.sum("raft_read_seconds"), 1);
    assert_eq!(counters.sum("raft_transfers_total"), 1);
    assert_eq!(counters.sum("raft_snapshots_installed_total"), 1);
    for name in [
        "raft_elections_total",
        "raft_leader_changes_total",
        "raft_membership_changes_total",
        "raft_messages_sent_total",
        "raft_messages_received_total",
        "raft_persist_seconds",
        "raft_persist_entries",
        "raft_apply_seconds",
        "raft_apply_entries",
        "raft_snapshots_sent_total",
    ] {
        assert!(counters.sum(name) > 0, "{name} stays at zero");
    }
}
