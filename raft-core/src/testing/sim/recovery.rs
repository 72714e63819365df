//! After the faults: who stays broken, how long the others take to be whole
//! again, that they stay so, and the last look at everything.

use std::sync::Arc;
use std::time::Duration;

use super::aim::Aim;
use super::checker::{Check, liveness};
use super::node::Node;
use super::recording::What;
use super::report::Violation;
use super::world::{Event, World, micros};
use crate::entry::Payload;
use crate::membership::Membership;
use crate::message::Message;
use crate::protocol::{Input, Raft};
use crate::types::{NodeId, Term};

/// How long a group that is whole must keep its leader.
const STAYS_FOR: u64 = 1_500_000;

impl World {
    /// Some nodes stay broken for ever; the others, the core, hold a quorum of
    /// every membership that may be in force.
    ///
    /// Not while a change is on its way, which could make quorums larger than
    /// the core, and not while an entry is damaged, whose only copy may stay outside.
    pub(crate) fn break_for_ever(&mut self) -> Check {
        let is_aimed_at = self.plan.aim == Aim::Liveness;
        let is_drawn = self.fault_random.chance(5000) || is_aimed_at;
        let is_drawn = is_drawn && self.plan.has("breaking");
        let is_damaged = self.nodes.iter().any(|node| !node.disk.damaged.is_empty());
        if !is_drawn || is_damaged || self.change_is_under_way() {
            return Ok(());
        }
        let memberships = self.memberships_that_may_be_in_force();
        for _ in 0..self.nodes.len() {
            let place = self.fault_random.position(self.nodes.len());
            let is_core = |membership: &Membership, node: NodeId| {
                let other = self.place(node);
                let lives = membership.contains(self.nodes[other].replica);
                other != place && lives && !self.nodes[other].is_broken
            };
            let quorums_stay = memberships.iter().all(|membership| {
                let sets = [Some(membership.voters()), membership.outgoing()];
                sets.into_iter().flatten().all(|voters| {
                    let left = voters.iter().filter(|&&voter| is_core(membership, voter));
                    left.count() > voters.len() / 2
                })
            });
            if quorums_stay && !self.nodes[place].is_broken {
                self.break_node(place)?;
            }
        }
        Ok(())
    }

    pub(crate) fn change_is_under_way(&self) -> bool {
        let is_change = |event: &Event| match event {
            Event::Deliver(envelope) => matches!(envelope.message, Message::ChangeMembership(_)),
            _ => false,
        };
        self.checkers.operations.all_ended().is_err() || self.scheduled().any(is_change)
    }

    pub(crate) fn memberships_that_may_be_in_force(&self) -> Vec<Arc<Membership>> {
        let committed = self.checkers.committed.last().index;
        let mut all = vec![Arc::new(self.founders.clone())];
        for log in self
            .nodes
            .iter()
            .flat_map(|node| [&node.log, &node.disk.log])
        {
            let latest = log.membership_at(committed);
            let later = log.membership_positions().filter(|at| *at > committed);
            let later = later.filter_map(|at| log.membership_at(at));
            all.extend(latest.into_iter().chain(later).cloned());
        }
        // The founders count only as long as no log says otherwise.
        if all.len() > 1 {
            all.remove(0);
        }
        all.retain(|membership| !membership.voters().is_empty());
        all.dedup();
        all
    }

    /// In one of several ways, none of which lets it lead: whoever leads and
    /// reaches only a part of the core would keep the rest from having a leader.
    fn break_node(&mut self, place: usize) -> Check {
        const FOR_EVER: u64 = u64::MAX / 4;
        let kind = self.fault_random.position(6);
        let (name, to_it, from_it) = [
            ("for ever: down", false, false),
            ("for ever: paused", false, false),
            ("for ever: disk hangs", false, false),
            ("for ever: deaf", true, false),
            ("for ever: mute", false, true),
            ("for ever: deaf, and mute to some", true, true),
        ][kind];
        self.report.fault(name);
        let id = self.nodes[place].id();
        self.trace
            .line(self.now, || format!("{id} is broken {name}"));
        self.tell(place, What::OtherFault, || format!("is broken {name}"));
        self.nodes[place].is_broken = true;
        let is_partial = kind == 5;
        for other in (0..self.nodes.len()).filter(|other| *other != place) {
            let is_spared = is_partial && self.fault_random.chance(5000);
            self.network.set_cut(other, place, to_it);
            self.network.set_cut(place, other, from_it && !is_spared);
        }
        match kind {
            0 => {
                self.crash(place, "crash")?;
                self.nodes[place].life += 1;
            }
            1 => self.nodes[place].paused_until = FOR_EVER,
            2 => self.nodes[place].disk.stalled_until = FOR_EVER,
            _ => {}
        }
        let boot = self.nodes[place].raft.as_ref().map(Raft::boot);
        if let Some(boot) = boot.filter(|_| kind == 1) {
            self.checkers.operations.crashed(boot);
        }
        Ok(())
    }

    /// A group that is whole keeps its leader, whatever those outside the core do. A
    /// change of members that was still under way may take the leader's vote: then it
    /// steps down for that reason and no other, once for each leader, and whoever
    /// leads next is kept like any.
    pub(crate) fn stay_whole(&mut self) -> Check {
        if !self.clocks_let_leaders_stay() {
            return self.run_until(self.now + STAYS_FOR);
        }
        for _ in 0..=self.nodes.len() {
            let before = self.leadership();
            self.run_until(self.now + STAYS_FOR)?;
            let after = self.leadership();
            if before.is_some() && before == after {
                return Ok(());
            }
            if !before.is_some_and(|before| self.removed_leaders.contains(&before)) {
                let reason = format!("{before:?} led a whole group, without faults {after:?} does");
                return Err(Violation::new("liveness", reason));
            }
            self.recover()?;
        }
        let reason = "one leader after the other was removed from a whole group".to_owned();
        Err(Violation::new("liveness", reason))
    }

    /// Whether every node's heartbeats come, in true time, well before the most impatient
    /// one campaigns. Clocks that err by a half can put them behind that.
    fn clocks_let_leaders_stay(&self) -> bool {
        let interval = micros(self.config.heartbeat_interval);
        let core = || self.nodes.iter().filter(|node| !node.is_broken);
        let slowest = core().map(|node| node.true_time(interval)).max();
        let patience = core().map(|node| node.true_time(micros(node.patience)));
        slowest.is_none_or(|slowest| patience.min() > Some(slowest * 5 / 4))
    }

    /// Who of the core leads, in the latest term.
    fn leadership(&self) -> Option<(Term, NodeId)> {
        let leaders = self
            .nodes
            .iter()
            .filter(|node| node.leads() && !node.is_broken);
        let seen = leaders.filter_map(|node| node.seen);
        seen.map(|seen| (seen.term(), seen.replica.node)).max()
    }

    /// Runs on until the group is whole, or four times the bound has passed.
    pub(crate) fn recover(&mut self) -> Check {
        let healed = self.now;
        let bound = micros(self.plan.liveness_bound);
        loop {
            let missing = self.missing();
            let spent = self.now - healed;
            match missing {
                None if spent <= bound => {
                    let spent = Duration::from_micros(spent);
                    self.report.slowest_recovery = self.report.slowest_recovery.max(spent);
                    return Ok(());
                }
                None => return Err(liveness_violation("slow", spent, "nothing any more")),
                Some(missing) if spent > 4 * bound => {
                    return Err(liveness_violation("stuck", spent, &missing));
                }
                Some(_) => {}
            }
            self.probe()?;
            self.run_until(self.now + 50_000)?;
        }
    }

    /// The membership that the group settled on.
    fn final_membership(&self) -> Option<Arc<Membership>> {
        let (_, leader) = self.leadership()?;
        let status = self.nodes[self.place(leader)].raft.as_ref()?.status();
        let is_settled =
            !status.membership.is_joint() && status.membership_index <= status.commit_index;
        is_settled.then_some(status.membership)
    }

    fn missing(&self) -> Option<String> {
        if self.now < self.clients_stop_at {
            return Some("clients are still at work".into());
        }
        if let Err(open) = self.checkers.operations.all_ended() {
            return Some(open.reason);
        }
        let Some(membership) = self.final_membership() else {
            return Some("no leader with a committed membership that is not joint".into());
        };
        let members = self
            .nodes
            .iter()
            .filter(|node| membership.contains(node.replica) && !node.is_broken);
        let group: Vec<_> = members.map(standing).collect();
        liveness::missing(&group)
    }

    /// The last look: every log, every acknowledgement, every outcome.
    pub(crate) fn audit(&mut self) -> Check {
        self.report.simulated = Duration::from_micros(self.now);
        self.tell_user_machines(|machines| machines.audit())?;
        let Some(membership) = self.final_membership() else {
            return Ok(());
        };
        let is_member = |node: &&Node| membership.contains(node.replica) && !node.is_broken;
        // Who is no member hears of nobody, and may still wait for its deadlines; so
        // does who stays broken.
        for raft in self
            .nodes
            .iter()
            .filter(|node| !is_member(node))
            .filter_map(|n| n.raft.as_ref())
        {
            self.checkers.reads.crashed(raft.boot());
        }
        for node in self.nodes.iter().filter(is_member) {
            let committed = &self.checkers.committed;
            committed.held_by(node.id(), &node.log)?;
            if node.machine.durable.applied() < committed.last().index {
                committed.held_by(node.id(), &node.disk.log)?;
            }
            if let Some(raft) = &node.raft {
                self.checkers.proposals.all_ended(node.id(), raft.boot())?;
            }
        }
        self.checkers.reads.all_ended()?;
        self.checkers.register.judge()?;
        for (request, index) in self.checkers.proposals.acknowledgements() {
            for node in self.nodes.iter().filter(is_member) {
                let is_in_state = node.machine.durable.applied() >= index;
                let log = if is_in_state {
                    &node.log
                } else {
                    &node.disk.log
                };
                let entry = log.entry(index);
                let holds = entry.is_some_and(|entry| match &entry.payload {
                    Payload::Command { request: held, .. } => *held == request,
                    _ => false,
                });
                if !holds {
                    let reason = format!("{} lacks acknowledged {request:?} at {index}", node.id());
                    return Err(Violation::new("P15 no lost ack", reason));
                }
            }
        }
        Ok(())
    }
}

fn liveness_violation(how: &str, spent: u64, missing: &str) -> Violation {
    let reason = format!(
        "{how} {} ms after healing; missing: {missing}",
        spent / 1000
    );
    Violation::new("liveness", reason)
}

fn standing(node: &Node) -> liveness::Standing {
    let pending = node.raft.as_ref().map_or(0, |raft| {
        let status = raft.status();
        let waits = |input: &&Input| matches!(input, Input::Propose(_));
        let waiting = node.waiting.iter().filter(waits).count();
        status.pending_proposals + status.pending_reads + waiting
    });
    liveness::Standing {
        node: node.id(),
        seen: node.raft.as_ref().and(node.seen),
        has_written: node.has_written,
        has_read: node.has_read,
        pending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sim::Plan;

    /// Two replicas, one of whose clocks runs so much slower, in parts per million.
    fn slowed(drift: i64) -> World {
        let plan = Plan {
            replicas: Some(2),
            calm: true,
            ..Plan::default()
        };
        let mut world = World::new(5, plan);
        world.config.heartbeat_interval = Duration::from_millis(50);
        for node in &mut world.nodes {
            node.patience = Duration::from_millis(100);
        }
        world.nodes[1].drift = -drift;
        world
    }

    #[test]
    fn a_leader_whose_heartbeats_come_too_late_by_its_clock_need_not_stay() {
        assert!(slowed(0).clocks_let_leaders_stay());
        assert!(slowed(300_000).clocks_let_leaders_stay());
        // Its 50 ms last 135.
        assert!(!slowed(630_000).clocks_let_leaders_stay());
    }
}
