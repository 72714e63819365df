//! Looks at the world after each event, and notes what differs from before.

use std::collections::BTreeSet;

use super::super::image::LogImage;
use super::super::node::Node;
use super::super::workload::value_of;
use super::super::world::{Phase, World};
use super::{EntryShown, LogChange, Recording, Shown, Spell, SpellKind, State};
use crate::entry::{Entry, Payload};
use crate::types::LogIndex;

/// The role of a node that is down; those of `RoleKind` come before it.
const DOWN: u8 = 4;

/// How a node was when it was looked at last.
#[derive(Clone, Debug, Default)]
pub(super) struct Last {
    pub(super) shown: Shown,
    is_known: bool,
    /// Digests of its log, up to each entry.
    digests: Vec<u64>,
    paused_until: u64,
    stalled_until: u64,
    damaged: BTreeSet<LogIndex>,
}

impl World {
    /// Notes what differs from when this was called last.
    pub(crate) fn record(&mut self) {
        let Some(recording) = &mut self.recording else {
            return;
        };
        let now = self.now;
        recording.ended_at = now;
        recording.phase(now, self.phase);
        let cuts = self.network.cuts();
        let were_cut = recording.cuts.last().map_or(&[][..], |(_, cuts)| cuts);
        if were_cut != cuts {
            recording.cuts.push((now, cuts));
        }
        for (place, node) in self.nodes.iter().enumerate() {
            recording.look_at(now, place, node);
        }
        if recording.is_full() {
            recording.forget_before(recording.begins_at.midpoint(now));
        }
    }
}

impl Recording {
    fn phase(&mut self, now: u64, phase: Phase) {
        let name = match phase {
            Phase::WarmUp => "warm-up",
            Phase::Faults => "faults",
            Phase::Healed => "healed",
        };
        if self.phases.last().is_none_or(|(_, last)| *last != name) {
            self.phases.push((now, name));
        }
    }

    fn look_at(&mut self, now: u64, place: usize, node: &Node) {
        let log = match node.raft.is_some() {
            true => &node.log,
            false => &node.disk.log,
        };
        self.look_at_log(now, place, log);
        let mut shown = shown(node, log);
        let last = &self.last[place];
        shown.membership = last.shown.membership;
        if shown == last.shown && last.is_known {
            return self.look_at_spells(now, place, node);
        }
        if let Some(raft) = &node.raft {
            let membership = raft.status().membership.to_string();
            shown.membership = self.texts.place(membership);
        }
        let last = &mut self.last[place];
        (last.shown, last.is_known) = (shown, true);
        self.states.push(State {
            at: now,
            place,
            shown,
        });
        self.look_at_spells(now, place, node);
    }

    fn look_at_log(&mut self, now: u64, place: usize, log: &LogImage) {
        let digests = &mut self.last[place].digests;
        let length = usize::try_from(log.last().index.get()).unwrap_or(usize::MAX);
        if digests.len() == length && digests.last().copied().unwrap_or(0) == log.digest() {
            return;
        }
        let digest_at = |place: usize| log.digest_at(LogIndex::new(place as u64 + 1));
        // A digest covers all before it, so logs agree up to one point and not after.
        let agree = {
            let (mut low, mut high) = (0, digests.len().min(length));
            while low < high {
                let middle = low.midpoint(high);
                match digest_at(middle) == Some(digests[middle]) {
                    true => low = middle + 1,
                    false => high = middle,
                }
            }
            low
        };
        digests.truncate(agree);
        digests.extend((agree..length).map_while(digest_at));
        let new = log.after(LogIndex::new(agree as u64));
        self.logs.push(LogChange {
            at: now,
            place,
            from: agree as u64 + 1,
            entries: new.iter().map(entry_shown).collect(),
        });
    }

    fn look_at_spells(&mut self, now: u64, place: usize, node: &Node) {
        let last = &mut self.last[place];
        let (was_paused, was_stalled) = (last.paused_until, last.stalled_until);
        last.paused_until = node.paused_until;
        last.stalled_until = node.disk.stalled_until;
        if last.damaged != node.disk.damaged {
            last.damaged.clone_from(&node.disk.damaged);
            self.damage.push((now, place, node.disk.damaged.clone()));
        }
        let (paused, stalled) = (node.paused_until, node.disk.stalled_until);
        self.spell(now, place, SpellKind::Pause, (was_paused, paused));
        self.spell(now, place, SpellKind::DiskHangs, (was_stalled, stalled));
    }

    /// The end of a spell changed: it begins, goes on for longer, or is cut short.
    fn spell(&mut self, now: u64, place: usize, kind: SpellKind, (was, until): (u64, u64)) {
        if was == until {
            return;
        }
        let mut spells = self.spells.iter_mut().rev();
        let open = spells.find(|s| s.place == place && s.kind == kind && s.until > now);
        match open {
            Some(spell) => spell.until = until.max(now),
            None if until > now => self.spells.push(Spell {
                place,
                kind,
                from: now,
                until,
            }),
            None => {}
        }
    }
}

fn shown(node: &Node, log: &LogImage) -> Shown {
    let disk = &node.disk;
    let mut shown = Shown {
        role: DOWN,
        term: disk.hard_state.current_term.get(),
        voted_for: vote(disk.hard_state.voted_for),
        purged: log.purged().index.get(),
        last: log.last().index.get(),
        durable: log.last().index.get(),
        applied: node.machine.durable.applied().get(),
        incarnation: node.replica.incarnation.get(),
        is_broken: node.is_broken,
        ..Shown::default()
    };
    if let Some(seen) = node.seen.filter(|_| node.raft.is_some()) {
        shown.role = seen.role as u8;
        shown.term = seen.term().get();
        shown.voted_for = vote(seen.hard_state.voted_for);
        shown.purged = seen.purged.get();
        shown.commit = seen.commit_index.get();
        shown.durable = seen.durable_index.get();
        shown.applied = seen.last_applied.get();
        shown.membership_index = seen.membership_index.get();
    }
    shown
}

fn vote(replica: Option<crate::types::ReplicaId>) -> u64 {
    replica.map_or(0, |replica| replica.node.get())
}

fn entry_shown(entry: &Entry) -> EntryShown {
    let value = match &entry.payload {
        Payload::Blank => 0,
        Payload::Command { data, .. } => i64::try_from(value_of(data)).unwrap_or(i64::MAX),
        Payload::Membership(_) => -1,
    };
    EntryShown {
        term: entry.term().get(),
        value,
    }
}

/// What a log holds after a change.
pub(super) fn apply(log: &mut Vec<EntryShown>, change: &LogChange) {
    let kept = usize::try_from(change.from - 1).unwrap_or(usize::MAX);
    log.truncate(kept);
    log.extend_from_slice(&change.entries);
}
