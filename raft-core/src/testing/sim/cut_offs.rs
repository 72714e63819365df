//! A leader that is cut off while its disk hangs, perhaps with one other node.
//!
//! What it goes on taking in is on its way to the disk when another leader's
//! entries take its place: the only way in which a write is cut before it ends.
//! Answers that are late may still reach it when others elect another one; and
//! whoever it asks to take over may do so, soon or late, without its knowing. By
//! chance such things hardly ever meet.

use super::checker::Check;
use super::plan::Faults;
use super::random::Random;
use super::recording::{Way, What};
use super::world::{Event, World, micros};
use crate::message::{Envelope, Message};

/// How long a leader is cut off: others need so long to elect another one.
const SHORTEST: u64 = 400_000;
const LONGEST: u64 = 1_500_000;

/// For how much longer its disk hangs at most.
const HANGS_ON: u64 = 600_000;

/// That a request to take over is the last that a leader hears of it, in ten thousand.
const UNHEARD: u64 = 5000;

/// Who is asked later than this campaigns by itself.
const LATE_REQUEST: u64 = 450_000;

/// Reads at a leader that is cut off.
const READS: usize = 8;

/// Draws how often a leader is cut off, and how many answers are late: mostly none.
pub(crate) fn draw(faults: &mut Faults, random: &mut Random, batches: bool) {
    if random.chance(if batches { 6000 } else { 3500 }) {
        faults.cut_off_every = random.between(400_000, 2_000_000);
        if random.chance(4000) {
            faults.late_answers = random.between(500, 5000);
        }
    }
}

impl World {
    /// Cuts off whoever leads, if somebody does: at once, or from one after the other.
    pub(crate) fn cut_off(&mut self) {
        let Some(leader) = self.nodes.iter().position(super::node::Node::leads) else {
            return;
        };
        match self.fault_random.chance(5000) {
            true => self.cut_off_at_once(leader),
            false => self.cut_off_by_and_by(leader),
        }
    }

    /// Some lose their leader and want another one, while others hear it still. Then
    /// nobody does, and one of those restarts at once.
    fn cut_off_by_and_by(&mut self, leader: usize) {
        let random = &mut self.fault_random;
        let others = (0..self.nodes.len()).filter(|&other| other != leader);
        let (lost, kept): (Vec<_>, Vec<_>) = others.partition(|_| random.chance(5000));
        let length = random.between(SHORTEST, 2 * SHORTEST);
        for (from, to) in lost
            .iter()
            .flat_map(|&lost| [(leader, lost), (lost, leader)])
        {
            self.network.set_cut(from, to, true);
            self.schedule(length + SHORTEST, Event::HealLink { from, to });
        }
        let random = &mut self.fault_random;
        let restarts = match kept.is_empty() || random.chance(5000) {
            true => None,
            false => Some(kept[random.position(kept.len())]),
        };
        self.schedule(length, Event::Silence { leader, restarts });
    }

    fn cut_off_at_once(&mut self, leader: usize) {
        let size = self.nodes.len();
        let random = &mut self.fault_random;
        let length = random.between(SHORTEST, LONGEST);
        let hangs_until = self.now + length + random.between(0, HANGS_ON);
        let company = random.chance(4000).then(|| random.position(size));
        let is_apart = |node: usize| node == leader || Some(node) == company;
        self.report.fault("a leader was cut off, its disk hung");
        self.tempt(leader);
        self.trace.line(self.now, || {
            format!("places {leader} and {company:?} are cut off, their disks hang")
        });
        self.tell(leader, What::OtherFault, || match company {
            Some(other) => format!("is cut off with n{}, disks hang", other + 1),
            None => "is cut off, its disk hangs".into(),
        });
        for from in 0..size {
            if is_apart(from) {
                let disk = &mut self.nodes[from].disk;
                disk.stalled_until = disk.stalled_until.max(hangs_until);
            }
            for to in (0..size).filter(|&to| is_apart(from) != is_apart(to)) {
                self.network.set_cut(from, to, true);
                self.schedule(length, Event::HealLink { from, to });
            }
        }
    }

    /// A leader asks another node to take over, and hears no more of it. Perhaps the
    /// request is late, and the other hears nothing else meanwhile. Answers whether
    /// the request is on its way so.
    pub(crate) fn hands_over_unheard(&mut self, place: usize, envelope: &Envelope) -> bool {
        let is_request = matches!(envelope.message, Message::TimeoutNow(_));
        if !is_request || self.faults.cut_off_every == 0 || !self.fault_random.chance(UNHEARD) {
            return false;
        }
        // Best when the leader has given up.
        let patience = micros(self.config.transfer_timeout);
        let random = &mut self.fault_random;
        let delay = match random.chance(5000) {
            true => random.between(patience.min(LATE_REQUEST), LATE_REQUEST),
            false => 1,
        };
        let target = self.place(envelope.to.node);
        self.network.set_cut(place, target, true);
        if let Some(recording) = &mut self.recording {
            recording.message(self.now, self.now + delay, envelope, Way::default());
        }
        self.schedule(delay, Event::Deliver(envelope.clone()));
        let silence = Event::Silence {
            leader: place,
            restarts: None,
        };
        self.schedule(delay, silence);
        true
    }

    /// A leader reaches nobody for a while, and nobody reaches it; another node
    /// restarts at once.
    pub(crate) fn silence(&mut self, leader: usize, restarts: Option<usize>) -> Check {
        self.report.fault("a leader fell silent");
        self.tell(leader, What::OtherFault, || "falls silent".into());
        let length = self.fault_random.between(50_000, SHORTEST);
        for other in (0..self.nodes.len()).filter(|other| *other != leader) {
            for (from, to) in [(leader, other), (other, leader)] {
                self.network.set_cut(from, to, true);
                self.schedule(length, Event::HealLink { from, to });
            }
        }
        self.tempt(leader);
        let Some(node) = restarts else { return Ok(()) };
        self.crash(node, "crash of a moment")?;
        let life = self.nodes[node].life;
        let delay = self.fault_random.between(1000, 30_000);
        self.schedule(delay, Event::Restart { node, life });
        Ok(())
    }

    /// Clients read at a leader that may be none any more.
    fn tempt(&mut self, leader: usize) {
        for _ in 0..READS {
            let delay = self.fault_random.between(0, SHORTEST);
            self.schedule(delay, Event::LeaseRead { node: leader });
        }
    }

    /// The disk of a node has done some of its writes within `time`, even if it hung.
    pub(crate) fn hurry_disk(&mut self, place: usize, time: u64) {
        let delay = self.disk_random.between(0, time);
        let node = &mut self.nodes[place];
        if node.disk.is_idle() {
            return;
        }
        node.disk.stalled_until = node.disk.stalled_until.min(self.now);
        let life = node.life;
        self.schedule(delay, Event::DiskDone { node: place, life });
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Plan;
    use super::super::random::Concern;
    use super::super::world::Phase;
    use super::*;

    const MS: u64 = 1000;

    /// Three nodes that have a leader, in the phase of faults, and where it stands.
    fn led() -> (World, usize) {
        let plan = Plan {
            replicas: Some(3),
            calm: true,
            ..Plan::default()
        };
        let mut world = World::new(5, plan);
        for node in 0..3 {
            world.start(node).unwrap();
        }
        world.run_until(1000 * MS).unwrap();
        world.phase = Phase::Faults;
        let leader = world.nodes.iter().position(|node| node.leads()).unwrap();
        (world, leader)
    }

    fn cuts(world: &World, leader: usize) -> usize {
        let others = (0..3).filter(|other| *other != leader);
        let links = others.flat_map(|other| [(leader, other), (other, leader)]);
        links
            .filter(|(from, to)| world.network.is_cut(*from, *to))
            .count()
    }

    #[test]
    fn a_leader_is_cut_off_with_a_hanging_disk_and_comes_back() {
        let (mut world, leader) = led();
        world.cut_off_at_once(leader);
        assert!(cuts(&world, leader) >= 2);
        assert!(world.nodes[leader].disk.stalled_until >= world.now + SHORTEST);
        world.run_until(world.now + LONGEST + 1).unwrap();
        assert_eq!(cuts(&world, leader), 0);
    }

    #[test]
    fn a_leader_that_some_lose_by_and_by_falls_silent_in_the_end() {
        let (mut world, leader) = led();
        world.cut_off_by_and_by(leader);
        world.run_until(world.now + 2 * SHORTEST + 1).unwrap();
        assert_eq!(world.report.faults["a leader fell silent"], 1);
    }

    #[test]
    fn a_silent_leader_is_cut_from_all_and_another_node_restarts_at_once() {
        let (mut world, leader) = led();
        let other = (leader + 1) % 3;
        world.silence(leader, Some(other)).unwrap();
        assert_eq!(cuts(&world, leader), 4);
        assert!(world.nodes[other].raft.is_none());
        world.run_until(world.now + 31 * MS).unwrap();
        assert!(world.nodes[other].raft.is_some());
        world.run_until(world.now + SHORTEST).unwrap();
        assert_eq!(cuts(&world, leader), 0);
    }

    #[test]
    fn a_request_to_take_over_may_be_the_last_that_a_leader_hears_of_it() {
        let (mut world, leader) = led();
        let target = (leader + 1) % 3;
        let request = Envelope {
            group: Default::default(),
            from: world.nodes[leader].replica,
            to: world.nodes[target].replica,
            term: world.nodes[leader].seen.unwrap().term(),
            message: Message::TimeoutNow(crate::message::TimeoutNow { round: 1 }),
        };
        assert!(
            !world.hands_over_unheard(leader, &request),
            "nothing was drawn"
        );
        world.faults.cut_off_every = 1;
        let tries = (0..40).map(|_| world.hands_over_unheard(leader, &request));
        assert!(tries.collect::<Vec<_>>().contains(&true));
        assert!(world.network.is_cut(leader, target));
    }

    #[test]
    fn a_hanging_disk_that_hurries_has_done_something_in_time() {
        let (mut world, leader) = led();
        world.nodes[leader].disk.stalled_until = u64::MAX;
        let last = world.nodes[leader].disk.log.last();
        let command = bytes::Bytes::copy_from_slice(&7_u64.to_le_bytes());
        let proposal = world.nodes[leader].proposal(command.clone());
        let request = world.nodes[leader].request(proposal.ticket);
        world.checkers.proposals.proposed(request, command);
        world
            .handle(leader, crate::protocol::Input::Propose(vec![proposal]))
            .unwrap();
        world.hurry_disk(leader, 5 * MS);
        world.run_until(world.now + 5 * MS).unwrap();
        assert!(world.nodes[leader].disk.log.last() > last);
    }

    #[test]
    fn runs_in_which_leaders_are_cut_off_are_drawn_in_part() {
        let mut random = Random::stream(1, Concern::CutOffs);
        let drawn = (0..100).filter(|_| {
            let mut faults = Faults::default();
            draw(&mut faults, &mut random, false);
            faults.cut_off_every > 0
        });
        assert!((15..60).contains(&drawn.count()));
    }
}
