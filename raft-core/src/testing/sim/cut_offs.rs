//! A leader that is cut off while its disk hangs, perhaps with one other node.
//!
//! What it goes on taking in is on its way to the disk when another leader's
//! entries take its place: the only way in which a write is cut before it ends.
//! By chance a cut link, a hanging disk and an election hardly ever meet.

use super::random::Random;
use super::world::{Event, World};

/// How long a leader is cut off: others need so long to elect another one.
const SHORTEST: u64 = 400_000;
const LONGEST: u64 = 1_500_000;

/// For how much longer its disk hangs at most.
const HANGS_ON: u64 = 600_000;

/// How often a leader is cut off, in microseconds; mostly never.
pub(crate) fn draw_pace(random: &mut Random, batches: bool) -> u64 {
    let share = if batches { 5000 } else { 1000 };
    match random.chance(share) {
        true => random.between(500_000, 3_000_000),
        false => 0,
    }
}

impl World {
    /// Cuts off whoever leads, if somebody does.
    pub(crate) fn cut_off(&mut self) {
        let Some(leader) = self.nodes.iter().position(super::node::Node::leads) else {
            return;
        };
        let size = self.nodes.len();
        let random = &mut self.fault_random;
        let length = random.between(SHORTEST, LONGEST);
        let hangs_until = self.now + length + random.between(0, HANGS_ON);
        let company = random.chance(4000).then(|| random.position(size));
        let is_apart = |node: usize| node == leader || Some(node) == company;
        self.report.fault("a leader was cut off, its disk hung");
        self.trace.line(self.now, || {
            format!("places {leader} and {company:?} are cut off, their disks hang")
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
