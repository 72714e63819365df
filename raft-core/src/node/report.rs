//! What a node tells logs: changes of role, term, membership and snapshots, and
//! damage. The book lists it, in `docs/book/operations/metrics.md`.

use super::driver::Driver;
use crate::protocol::Event;
use crate::types::{LogIndex, Term};

impl Driver {
    /// Counts and tells what the protocol reports.
    pub(super) fn report(&self, event: &Event) {
        self.metrics.count(event);
        let config = self.raft.config();
        let (node, group) = (config.replica, config.group);
        match event {
            Event::BecameLeader { .. }
            | Event::SteppedDown { .. }
            | Event::LeaderKnown { .. }
            | Event::ElectionStarted { .. }
            | Event::MembershipInForce { .. }
            | Event::TransferStarted { .. }
            | Event::TransferAborted { .. }
            | Event::SnapshotSending { .. }
            | Event::SnapshotInstalling { .. }
            | Event::SnapshotInstalled { .. } => tracing::info!(%node, %group, "{event}"),
            Event::EntryDamaged { .. }
            | Event::EntryMended { .. }
            | Event::DamageIsCommitted { .. }
            | Event::DamageIsCut { .. }
            | Event::AwaitsReadmission { .. }
            | Event::LaterLifeHeard { .. }
            | Event::DiskHealth { .. } => tracing::warn!(%node, %group, "{event}"),
            _ => tracing::debug!(%node, %group, "{event}"),
        }
    }

    /// Tells of a new term; of the last one, if several passed in one turn. A
    /// follower may enter one without any other event.
    pub(super) fn report_term(&mut self, term: Term) {
        if term != self.reported_term {
            self.reported_term = term;
            let config = self.raft.config();
            let (node, group) = (config.replica, config.group);
            tracing::info!(%node, %group, "enters {term}");
        }
    }

    /// Tells that the state machine is durable up to `index`.
    pub(super) fn report_checkpoint(&self, index: LogIndex) {
        let config = self.raft.config();
        let (node, group) = (config.replica, config.group);
        tracing::info!(%node, %group, "has a checkpoint at {index}");
    }
}
