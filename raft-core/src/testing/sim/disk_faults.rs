//! What goes wrong with disks besides crashes: they hang, fill up, and damage
//! what they hold.

use std::sync::Arc;

use super::node::Node;
use super::recording::What;
use super::world::{Event, World};
use crate::entry::EntryKind;
use crate::membership::Membership;
use crate::protocol::{self, Output};
use crate::storage_health::StorageHealth;
use crate::types::LogIndex;

impl World {
    /// The disk of a node hangs or is full for a while, and the stores say so.
    pub(crate) fn fall_ill(&mut self, place: usize) {
        let random = &mut self.fault_random;
        let length = random.between(50_000, 3_000_000);
        let is_full = random.chance(5000);
        let noticed = random.between(0, length);
        let health = match is_full {
            true => StorageHealth::Full,
            false => StorageHealth::Stalled {
                since: std::time::Duration::from_micros(noticed),
            },
        };
        self.report
            .fault(if is_full { "disk full" } else { "disk ill" });
        self.tell(place, What::Disk, || {
            let how = if is_full { "is full" } else { "hangs" };
            format!("disk {how} for {} ms", length / 1000)
        });
        let node = &mut self.nodes[place];
        node.disk.stalled_until = node.disk.stalled_until.max(self.now + length);
        let (node, life) = (place, node.life);
        self.schedule(noticed, Event::Health { node, life, health });
        let health = StorageHealth::Healthy;
        self.schedule(length, Event::Health { node, life, health });
    }

    /// An entry of a node is damaged, if another node can make good for it, or if it
    /// is not committed: then the others can go on without it.
    ///
    /// Where members may go, whoever holds the only other copy may, too: there
    /// only such entries are damaged as the state machine will not need again.
    pub(crate) fn damage(&mut self, place: usize) {
        let node = &self.nodes[place];
        let disk = &node.disk;
        let (first, mut last) = (disk.log.purged().index.next(), disk.log.last().index);
        if self.operator.changes_members {
            last = last.min(node.machine.durable.applied());
        }
        if last < first {
            return;
        }
        let drawn = self.fault_random.between(first.get(), last.get());
        let index = LogIndex::new(drawn);
        let kind = disk.log.entry(index).map(crate::entry::Entry::kind);
        if self.is_safe_elsewhere(place, index) || self.is_here_alone(place, index) {
            self.report.fault(match kind {
                Some(EntryKind::Membership) => "a membership was damaged",
                _ => "an entry was damaged",
            });
            let id = self.nodes[place].id();
            self.trace
                .line(self.now, || format!("{id} has {index} damaged"));
            self.tell(place, What::Damage, || format!("entry {index} is damaged"));
            self.nodes[place].disk.damaged.insert(index);
        }
    }

    /// Whether nobody else has the entry, and it is not committed: so it cannot be if
    /// the node has others to vote with. Who lost its vote could say no more whether it
    /// held the entry.
    fn is_here_alone(&self, place: usize, index: LogIndex) -> bool {
        let own = &self.nodes[place].disk.log;
        let mut others = self.nodes.iter().enumerate().filter(|(o, _)| *o != place);
        self.founders.voters().len() > 1
            && self.faults.lose_vote == 0
            && index > self.checkers.committed.last().index
            && others.all(|(_, node)| {
                let agrees = node.disk.log.digest_at(index) == own.digest_at(index);
                !agrees && !node.disk.damaged.contains(&index)
            })
    }

    /// Whether nobody else has the entry damaged, and a member has it whole.
    fn is_safe_elsewhere(&self, place: usize, index: LogIndex) -> bool {
        let Some(raft) = &self.nodes[place].raft else {
            return false;
        };
        let membership = raft.status().membership;
        let own = &self.nodes[place].disk.log;
        let others = || {
            let others = self.nodes.iter().enumerate();
            others
                .filter(|(other, _)| *other != place)
                .map(|(_, node)| node)
        };
        let is_whole_nowhere = others().all(|node| {
            let log = &node.disk.log;
            let agrees = log.digest_at(index) == own.digest_at(index);
            !membership.contains(node.replica) || !agrees || index <= log.purged().index
        });
        !is_whole_nowhere && others().all(|node| !node.disk.damaged.contains(&index))
    }
}

impl Node {
    /// What a start reads: the memberships of the log, and what is damaged of
    /// memberships and of everything that is not applied. The state machine knows
    /// the memberships that it applied.
    pub(crate) fn read_at_start(&mut self) -> (Vec<(LogIndex, Arc<Membership>)>, Vec<LogIndex>) {
        let applied = self.machine.state.applied();
        let mut memberships = self.disk.log.memberships();
        let is_damaged = |index: &LogIndex| self.disk.damaged.contains(index);
        let open = self.disk.damaged.iter().copied();
        let mut damaged: Vec<_> = open.filter(|index| *index > applied).collect();
        let positions = memberships.iter().map(|(index, _)| *index);
        let positions: Vec<_> = positions.filter(is_damaged).collect();
        damaged.extend(positions.iter().filter(|index| **index <= applied));
        let missing = positions.into_iter().filter(|index| *index > applied);
        self.missing = missing.collect();
        memberships.retain(|(index, _)| !self.missing.contains(index));
        (memberships, damaged)
    }

    /// Learns from what the replica says which memberships it knows by now.
    pub(crate) fn note_memberships(&mut self, outputs: &[Output]) {
        for output in outputs {
            match output {
                Output::Event(protocol::Event::EntryMended { log_id }) => {
                    self.missing.remove(&log_id.index);
                }
                Output::Event(protocol::Event::Truncated { from, .. }) => {
                    drop(self.missing.split_off(from));
                }
                Output::Event(protocol::Event::SnapshotInstalled { snapshot }) => {
                    self.missing = self.missing.split_off(&snapshot.index.next());
                }
                Output::Event(protocol::Event::DamageIsCommitted { up_to, .. }) => {
                    self.missing = self.missing.split_off(&up_to.next());
                }
                _ => {}
            }
        }
    }

    /// The membership in force by its log, as far as it can be read.
    pub(crate) fn logged_membership(&self) -> Option<&Arc<Membership>> {
        let positions: Vec<_> = self.log.membership_positions().collect();
        let readable = |index: &&LogIndex| !self.missing.contains(*index);
        let latest = positions.iter().rfind(readable)?;
        self.log.membership_at(*latest)
    }
}
