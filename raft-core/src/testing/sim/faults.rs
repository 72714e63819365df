//! Crashes, restarts, partitions, pauses and disk stalls.

use std::sync::Arc;

use super::checker::{Check, corruption};
use super::recording::What;
use super::report::Violation;
use super::world::{Event, FaultKind, Phase, World};
use crate::protocol::{Input, Raft, Restored};
use crate::storage_health::StorageHealth;
use crate::time::Timestamp;
use crate::types::LogId;

impl World {
    /// Schedules the first fault of each kind that the seed drew.
    pub(crate) fn begin_faults(&mut self) {
        use FaultKind::{Crash, CutOff, Damage, Illness, Partition, Pause, PowerCut, Stall};
        for kind in [
            Partition, Crash, PowerCut, Pause, Stall, Illness, Damage, CutOff,
        ] {
            self.schedule_fault(kind);
        }
    }

    fn schedule_fault(&mut self, kind: FaultKind) {
        let every = match kind {
            FaultKind::Partition => self.faults.partition_every,
            FaultKind::Crash => self.faults.crash_every,
            FaultKind::PowerCut => self.faults.power_cut_every,
            FaultKind::Pause => self.faults.pause_every,
            FaultKind::Stall => self.faults.stall_every,
            FaultKind::Illness => self.faults.illness_every,
            FaultKind::Damage => self.faults.damage_every,
            FaultKind::CutOff => self.faults.cut_off_every,
        };
        if every > 0 {
            let delay = self.fault_random.around(every);
            self.schedule(delay, Event::Fault(kind));
        }
    }

    /// A fault's time has come.
    pub(crate) fn fault(&mut self, kind: FaultKind) -> Check {
        if self.phase != Phase::Faults {
            return Ok(());
        }
        self.schedule_fault(kind);
        let victim = self.victim();
        match kind {
            FaultKind::Crash => return self.crash(victim, "crash"),
            FaultKind::PowerCut => {
                for place in 0..self.nodes.len() {
                    self.crash(place, "crash in a power cut")?;
                }
            }
            FaultKind::Partition => self.partition(victim),
            FaultKind::Pause => {
                self.report.fault("pause");
                let length = self.fault_random.between(10_000, 1_500_000);
                self.nodes[victim].paused_until = self.now + length;
                self.tell(victim, What::Pause, || {
                    format!("pauses for {} ms", length / 1000)
                });
            }
            FaultKind::Stall => {
                self.report.fault("disk stall");
                let length = self.fault_random.between(10_000, 1_500_000);
                self.nodes[victim].disk.stalled_until = self.now + length;
                self.tell(victim, What::Disk, || {
                    format!("disk hangs for {} ms", length / 1000)
                });
            }
            FaultKind::Illness => self.fall_ill(victim),
            FaultKind::Damage => self.damage(victim),
            FaultKind::CutOff => self.cut_off(),
        }
        Ok(())
    }

    /// Some node; half of the time the leader, because that hurts most.
    fn victim(&mut self) -> usize {
        let leader = self.nodes.iter().position(super::node::Node::leads);
        let any = self.fault_random.position(self.nodes.len());
        match leader {
            Some(leader) if self.fault_random.chance(5000) => leader,
            _ => any,
        }
    }

    /// The node stops, and loses what was not durable.
    pub(crate) fn crash(&mut self, place: usize, kind: &'static str) -> Check {
        self.user_machine_crashes(place)?;
        let node = &mut self.nodes[place];
        let leads = node.leads();
        let Some(raft) = node.raft.take() else {
            return Ok(());
        };
        let id = node.replica;
        node.waiting.clear();
        node.shipments.clear();
        node.stopped.clear();
        node.unread.clear();
        node.stale_reads.clear();
        node.lease_reads.clear();
        node.life += 1;
        node.seen = None;
        node.wake_at = None;
        node.paused_until = 0;
        let applies_again = node.machine.crash();
        let remains = node.disk.crash(&mut self.disk_random)?;
        self.trace.note(&[7, place as u64, remains.kept as u64]);
        self.trace
            .line(self.now, || format!("{id} {kind}: {remains:?}"));
        let (kept, lost) = (remains.kept, remains.lost);
        self.tell(place, What::Crash, || {
            format!("{kind}: of the writes under way {kept} were kept, {lost} lost")
        });
        self.checkers.proposals.crashed(raft.boot());
        self.checkers.reads.crashed(raft.boot());
        self.checkers.operations.crashed(raft.boot());
        self.check_hard_states(id, remains.changes)?;
        let disk = &self.nodes[place].disk;
        let (hard_state, last) = (disk.hard_state, disk.log.last());
        self.note_crash(id, hard_state, last)?;
        self.report.fault(kind);
        let all_down = self.nodes.iter().all(|node| node.raft.is_none());
        let met = [
            (leads, "a leader crashed"),
            (applies_again, "a restart applied again"),
            (remains.lost > 0, "a crash lost a write"),
            (
                remains.kept > 0,
                "a crash kept a write that was not reported",
            ),
            (all_down, "all replicas were down at once"),
        ];
        for (_, mark) in met.into_iter().filter(|(is_met, _)| *is_met) {
            self.report.mark(mark);
        }
        let life = self.nodes[place].life;
        let delay = self.fault_random.between(1_000, 1_200_000);
        self.schedule(delay, Event::Restart { node: place, life });
        Ok(())
    }

    /// The node starts from what its disk and its state machine kept.
    pub(crate) fn start(&mut self, place: usize) -> Check {
        if self.nodes[place].raft.is_some() {
            return Ok(());
        }
        self.perhaps_lose_vote(place)?;
        let node = &mut self.nodes[place];
        let mut config = self.config.clone();
        config.replica = node.replica;
        config.seed = self.start_random.next();
        config.election_priority = node.priority;
        config.election_timeout_min = node.patience;
        // A snapshot was restored and the log did not follow: it does now.
        let state = &node.machine.state;
        if let Some(origin) = state
            .origin
            .as_ref()
            .filter(|_| !node.disk.log.contains(state.last))
        {
            node.disk.reset(origin);
            self.report.mark("a restart finished an installation");
        }
        let (memberships, damaged) = node.read_at_start();
        self.checkers.corruption.starts(node.replica, &damaged);
        let state = &node.machine.state;
        let log = &node.disk.log;
        let last = log.last();
        let purged = log.purged();
        let founders = Arc::new(node.founders.clone());
        let membership = state.membership.clone().filter(|_| purged != LogId::ZERO);
        let restored = Restored {
            hard_state: node.disk.hard_state,
            purged,
            entries: log.metas(),
            membership: membership.unwrap_or(founders),
            membership_entries: memberships,
            last_applied: state.applied(),
            damaged,
        };
        node.life += 1;
        node.started_at = self.now;
        node.log = node.disk.log.clone();
        let raft = Raft::restore(config, restored, Timestamp::ZERO).map_err(|error| {
            let reason = format!("{} cannot start from its own disk: {error}", node.id());
            Violation::new("a crash leaves a state to start from", reason)
        })?;
        let (id, replica) = (node.id(), node.replica);
        corruption::keeps_its_place(id, raft.status().last_log, last)?;
        node.raft = Some(raft);
        self.user_machine_starts(place)?;
        self.trace.note(&[8, place as u64]);
        self.explain_start(place)?;
        self.trace.line(self.now, || format!("{id} starts"));
        self.tell(place, What::Start, || format!("starts as {replica}"));
        self.settle(place)
    }

    /// Cuts links, in one of several shapes, for a while.
    fn partition(&mut self, victim: usize) {
        let size = self.nodes.len();
        let random = &mut self.fault_random;
        let shape = random.between(0, 6);
        let sides: Vec<bool> = (0..size).map(|_| random.chance(5000)).collect();
        let cuts = |from: usize, to: usize, chance: bool| match shape {
            0 => from == victim || to == victim,
            1 => from == victim,
            2 => to == victim,
            3 => sides[from] != sides[to],
            4 => sides[from] && !sides[to],
            // The victim reaches both sides, which do not reach each other.
            5 => sides[from] != sides[to] && from != victim && to != victim,
            _ => chance,
        };
        let length = random.between(20_000, 2_500_000);
        let swizzled = random.chance(3000);
        let mut healed_at = Vec::new();
        for (from, to) in (0..size).flat_map(|from| (0..size).map(move |to| (from, to))) {
            if from != to && cuts(from, to, random.chance(3000)) {
                self.network.set_cut(from, to, true);
                let until = match swizzled {
                    true => random.between(length / 4, length),
                    false => length,
                };
                healed_at.push((until, from, to));
            }
        }
        const NAMES: [&str; 7] = [
            "partition: one node alone",
            "partition: one node mute",
            "partition: one node deaf",
            "partition: halves",
            "partition: halves, one way",
            "partition: bridge",
            "partition: random links",
        ];
        let name = NAMES[usize::try_from(shape).unwrap_or(6).min(6)];
        self.report.fault(name);
        self.trace
            .line(self.now, || format!("{name} {healed_at:?}"));
        self.tell_all(What::Partition, || {
            let links = healed_at.iter();
            let links = links.map(|(_, from, to)| format!("n{}>n{}", from + 1, to + 1));
            let links = links.collect::<Vec<_>>().join(" ");
            format!("{name}, for up to {} ms: {links}", length / 1000)
        });
        for (until, from, to) in healed_at {
            self.schedule(until, Event::HealLink { from, to });
        }
    }

    /// Ends all faults and starts every node.
    pub(crate) fn heal(&mut self) -> Check {
        self.trace.line(self.now, || "all faults end".into());
        self.tell_all(What::OtherFault, || "all faults end".into());
        self.network.heal();
        self.disk_pace = self.disk_pace.min(2000);
        for place in 0..self.nodes.len() {
            let node = &mut self.nodes[place];
            node.paused_until = node.paused_until.min(self.now);
            node.disk.stalled_until = node.disk.stalled_until.min(self.now);
            let is_writing = !node.disk.is_idle();
            // A wake-up put off to the end of a pause comes at once.
            node.wake_at = None;
            (node.has_written, node.has_read) = (false, false);
            if is_writing {
                self.schedule_disk(place);
            }
            self.start(place)?;
            self.handle(place, Input::StorageHealth(StorageHealth::Healthy))?;
        }
        Ok(())
    }
}
