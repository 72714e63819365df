//! What a node counts and measures.
//!
//! All carry the labels `node` and `group`. Handles are taken when the node
//! starts, so a recorder must be installed before.
//!
//! | name | kind | meaning |
//! |---|---|---|
//! | `raft_proposals_total` | counter | proposals handed to the protocol |
//! | `raft_proposal_seconds` | histogram | from proposing to commit and result |
//! | `raft_proposals_failed_total` | counter | proposals refused or of unknown outcome |
//! | `raft_reads_total` | counter | linearizable reads handed to the protocol |
//! | `raft_read_seconds` | histogram | from asking to the read index being applied |
//! | `raft_messages_received_total` | counter | messages handled |
//! | `raft_messages_sent_total` | counter | messages handed to the transport |
//! | `raft_messages_dropped_total` | counter | messages dropped because the inbox was full |
//! | `raft_persist_seconds` | histogram | one group commit: term and vote, and the log |
//! | `raft_persist_entries` | histogram | entries in one group commit |
//! | `raft_apply_seconds` | histogram | one batch in the state machine |
//! | `raft_apply_entries` | histogram | entries in one batch |
//! | `raft_elections_total` | counter | elections this node started |
//! | `raft_leader_changes_total` | counter | times a leader became known |
//! | `raft_term` | gauge | current term |
//! | `raft_is_leader` | gauge | 1 while leading |
//! | `raft_commit_index` | gauge | last entry known to be committed |
//! | `raft_applied_index` | gauge | last entry applied |
//! | `raft_failed` | gauge | 1 once the node has failed |

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::status::NodeStatus;
use crate::protocol::{Event, RoleKind};
use crate::types::{GroupId, NodeId};

macro_rules! metrics {
    ($($kind:ident $handle:ident $field:ident $name:literal;)*) => {
        /// One handle per metric of the module's table.
        pub(super) struct Metrics {
            $(pub(super) $field: $handle,)*
        }

        impl Metrics {
            pub(super) fn of(node: NodeId, group: GroupId) -> Self {
                let (node, group) = (node.get().to_string(), group.get().to_string());
                Self {
                    $($field: $kind!($name, "node" => node.clone(), "group" => group.clone()),)*
                }
            }
        }
    };
}

metrics! {
    counter Counter proposals "raft_proposals_total";
    histogram Histogram proposal_seconds "raft_proposal_seconds";
    counter Counter proposals_failed "raft_proposals_failed_total";
    counter Counter reads "raft_reads_total";
    histogram Histogram read_seconds "raft_read_seconds";
    counter Counter messages_received "raft_messages_received_total";
    counter Counter messages_sent "raft_messages_sent_total";
    counter Counter messages_dropped "raft_messages_dropped_total";
    histogram Histogram persist_seconds "raft_persist_seconds";
    histogram Histogram persist_entries "raft_persist_entries";
    histogram Histogram apply_seconds "raft_apply_seconds";
    histogram Histogram apply_entries "raft_apply_entries";
    counter Counter elections "raft_elections_total";
    counter Counter leader_changes "raft_leader_changes_total";
    gauge Gauge term "raft_term";
    gauge Gauge is_leader "raft_is_leader";
    gauge Gauge commit_index "raft_commit_index";
    gauge Gauge applied_index "raft_applied_index";
    gauge Gauge failed "raft_failed";
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Counts what the protocol reports.
    pub(super) fn count(&self, event: &Event) {
        match event {
            Event::ElectionStarted { .. } => self.elections.increment(1),
            Event::BecameLeader { .. } | Event::LeaderKnown { .. } => {
                self.leader_changes.increment(1);
            }
            _ => {}
        }
    }

    /// Shows where the node stands.
    pub(super) fn show(&self, status: &NodeStatus) {
        let raft = &status.raft;
        self.term.set(gauge_value(raft.term().get()));
        self.is_leader
            .set(f64::from(u8::from(raft.role == RoleKind::Leader)));
        self.commit_index.set(gauge_value(raft.commit_index.get()));
        self.applied_index.set(gauge_value(raft.last_applied.get()));
        self.failed
            .set(f64::from(u8::from(status.failure.is_some())));
    }
}

/// A number as gauges hold it; exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; beyond 2^53 the last digits do not matter"
)]
pub(super) const fn gauge_value(number: u64) -> f64 {
    number as f64
}
