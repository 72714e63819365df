//! All replicas of a user's state machine in a run: what happens to which, and when
//! their states are compared.

use std::collections::BTreeMap;
use std::fmt;

use super::super::checker::Check;
use super::super::machine::Job;
use super::super::random::{Concern, Random};
use super::super::report::Violation;
use super::super::workload::value_of;
use super::UserMachines;
use super::executor::complete;
use super::history::{History, Who};
use super::replica::{DETERMINISTIC, MOMENT, Replica, read_on};
use crate::entry::LogSlice;
use crate::membership::Membership;
use crate::snapshot::{SnapshotMeta, SnapshotReader};
use crate::testing::conformance::state_machine::StateMachineHarness;
use crate::types::{LogIndex, NodeId};

/// A snapshot that may not be read to its end yet.
struct Taken {
    by: usize,
    meta: SnapshotMeta,
    reader: Option<Box<dyn SnapshotReader>>,
    bytes: Vec<u8>,
}

/// The state machines of a run.
pub(super) struct Machines<H: StateMachineHarness> {
    /// Makes commands, and other places.
    harness: H,
    history: History,
    replicas: Vec<Replica<H>>,
    /// Stands for all where nobody's state is known yet.
    twin: Replica<H>,
    snapshots: Vec<Taken>,
    random: Random,
    /// States are compared at multiples of this, and batches end there.
    stride: u64,
    founders: Membership,
    counts: BTreeMap<&'static str, u64>,
}

impl<H: StateMachineHarness> fmt::Debug for Machines<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machines").finish_non_exhaustive()
    }
}

impl<H: StateMachineHarness> Machines<H> {
    pub(super) fn new(seed: u64, nodes: usize, founders: Membership, harness: H) -> Self {
        let mut random = Random::stream(seed, Concern::UserMachine);
        let replica = |number| Replica::new(Who::Node(NodeId::new(number)), harness.another());
        Self {
            history: History::default(),
            replicas: (1..=nodes as u64).map(replica).collect(),
            twin: Replica::new(Who::Twin, harness.another()),
            snapshots: Vec::new(),
            stride: [1, 4, 16, 64][random.position(4)],
            random,
            founders,
            counts: BTreeMap::new(),
            harness,
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn learn(&mut self, entries: &LogSlice) -> Check {
        let Self {
            history, harness, ..
        } = self;
        complete("command", async {
            history.learn(entries, |command| harness.command(value_of(command)));
        })
    }

    /// Brings a replica to `last`, in batches that end where states are compared.
    fn advance(&mut self, place: usize, last: LogIndex) -> Check {
        let replica = &mut self.replicas[place];
        while replica.last < last {
            let next = replica.last.get() / self.stride * self.stride + self.stride;
            let end = last.min(LogIndex::new(next));
            *self.counts.entry("entries applied").or_default() += end.get() - replica.last.get();
            replica.apply(&mut self.history, end)?;
            if end.get() == next {
                let duty = replica.duty_at(end);
                replica.compare(&mut self.history, duty)?;
                *self.counts.entry("states compared").or_default() += 1;
            }
            replica.reached();
        }
        Ok(())
    }

    /// Compares a replica's state with what the log up to there makes.
    fn compare(&mut self, place: usize, duty: &'static str) -> Check {
        let last = self.replicas[place].last;
        self.replay(last)?;
        self.replicas[place].compare(&mut self.history, duty)?;
        self.count("states compared");
        Ok(())
    }

    /// Finds out what the log up to `last` makes, if nobody has shown it.
    fn replay(&mut self, last: LogIndex) -> Check {
        if self.history.knows_state(last) {
            return Ok(());
        }
        if self.twin.last > last {
            self.twin = Replica::new(Who::Twin, self.harness.another());
        }
        if !self.twin.is_open() {
            self.twin.open(&self.history)?;
        }
        while self.twin.last < last {
            let next = self.twin.last.next();
            self.twin.apply(&mut self.history, next)?;
        }
        self.twin.reached();
        self.twin.compare(&mut self.history, DETERMINISTIC)
    }

    /// Reads a snapshot to its end.
    fn read(&mut self, number: usize) -> Result<(SnapshotMeta, Vec<u8>), Violation> {
        let taken = &mut self.snapshots[number];
        let who = self.replicas[taken.by].who;
        if let Some(mut reader) = taken.reader.take() {
            while read_on(who, &mut reader, &mut taken.bytes)? {}
        }
        Ok((taken.meta.clone(), taken.bytes.clone()))
    }

    /// What a node was in the middle of when it crashed: an apply of what is
    /// committed, or a restore of what others have.
    fn interrupt(&mut self, place: usize) -> Check {
        let last = self.replicas[place].last;
        if let Some(number) = self
            .newer_snapshot(last)
            .filter(|_| self.random.chance(5000))
        {
            self.count("crashes in a restore");
            let (meta, bytes) = self.read(number)?;
            return self.replicas[place].interrupt_restore(&meta, &bytes, &mut self.random);
        }
        if last < self.history.last() {
            self.count("crashes in an apply");
            let most = self.history.last().get() - last.get();
            let end = last.get() + self.random.between(1, most.min(20));
            let entries = self.history.slice(last, LogIndex::new(end));
            return self.replicas[place].interrupt_apply(entries, &mut self.random);
        }
        Ok(())
    }

    /// The latest snapshot, if it is of a moment behind `last`.
    fn newer_snapshot(&self, last: LogIndex) -> Option<usize> {
        let moment = |taken: &Taken| taken.meta.last_included.index;
        let taken = self.snapshots.iter().enumerate();
        let (number, latest) = taken.max_by_key(|(_, taken)| moment(taken))?;
        (moment(latest) > last).then_some(number)
    }

    /// A snapshot of a replica is, in another place, what the log makes.
    fn look_at_copy(&mut self, place: usize) -> Check {
        let replica = &mut self.replicas[place];
        let Who::Node(id) = replica.who else {
            return Ok(());
        };
        let mut snapshot = replica.snapshot(&self.history)?;
        let mut bytes = Vec::new();
        while read_on(replica.who, &mut snapshot.reader, &mut bytes)? {}
        let mut copy = Replica::new(Who::CopyOf(id), self.harness.another());
        copy.open(&self.history)?;
        copy.restore(&self.history, &snapshot.meta, &bytes, &mut self.random)?;
        copy.compare(&mut self.history, MOMENT)
    }
}

impl<H: StateMachineHarness> UserMachines for Machines<H> {
    fn start(&mut self, place: usize, applied: LogIndex) -> Check {
        let applies_again = self.replicas[place].open(&self.history)?;
        self.count("starts");
        if applies_again {
            self.count("starts that applied again");
        }
        self.compare(place, self.replicas[place].duty_after_crash())?;
        self.replicas[place].is_sound_again();
        // What a node lacks may come as a snapshot as well as from its log.
        let newer = self.newer_snapshot(self.replicas[place].last);
        if let Some(number) = newer.filter(|_| self.random.chance(4000)) {
            let is_whole = self.random.chance(6000);
            self.restore(place, number, is_whole)?;
        }
        self.advance(place, applied)
    }

    fn crash(&mut self, place: usize, job: Option<&Job>) -> Check {
        if !self.replicas[place].is_open() {
            return Ok(());
        }
        // What was being read has been sent; the simulator delivers it.
        for number in 0..self.snapshots.len() {
            if self.snapshots[number].by == place {
                self.read(number)?;
            }
        }
        if let Some(Job::Apply(batch)) = job {
            self.learn(&batch.entries)?;
        }
        if self.random.chance(7000) {
            self.interrupt(place)?;
        }
        self.replicas[place].crash(&mut self.random)
    }

    fn wipe(&mut self, place: usize) {
        let who = self.replicas[place].who;
        self.replicas[place] = Replica::new(who, self.harness.another());
    }

    fn apply(&mut self, place: usize, entries: &LogSlice) -> Check {
        self.learn(entries)?;
        let last = entries.last().unwrap_or_default().index;
        self.advance(place, last)
    }

    fn begin_checkpoint(&mut self, place: usize) -> Check {
        self.replicas[place].begin_checkpoint()
    }

    fn finish_checkpoint(&mut self, place: usize) -> Check {
        if self.replicas[place].finish_checkpoint()? {
            self.count("checkpoints");
            if self.random.chance(500) {
                self.snapshot(place)?;
            }
        }
        Ok(())
    }

    fn snapshot(&mut self, place: usize) -> Result<usize, Violation> {
        let replica = &mut self.replicas[place];
        let snapshot = replica.snapshot(&self.history)?;
        let mut meta = snapshot.meta;
        // The node says who belongs to the group, as it does in a running one.
        let known = self.history.standing(replica.last).membership;
        meta.membership = known.unwrap_or_else(|| self.founders.clone());
        let (mut reader, mut bytes) = (snapshot.reader, Vec::new());
        // The rest is read later, while applies go on.
        let mut may_have_more = true;
        for _ in 0..self.random.position(3) {
            may_have_more = may_have_more && read_on(replica.who, &mut reader, &mut bytes)?;
        }
        self.snapshots.push(Taken {
            by: place,
            meta,
            reader: Some(reader).filter(|_| may_have_more),
            bytes,
        });
        self.count("snapshots");
        Ok(self.snapshots.len() - 1)
    }

    fn restore(&mut self, place: usize, snapshot: usize, is_whole: bool) -> Check {
        let (meta, bytes) = self.read(snapshot)?;
        let replica = &mut self.replicas[place];
        // Not so far behind as the digest: it wants nothing of it.
        if meta.last_included.index <= replica.last {
            return Ok(());
        }
        if !is_whole {
            self.count("restores of a broken stream");
            let (replica, random) = (&mut self.replicas[place], &mut self.random);
            return replica.restore_broken(&self.history, &meta, &bytes, random);
        }
        replica.restore(&self.history, &meta, &bytes, &mut self.random)?;
        self.count("restores");
        self.compare(place, MOMENT)
    }

    fn audit(&mut self) -> Check {
        for place in 0..self.replicas.len() {
            if self.replicas[place].is_open() {
                self.compare(place, DETERMINISTIC)?;
                self.look_at_copy(place)?;
            }
        }
        Ok(())
    }

    fn cause(&self, found: Violation) -> Violation {
        if !found.property.starts_with("duty") || found.property == DETERMINISTIC {
            return found;
        }
        let twins = [Who::Twin, Who::OtherTwin];
        let mut twins = twins.map(|who| Replica::new(who, self.harness.another()));
        let mut history = self.history.untold();
        match agree(&mut twins, &mut history) {
            Err(difference) if difference.property == DETERMINISTIC => difference,
            _ => found,
        }
    }

    fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.clone()
    }
}

/// Checks that two replicas which never crash agree, one entry after the other.
fn agree<H: StateMachineHarness>(twins: &mut [Replica<H>; 2], history: &mut History) -> Check {
    for twin in twins.iter_mut() {
        twin.open(history)?;
    }
    while twins[0].last < history.last() {
        for twin in twins.iter_mut() {
            let next = twin.last.next();
            twin.apply(history, next)?;
            twin.compare(history, DETERMINISTIC)?;
        }
    }
    Ok(())
}
