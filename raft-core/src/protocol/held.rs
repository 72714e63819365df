//! Proposals that wait while leadership is being handed over.
//!
//! If the transfer fails, they are appended in the order in which they came, or refused
//! by a leader whose disk is full. If
//! it succeeds, this node's own go to the next leader. Those that others
//! forwarded are bound to the old term; their origins learn from the next
//! leader's log that they were superseded, which is a certain refusal.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::Raft;
use super::input::Ticket;
use super::role::Role;
use crate::config::DuringTransfer;
use crate::entry::size_of_command;
use crate::error::ProposeError;
use crate::message::{Message, ProposeRefused, Refusal};
use crate::time::Timestamp;
use crate::types::{ReplicaId, RequestId};

/// Proposals that wait, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(super) struct HeldProposals {
    queue: VecDeque<Held>,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Held {
    /// Who is told what becomes of it: this node itself, or who forwarded it.
    from: ReplicaId,
    request: RequestId,
    command: Bytes,
    deadline: Timestamp,
}

impl HeldProposals {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    fn take(&mut self) -> VecDeque<Held> {
        self.bytes = 0;
        std::mem::take(&mut self.queue)
    }
}

impl Raft {
    /// Keeps a proposal until the transfer has ended, or refuses it.
    pub(super) fn hold(
        &mut self,
        from: ReplicaId,
        request: RequestId,
        command: Bytes,
    ) -> Result<(), ProposeError> {
        if self.config.during_transfer == DuringTransfer::Refuse {
            let leader = self.transfer_target();
            if self.awaits_successor() {
                return Err(ProposeError::NoLeader);
            }
            return Err(ProposeError::NotLeader { leader });
        }
        let pending = self.proposals.len() + self.held.len();
        if pending >= self.config.max_pending_proposals {
            return Err(ProposeError::Overloaded { pending });
        }
        let deadline = self.now + self.config.request_timeout;
        self.held.bytes += size_of_command(command.len());
        self.held.queue.push_back(Held {
            from,
            request,
            command,
            deadline,
        });
        Ok(())
    }

    /// The hand-over is over: lets the proposals go where they belong.
    pub(super) fn release_held(&mut self) {
        if self.held.queue.is_empty() || self.hands_over() {
            return;
        }
        if self.has_left() {
            return self.refuse_held();
        }
        if self.leader().is_none() {
            return;
        }
        if self.leads_with_full_disk() {
            return self.refuse_held_for_space();
        }
        let leads = matches!(self.role, Role::Leader(_));
        let mut commands = Vec::new();
        for Held {
            request, command, ..
        } in self.held.take()
        {
            let is_own = request.boot == self.boot;
            if is_own {
                self.remember_proposal(Ticket(request.sequence));
            }
            if leads {
                self.append_command(request, command);
            } else if is_own {
                commands.push((request.sequence, command));
            }
        }
        self.forward(commands);
    }

    /// Nobody relieves this leader of its full disk.
    fn refuse_held_for_space(&mut self) {
        let mut forwarded: BTreeMap<(ReplicaId, u64), Vec<u64>> = BTreeMap::new();
        for Held { from, request, .. } in self.held.take() {
            if request.boot == self.boot {
                self.fail_proposal(Ticket(request.sequence), ProposeError::DiskFull);
            } else {
                let refused = forwarded.entry((from, request.boot)).or_default();
                refused.push(request.sequence);
            }
        }
        for ((from, boot), sequences) in forwarded {
            let body = ProposeRefused {
                boot,
                sequences,
                reason: Refusal::DiskFull,
            };
            self.send(from, Message::ProposeRefused(body));
        }
    }

    /// The group goes on without this node: nobody takes its proposals any more.
    fn refuse_held(&mut self) {
        for held in self.held.take() {
            if held.request.boot == self.boot {
                let error = ProposeError::NotLeader { leader: None };
                self.fail_proposal(Ticket(held.request.sequence), error);
            }
        }
    }

    /// Leadership ended: what others forwarded is bound to its term.
    pub(super) fn drop_held_of_others(&mut self) {
        let boot = self.boot;
        self.held.queue.retain(|held| held.request.boot == boot);
        self.held.bytes = self
            .held
            .queue
            .iter()
            .map(|h| size_of_command(h.command.len()))
            .sum();
    }

    /// Gives up on proposals that waited too long for a leader; they are in no log.
    pub(super) fn expire_held(&mut self) {
        while self
            .held
            .queue
            .front()
            .is_some_and(|held| held.deadline <= self.now)
        {
            let late = self.held.queue.pop_front().expect("front was just seen");
            self.held.bytes -= size_of_command(late.command.len());
            if late.request.boot == self.boot {
                self.fail_proposal(Ticket(late.request.sequence), ProposeError::NoLeader);
            }
        }
    }

    /// When `expire_held` has something to do.
    pub(super) fn held_deadline(&self) -> Option<Timestamp> {
        self.held.queue.front().map(|held| held.deadline)
    }
}
