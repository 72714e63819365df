//! What a page shows of a run: who was what when, every message from its sending to
//! its arrival, faults, and what each replica says of itself.
//!
//! Kept only if the plan asks for it. It looks on and draws nothing, so a run goes the
//! same way with it and without. What a run of many hours leaves is too much for a
//! page; then the older half of the time is forgotten, as often as need be.
//!
//! `watch` looks at the world after each event and notes what differs, `facts` takes
//! messages apart, `words` says what replicas ask for, `forget` keeps it within bounds.

mod facts;
mod forget;
mod watch;
pub(super) mod words;

use std::collections::{BTreeMap, BTreeSet};

use super::network::Fate;
use super::plan::Plan;
use super::world::World;
use crate::message::Envelope;
use crate::types::LogIndex;
use watch::Last;

/// So many pieces are kept, of some 40 bytes each on the page.
const LIMIT: usize = 350_000;

/// The recording of one run.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    pub(crate) seed: u64,
    pub(crate) plan: Plan,
    pub(crate) nodes: usize,
    pub(crate) founders: usize,
    pub(crate) usual_delay: u64,
    /// What happened before this moment is forgotten.
    pub(crate) begins_at: u64,
    /// Messages and happenings that are forgotten.
    pub(crate) forgotten: u64,
    pub(crate) ended_at: u64,
    pub(crate) phases: Vec<(u64, &'static str)>,
    pub(crate) messages: Vec<Sent>,
    pub(crate) states: Vec<State>,
    pub(crate) logs: Vec<LogChange>,
    /// Which links are cut from a moment on, by `from * nodes + to`.
    pub(crate) cuts: Vec<(u64, Vec<usize>)>,
    pub(crate) spells: Vec<Spell>,
    pub(crate) happenings: Vec<Happening>,
    /// Which entries of a node are damaged from a moment on.
    pub(crate) damage: Vec<(u64, usize, BTreeSet<LogIndex>)>,
    /// What messages look like, as `facts` describes it, and texts that come up often.
    pub(crate) shapes: Table,
    pub(crate) texts: Table,
    limit: usize,
    last: Vec<Last>,
}

/// A message on its way.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: u64,
    /// When it arrives; for a lost one, when it was sent.
    pub(crate) arrives_at: u64,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) term: u64,
    pub(crate) way: Way,
    pub(crate) shape: usize,
    pub(crate) numbers: Vec<u64>,
}

/// What is special about the way of a message.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Way {
    pub(crate) lost: bool,
    /// A second copy of it.
    pub(crate) copy: bool,
    /// Sent long ago, and repeated by the network.
    pub(crate) replay: bool,
    pub(crate) slow: bool,
    /// Lost because its link was cut.
    pub(crate) cut: bool,
    /// What it claims is the violation; the run ends before it goes.
    pub(crate) violates: bool,
}

impl Way {
    /// It goes nowhere, because what it claims ends the run.
    pub(crate) fn violating() -> Self {
        Self {
            lost: true,
            violates: true,
            ..Self::default()
        }
    }
}

/// How a node shows itself from a moment on.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) at: u64,
    pub(crate) place: usize,
    pub(crate) shown: Shown,
}

/// What a node shows, or what its disk holds while it is down.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Shown {
    /// The role as `RoleKind` counts, or 4 for a node that is down.
    pub(crate) role: u8,
    pub(crate) term: u64,
    /// Zero for no vote.
    pub(crate) voted_for: u64,
    pub(crate) purged: u64,
    pub(crate) last: u64,
    pub(crate) commit: u64,
    pub(crate) durable: u64,
    pub(crate) applied: u64,
    pub(crate) incarnation: u64,
    pub(crate) membership_index: u64,
    /// Among the texts.
    pub(crate) membership: usize,
    pub(crate) is_broken: bool,
}

/// Entries that a log has from an index on, in the place of what it had there.
#[derive(Clone, Debug)]
pub(crate) struct LogChange {
    pub(crate) at: u64,
    pub(crate) place: usize,
    pub(crate) from: u64,
    pub(crate) entries: Vec<EntryShown>,
}

/// An entry: its term, and what it holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct EntryShown {
    pub(crate) term: u64,
    /// What a command writes; 0 for a blank entry, -1 for a membership.
    pub(crate) value: i64,
}

/// Something that lasts.
#[derive(Clone, Debug)]
pub(crate) struct Spell {
    pub(crate) place: usize,
    pub(crate) kind: SpellKind,
    pub(crate) from: u64,
    pub(crate) until: u64,
}

/// What lasts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SpellKind {
    Pause,
    DiskHangs,
}

/// Something that happened at a node, or to the whole group.
#[derive(Clone, Debug)]
pub(crate) struct Happening {
    pub(crate) at: u64,
    /// Nothing for the whole group.
    pub(crate) place: Option<usize>,
    pub(crate) kind: What,
    pub(crate) text: usize,
}

/// What kinds of happenings there are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum What {
    Crash,
    Start,
    Partition,
    Pause,
    Disk,
    Damage,
    LostVote,
    OtherFault,
    Election,
    Leader,
    StepsDown,
    Truncation,
    Purge,
    Membership,
    Snapshot,
    Note,
    Client,
    Operator,
    Write,
}

impl What {
    /// All, in the order in which the page numbers them: group, letter, name.
    pub(crate) const ALL: [(Self, [&'static str; 3]); 19] = [
        (Self::Crash, ["faults", "X", "crash"]),
        (Self::Start, ["faults", "^", "start"]),
        (Self::Partition, ["faults", "%", "partition"]),
        (Self::Pause, ["faults", "=", "pause"]),
        (Self::Disk, ["faults", "D", "disk fault"]),
        (Self::Damage, ["faults", "#", "damage"]),
        (Self::LostVote, ["faults", "V", "lost vote"]),
        (Self::OtherFault, ["faults", "!", "fault"]),
        (Self::Election, ["elections", "E", "election"]),
        (Self::Leader, ["elections", "L", "new leader"]),
        (Self::StepsDown, ["elections", "S", "steps down"]),
        (Self::Truncation, ["log", "T", "truncation"]),
        (Self::Membership, ["members", "M", "membership"]),
        (Self::Snapshot, ["log", "N", "snapshot"]),
        (Self::Note, ["elections", "i", "note"]),
        (Self::Client, ["clients", "C", "client"]),
        (Self::Operator, ["members", "O", "operator"]),
        (Self::Write, ["disk", "W", "write"]),
        (Self::Purge, ["disk", "P", "purge"]),
    ];

    /// Its place among all.
    pub(crate) fn number(self) -> usize {
        let place = Self::ALL.iter().position(|(what, _)| *what == self);
        place.expect("the table has all kinds")
    }
}

/// Texts, each kept once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) texts: Vec<String>,
    places: BTreeMap<String, usize>,
}

impl Table {
    fn place(&mut self, text: String) -> usize {
        if let Some(&place) = self.places.get(&text) {
            return place;
        }
        self.texts.push(text.clone());
        self.places.insert(text, self.texts.len() - 1);
        self.texts.len() - 1
    }
}

impl Recording {
    /// An empty recording of `seed` under `plan`.
    pub(crate) fn new(seed: u64, plan: Plan, usual_delay: u64, sizes: (usize, usize)) -> Self {
        let (nodes, founders) = sizes;
        Self {
            seed,
            plan,
            nodes,
            founders,
            usual_delay,
            begins_at: 0,
            forgotten: 0,
            ended_at: 0,
            phases: Vec::new(),
            messages: Vec::new(),
            states: Vec::new(),
            logs: Vec::new(),
            cuts: Vec::new(),
            spells: Vec::new(),
            happenings: Vec::new(),
            damage: Vec::new(),
            shapes: Table::default(),
            texts: Table::default(),
            limit: LIMIT,
            last: vec![Last::default(); nodes],
        }
    }

    /// A message was sent, and arrives at these moments.
    pub(crate) fn sends(&mut self, at: u64, envelope: &Envelope, fate: Fate, arrivals: &[Arrival]) {
        let is_lost = Way {
            lost: true,
            cut: fate.cut,
            ..Way::default()
        };
        let own = fate.lost.then_some((at, is_lost));
        if let Some((at, way)) = own {
            self.message(at, at, envelope, way);
        }
        let mut arrivals = arrivals.iter();
        let mut next = |is_there: bool| is_there.then(|| arrivals.next()).flatten();
        let replay = next(fate.replayed);
        let copy = next(fate.duplicated);
        let first = next(!fate.lost);
        let ways = [
            (
                replay,
                Way {
                    replay: true,
                    ..Way::default()
                },
            ),
            (
                copy,
                Way {
                    copy: true,
                    ..Way::default()
                },
            ),
            (
                first,
                Way {
                    slow: fate.slow,
                    ..Way::default()
                },
            ),
        ];
        for (arrival, way) in ways {
            if let Some((arrives_at, envelope)) = arrival {
                self.message(at, *arrives_at, envelope, way);
            }
        }
    }

    /// A message goes its way.
    pub(crate) fn message(&mut self, at: u64, arrives_at: u64, envelope: &Envelope, way: Way) {
        let (shape, numbers) = facts::of(&envelope.message);
        let shape = self.shapes.place(shape.to_owned());
        let place = |node: u64| usize::try_from(node - 1).unwrap_or(0);
        self.messages.push(Sent {
            at,
            arrives_at,
            from: place(envelope.from.node.get()),
            to: place(envelope.to.node.get()),
            term: envelope.term.get(),
            way,
            shape,
            numbers,
        });
    }

    /// A snapshot goes its way; its last entry says which.
    pub(crate) fn snapshot(&mut self, mut sent: Sent) {
        sent.shape = self.shapes.place(facts::SNAPSHOT.to_owned());
        self.messages.push(sent);
    }

    fn happened(&mut self, at: u64, place: Option<usize>, kind: What, text: String) {
        let text = self.texts.place(text);
        self.happenings.push(Happening {
            at,
            place,
            kind,
            text,
        });
    }
}

/// A moment, and what arrives then.
pub(crate) type Arrival = (u64, Envelope);

impl World {
    /// Tells the recording, if there is one, what happened at a node.
    pub(crate) fn tell(&mut self, place: usize, what: What, words: impl FnOnce() -> String) {
        if let Some(recording) = &mut self.recording {
            recording.happened(self.now, Some(place), what, words());
        }
    }

    /// Tells the recording, if there is one, what happened to the group.
    pub(crate) fn tell_all(&mut self, what: What, words: impl FnOnce() -> String) {
        if let Some(recording) = &mut self.recording {
            recording.happened(self.now, None, what, words());
        }
    }
}

#[cfg(test)]
mod tests;
