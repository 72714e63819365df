//! The operator of a run: changes members, moves leadership, asks for
//! checkpoints, and wipes nodes that are no members any more.

use super::checker::operations::{Outcome, Tags};
use super::checker::{Check, membership_safety};
use super::random::Random;
use super::recording::{What, words};
use super::report::Violation;
use super::world::{Event, Phase, World};
use crate::error::{ChangeMembershipError, TransferError};
use crate::membership::{MemberInfo, Membership};
use crate::membership_change::MembershipChange;
use crate::protocol::{Input, Ticket};
use crate::types::{LogId, NodeId};

/// What an operator does and when.
#[derive(Debug)]
pub(crate) struct Operator {
    random: Random,
    /// Mean time between two requests; zero for an idle operator.
    pace: u64,
    pub(crate) changes_members: bool,
    /// Addresses given so far, each to one step of one change.
    addresses: u64,
}

impl Operator {
    pub(crate) fn new(mut random: Random, has_others: bool) -> Self {
        let pace = match random.chance(7000) {
            true => random.between(50_000, 1_000_000),
            false => 0,
        };
        Self {
            pace,
            changes_members: has_others && random.chance(7500),
            random,
            addresses: 0,
        }
    }

    /// Changes members for sure, and often.
    pub(crate) fn hurries(&mut self) {
        self.pace = self.random.between(20_000, 200_000);
        self.changes_members = true;
    }

    /// How long it waits before its next request.
    pub(crate) fn pause(&mut self) -> u64 {
        match self.pace {
            0 => u64::MAX / 4,
            pace => self.random.around(pace),
        }
    }
}

impl World {
    /// The operator's turn.
    pub(crate) fn operate(&mut self) -> Check {
        if self.phase == Phase::Healed {
            return Ok(());
        }
        let pause = self.operator.pause();
        self.schedule(pause, Event::Operator);
        let place = self.operator.random.position(self.nodes.len());
        let Some(raft) = &self.nodes[place].raft else {
            return Ok(());
        };
        let membership = raft.status().membership;
        let term = raft.status().term();
        let ticket = self.nodes[place].next_ticket();
        let request = self.nodes[place].request(ticket);
        let input = match self.operator.random.position(10) {
            0 => return self.wipe_stranger(),
            1 | 2 => {
                let to = self.some_node();
                self.checkers.operations.transfer_began(request, term);
                Input::TransferLeadership { ticket, to }
            }
            3 => Input::Checkpoint,
            _ if self.operator.changes_members => {
                let (change, tags) = self.some_change(&membership);
                self.checkers.operations.change_began(request, tags);
                Input::ChangeMembership { ticket, change }
            }
            _ => {
                let Some(change) = self.next_readmission(&membership) else {
                    return Ok(());
                };
                self.checkers.operations.change_began(request, Tags::new());
                Input::ChangeMembership { ticket, change }
            }
        };
        let id = self.nodes[place].id();
        self.trace
            .line(self.now, || format!("{id} is asked {input:?}"));
        self.tell(place, What::Operator, || words::request(&input));
        self.handle(place, input)
    }

    fn some_node(&mut self) -> Option<NodeId> {
        let random = &mut self.operator.random;
        let place = random.position(self.nodes.len());
        random.chance(7000).then(|| self.nodes[place].id())
    }

    /// One to three steps about nodes drawn at random: what fits them, mostly.
    fn some_change(&mut self, membership: &Membership) -> (MembershipChange, Tags) {
        let mut tags = Tags::new();
        let random = &mut self.operator.random;
        let mut change = MembershipChange::new();
        for _ in 0..=random.position(3) {
            let node = &self.nodes[random.position(self.nodes.len())];
            let id = node.id();
            let is_named = change.steps().iter().any(|step| step.node() == id);
            if is_named && random.chance(9000) {
                continue;
            }
            self.operator.addresses += 1;
            let info = MemberInfo {
                incarnation: node.replica.incarnation,
                address: format!("{id}:{}", self.operator.addresses),
                ..MemberInfo::default()
            };
            let address = info.address.clone();
            let (is_member, votes) = (membership.replica(id).is_some(), membership.is_voter(id));
            change = match (is_member, votes, random.position(4)) {
                (false, ..) => {
                    tags.push(address);
                    change.add_learner(id, info)
                }
                (true, false, 0) => change.remove(id),
                (true, false, _) => change.promote(id),
                (true, true, 0) => change.demote(id),
                (true, true, 1) => {
                    tags.push(address);
                    change.update(id, info)
                }
                (true, true, _) => change.remove(id),
            };
        }
        (change, tags)
    }

    /// A node that nobody knows as a member loses its disk and comes back as another replica.
    pub(super) fn wipe_stranger(&mut self) -> Check {
        let place = self.operator.random.position(self.nodes.len());
        let replica = self.nodes[place].replica;
        let is_known = self.nodes.iter().any(|node| {
            let in_force = node.raft.as_ref().map(|raft| raft.status().membership);
            in_force.is_none_or(|membership| membership.contains(replica))
        });
        if is_known || self.nodes[place].founders.contains(replica) && !self.ever_removed(place) {
            return Ok(());
        }
        self.crash(place, "a node was wiped")?;
        let former = self.nodes[place].replica;
        self.checkers.amnesia.lost(former);
        self.nodes[place].wipe();
        if let Some(machines) = &mut self.user_machines {
            machines.wipe(place);
        }
        self.report.mark("a removed node was wiped");
        Ok(())
    }

    /// Whether the node is out of the group for good: a committed membership says so.
    fn ever_removed(&self, place: usize) -> bool {
        let replica = self.nodes[place].replica;
        self.nodes.iter().any(|node| {
            node.raft.as_ref().is_some_and(|raft| {
                let status = raft.status();
                let is_committed = status.membership_index <= status.commit_index;
                is_committed && !status.membership.contains(replica)
            })
        })
    }

    /// A membership change ended: what it says must be so.
    pub(crate) fn membership_changed(
        &mut self,
        place: usize,
        ticket: Ticket,
        result: &Result<(LogId, std::sync::Arc<Membership>), ChangeMembershipError>,
    ) -> Check {
        let node = &self.nodes[place];
        let id = node.id();
        self.trace
            .line(self.now, || format!("{id} ends {ticket:?}: {result:?}"));
        self.tell(place, What::Operator, || match result {
            Ok((log_id, membership)) => format!(
                "membership change {} done at {log_id}: {membership}",
                ticket.0
            ),
            Err(error) => format!("membership change {} ends: {error}", ticket.0),
        });
        let node = &self.nodes[place];
        let (outcome, mark) = match result {
            Ok((log_id, membership)) => {
                let is_committed = log_id.index <= self.checkers.committed.last().index;
                let logged = node.log.membership_at(log_id.index);
                if !is_committed || membership.is_joint() || logged != Some(membership) {
                    let reason = format!("{id} says that {membership} at {log_id} is in force");
                    return Err(membership_safety::violation(reason));
                }
                (Outcome::Done, "the membership was changed")
            }
            Err(ChangeMembershipError::Superseded { .. }) => {
                (Outcome::Superseded, "a membership change was superseded")
            }
            Err(ChangeMembershipError::Unknown) => {
                (Outcome::Unknown, "a membership change ended unknown")
            }
            Err(ChangeMembershipError::NotCaughtUp { .. }) => {
                (Outcome::Refused, "a promotion was refused for lag")
            }
            Err(_) => (Outcome::Refused, "a membership change was refused"),
        };
        self.report.mark(mark);
        let request = node.request(ticket);
        self.checkers.operations.change_ended(request, outcome)
    }

    /// A transfer ended: whoever is said to lead has led.
    pub(crate) fn transfer_ended(
        &mut self,
        place: usize,
        ticket: Ticket,
        result: &Result<NodeId, TransferError>,
    ) -> Check {
        let id = self.nodes[place].id();
        self.trace
            .line(self.now, || format!("{id} ends {ticket:?}: {result:?}"));
        self.tell(place, What::Operator, || match result {
            Ok(leader) => format!("transfer {} done: {leader} leads", ticket.0),
            Err(error) => format!("transfer {} ends: {error}", ticket.0),
        });
        let request = self.nodes[place].request(ticket);
        let since = self.checkers.operations.transfer_ended(request)?;
        match *result {
            Ok(leader) if self.checkers.elections.has_led(leader, since) => {
                self.report.mark("leadership was transferred");
            }
            Ok(leader) => {
                let reason = format!("{id} says that {leader} leads, it never did since {since}");
                return Err(Violation::new("transfers go where they say", reason));
            }
            Err(TransferError::TimedOut { .. }) => self.report.mark("a transfer was aborted"),
            Err(_) => self.report.mark("a transfer failed"),
        }
        Ok(())
    }
}
