//! What operators and leaders ask of the loop, beside proposals and reads:
//! membership changes, transfers, checkpoints, and snapshots in both directions.

use std::sync::Arc;

use super::apply::Job;
use super::driver::Driver;
use super::error::CheckpointError;
use super::inbound::MAX_REQUESTS;
use super::pending::Pending;
use super::requests::{ChangeReply, CheckpointReply, MembershipChanged, Request, TransferReply};
use super::snapshots::Offered;
use crate::error::{ChangeMembershipError, TransferError};
use crate::membership::Membership;
use crate::network::{NetworkError, SnapshotHeader};
use crate::protocol::{Input, Output, SnapshotOffer, SnapshotToken, Ticket};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::types::{LogId, LogIndex, NodeId};

/// Operators' requests that wait for their outcome.
#[derive(Debug)]
pub(super) struct Operator {
    changes: Pending<ChangeReply>,
    transfers: Pending<TransferReply>,
    /// Asked for, and not begun yet.
    checkpoints: Vec<CheckpointReply>,
    /// Wait for the one under way, which began after they asked.
    begun: Vec<CheckpointReply>,
}

impl Default for Operator {
    fn default() -> Self {
        Self {
            changes: Pending::new(),
            transfers: Pending::new(),
            checkpoints: Vec::new(),
            begun: Vec::new(),
        }
    }
}

impl Operator {
    pub(super) fn membership_changed(
        &mut self,
        ticket: Ticket,
        result: Result<(LogId, Arc<Membership>), ChangeMembershipError>,
    ) {
        if let Some(reply) = self.changes.take(ticket) {
            let result =
                result.map(|(log_id, membership)| MembershipChanged { log_id, membership });
            // Perhaps the caller gave up, which is its right; so below.
            let _ = reply.send(result);
        }
    }

    pub(super) fn transfer_ended(&mut self, ticket: Ticket, result: Result<NodeId, TransferError>) {
        if let Some(reply) = self.transfers.take(ticket) {
            let _ = reply.send(result);
        }
    }

    /// Keeps `reply` until a checkpoint that begins from now on is over; gives it
    /// back if too many wait for one.
    fn await_checkpoint(&mut self, reply: CheckpointReply) -> Option<Request> {
        if self.checkpoints.len() >= MAX_REQUESTS {
            return Some(Request::Checkpoint(reply));
        }
        self.checkpoints.push(reply);
        None
    }

    /// A checkpoint begins: it is for all who have asked so far.
    pub(super) fn checkpoint_begins(&mut self) {
        self.begun.append(&mut self.checkpoints);
    }

    /// The checkpoint under way ended.
    pub(super) fn checkpointed(&mut self, durable: LogIndex) {
        for reply in self.begun.drain(..) {
            let _ = reply.send(Ok(durable));
        }
    }

    /// The node stops: ends all that waits.
    pub(super) fn stop(&mut self) {
        for reply in self.changes.take_all() {
            let _ = reply.send(Err(ChangeMembershipError::Unknown));
        }
        for reply in self.transfers.take_all() {
            let _ = reply.send(Err(TransferError::Stopped));
        }
        for reply in self.checkpoints.drain(..).chain(self.begun.drain(..)) {
            let _ = reply.send(Err(CheckpointError::Stopped));
        }
    }
}

impl Driver {
    pub(super) fn handle_request(&mut self, now: Timestamp, request: Request) {
        let input = match request {
            Request::Change(change, reply) => {
                let ticket = self.operator.changes.insert(reply);
                Input::ChangeMembership { ticket, change }
            }
            Request::Transfer(to, reply) => {
                let ticket = self.operator.transfers.insert(reply);
                Input::TransferLeadership { ticket, to }
            }
            Request::Checkpoint(reply) => {
                if let Some(full) = self.operator.await_checkpoint(reply) {
                    return full.refuse_for_overload(MAX_REQUESTS);
                }
                Input::Checkpoint
            }
        };
        self.raft.handle(now, input);
    }

    /// A transport brings a snapshot.
    pub(super) fn handle_offer(&mut self, now: Timestamp, offered: Offered) {
        let (header, meta) = (offered.header, &offered.meta);
        let (last_included, membership) = (meta.last_included, Arc::new(meta.membership.clone()));
        let config = self.raft.config();
        let is_for_us = header.group == config.group && header.to == config.replica;
        let token = self.incoming.insert(offered);
        if !is_for_us {
            return self.refuse_snapshot(token, "it is addressed to another replica");
        }
        let offer = SnapshotOffer {
            token,
            from: header.from,
            term: header.term,
            last_included,
            membership,
        };
        self.raft.handle(now, Input::SnapshotOffered(offer));
    }

    fn refuse_snapshot(&mut self, token: SnapshotToken, reason: &str) {
        let reason = reason.to_owned();
        self.incoming
            .answer(token, Err(NetworkError::Refused { reason }));
    }

    /// Carries out what the protocol wants done with a snapshot.
    pub(super) fn hand_out_snapshot(&mut self, output: Output) {
        match output {
            Output::SendSnapshot(order) => {
                self.metrics.snapshots_sent.increment(1);
                self.outgoing.expect(order);
                self.helpers.apply(Job::Snapshot(order.token));
            }
            Output::StopSnapshot(token) => self.outgoing.stop(token),
            Output::InstallSnapshot(token) => {
                if let Some((meta, reader)) = self.incoming.take_reader(token) {
                    self.helpers.apply(Job::Restore(token, meta, reader));
                }
            }
            Output::StopInstall(token) => {
                self.incoming
                    .stop_reading(token, "another leader took over");
            }
            Output::SnapshotInstalled(token) => {
                self.metrics.snapshots_installed.increment(1);
                self.incoming.answer(token, Ok(()));
            }
            Output::RefuseSnapshot { token, reason } => self.refuse_snapshot(token, reason),
            _ => {}
        }
    }

    /// The state machine gave a snapshot: sends it, if it is still wanted.
    pub(super) fn send_snapshot(&mut self, token: SnapshotToken, mut snapshot: Snapshot) {
        let Some(order) = self.outgoing.take_order(token) else {
            return;
        };
        // The state machine knows the memberships it applied; who belonged to
        // the group before the first of them, only the protocol knows.
        let at = snapshot.meta.last_included.index;
        snapshot.meta.membership = self.raft.membership_at(at).as_ref().clone();
        let config = self.raft.config();
        let header = SnapshotHeader {
            group: config.group,
            from: config.replica,
            to: order.to,
            term: order.term,
        };
        self.outgoing
            .send(&self.network, header, token, snapshot, &self.mailbox);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn only_so_many_wait_for_a_checkpoint() {
        let mut operator = Operator::default();
        for _ in 0..MAX_REQUESTS {
            assert!(operator.await_checkpoint(oneshot::channel().0).is_none());
        }
        assert!(operator.await_checkpoint(oneshot::channel().0).is_some());

        operator.checkpoint_begins();

        assert!(operator.await_checkpoint(oneshot::channel().0).is_none());
    }
}
