//! What a node counts and measures.
//!
//! Names, units and meanings are in the book, in `docs/book/operations/metrics.md`;
//! a check of `cargo xtask tidy` keeps the two alike. All carry the labels `node`
//! and `group`. Handles are taken when the node starts, so a recorder must be
//! installed before.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::status::NodeStatus;
use crate::protocol::{Event, RoleKind, Status};
use crate::types::{GroupId, NodeId};

macro_rules! metrics {
    ($($kind:ident $handle:ident $field:ident $name:literal;)*) => {
        /// One handle per metric of the book's table.
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
    counter Counter snapshots_sent "raft_snapshots_sent_total";
    counter Counter snapshots_installed "raft_snapshots_installed_total";
    counter Counter membership_changes "raft_membership_changes_total";
    counter Counter transfers "raft_transfers_total";
    counter Counter transfers_aborted "raft_transfers_aborted_total";
    counter Counter damaged_entries "raft_damaged_entries_total";
    counter Counter mended_entries "raft_mended_entries_total";
    counter Counter elections "raft_elections_total";
    counter Counter leader_changes "raft_leader_changes_total";
    gauge Gauge term "raft_term";
    gauge Gauge is_leader "raft_is_leader";
    gauge Gauge commit_index "raft_commit_index";
    gauge Gauge applied_index "raft_applied_index";
    gauge Gauge last_index "raft_last_index";
    gauge Gauge durable_index "raft_durable_index";
    gauge Gauge durable_applied_index "raft_durable_applied_index";
    gauge Gauge purged_index "raft_purged_index";
    gauge Gauge pending_proposals "raft_pending_proposals";
    gauge Gauge pending_reads "raft_pending_reads";
    gauge Gauge voters "raft_voters";
    gauge Gauge learners "raft_learners";
    gauge Gauge slowest_follower_lag "raft_slowest_follower_lag";
    gauge Gauge disk_ill "raft_disk_ill";
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
            Event::MembershipInForce { .. } => self.membership_changes.increment(1),
            Event::TransferStarted { .. } => self.transfers.increment(1),
            Event::TransferAborted { .. } => self.transfers_aborted.increment(1),
            Event::EntryDamaged { .. } => self.damaged_entries.increment(1),
            Event::EntryMended { .. } => self.mended_entries.increment(1),
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
        self.last_index.set(gauge_value(raft.last_log.index.get()));
        self.durable_index
            .set(gauge_value(raft.durable_index.get()));
        self.durable_applied_index
            .set(gauge_value(status.durable_applied.get()));
        self.purged_index.set(gauge_value(raft.purged.index.get()));
        self.pending_proposals
            .set(gauge_value(raft.pending_proposals as u64));
        self.pending_reads
            .set(gauge_value(raft.pending_reads as u64));
        self.show_group(raft);
    }

    /// Shows who belongs to the group, and how far behind the slowest is.
    fn show_group(&self, raft: &Status) {
        let voters = raft.membership.voters().len() as u64;
        let learners = raft.membership.learners().count() as u64;
        self.voters.set(gauge_value(voters));
        self.learners.set(gauge_value(learners));
        let lag = raft
            .followers
            .iter()
            .map(|follower| raft.last_log.index.distance_from(follower.match_index));
        self.slowest_follower_lag
            .set(gauge_value(lag.max().unwrap_or(0)));
        self.disk_ill.set(f64::from(u8::from(raft.disk_is_ill)));
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
