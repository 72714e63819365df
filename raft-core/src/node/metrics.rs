//! The node's metrics, in one table.
//!
//! | name | kind | labels | meaning |
//! |---|---|---|---|
//! | `raft_term` | gauge | `group` | the current term |
//! | `raft_is_leader` | gauge | `group` | 1 while this node leads |
//! | `raft_commit_index` | gauge | `group` | last committed entry |
//! | `raft_applied_index` | gauge | `group` | last applied entry |
//! | `raft_elections_total` | counter | `group` | campaigns begun |
//! | `raft_leader_changes_total` | counter | `group` | times a leader became known |
//! | `raft_inbox_dropped_total` | counter | | messages dropped in front of the loop |
//! | `raft_messages_refused_total` | counter | `group` | messages that made no sense |

use crate::protocol::{Event, RoleKind, Status};
use crate::types::GroupId;

#[allow(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; 2^52 is far away"
)]
pub(super) fn publish(group: GroupId, status: &Status) {
    let group = group.get().to_string();
    metrics::gauge!("raft_term", "group" => group.clone()).set(status.term().get() as f64);
    let leads = f64::from(u8::from(status.role == RoleKind::Leader));
    metrics::gauge!("raft_is_leader", "group" => group.clone()).set(leads);
    metrics::gauge!("raft_commit_index", "group" => group.clone())
        .set(status.commit_index.get() as f64);
    metrics::gauge!("raft_applied_index", "group" => group).set(status.last_applied.get() as f64);
}

pub(super) fn count(group: GroupId, event: &Event) {
    let name = match event {
        Event::ElectionStarted { .. } => "raft_elections_total",
        Event::BecameLeader { .. } | Event::LeaderKnown { .. } => "raft_leader_changes_total",
        Event::MessageDropped { .. } => "raft_messages_refused_total",
        _ => return,
    };
    metrics::counter!(name, "group" => group.get().to_string()).increment(1);
}

pub(super) fn inbox_dropped(count: usize) {
    if count > 0 {
        metrics::counter!("raft_inbox_dropped_total").increment(count as u64);
    }
}
