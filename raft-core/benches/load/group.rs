//! The load of the protocol alone: three replicas in one thread, in memory.
//!
//! Messages are moved by value, a write is durable at once and an applied command
//! does nothing, so that what remains is the protocol. Commands are slices of one
//! buffer, as those cut out of a client's frame are: nobody need copy them.

use std::time::Duration;

use bytes::Bytes;

use super::measure::Stopwatch;

/// How many replicas the group has.
pub(crate) const REPLICAS: usize = 3;

/// Three replicas of which the first leads, and the messages between them.
pub(crate) trait Group {
    /// Hands `batch` commands to the leader, the way it takes a batch best.
    fn propose(&mut self, commands: &[Bytes]);

    /// Hands the next replica in turn all messages that wait for it, and carries
    /// out what follows from them there. Answers whether there were any.
    fn deliver(&mut self) -> bool;

    /// Lets `time` pass for all replicas, and timers fire.
    fn pass(&mut self, time: Duration);

    /// How many commands each replica has applied.
    fn applied(&self) -> [u64; REPLICAS];

    /// How many messages were sent so far.
    fn messages(&self) -> u64;
}

/// What is proposed and when.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Shape {
    /// Bytes of a command.
    pub(crate) payload: usize,
    /// Commands of a batch.
    pub(crate) batch: usize,
    /// Batches under way at most. With one, the next is proposed when no message
    /// is in flight any more.
    pub(crate) depth: usize,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// Commands that all replicas applied.
    pub(crate) entries: u64,
    /// Messages sent.
    pub(crate) messages: u64,
    /// Time on the wall.
    pub(crate) wall: Duration,
    /// Time on a processor.
    pub(crate) cpu: Duration,
}

impl Sample {
    /// Entries a second on the wall.
    pub(crate) fn entries_per_second(&self) -> f64 {
        self.entries as f64 / self.wall.as_secs_f64()
    }

    /// Entries a second of processor time.
    pub(crate) fn entries_per_cpu_second(&self) -> f64 {
        self.entries as f64 / self.cpu.as_secs_f64()
    }

    /// Messages an entry.
    pub(crate) fn messages_per_entry(&self) -> f64 {
        self.messages as f64 / self.entries as f64
    }
}

/// A run without an answer after this much of the group's time does not end.
const PATIENCE: Duration = Duration::from_secs(60);
/// The group's time passes by this much a command: about what one takes.
const TIME_PER_COMMAND: Duration = Duration::from_micros(1);
/// Rounds between two looks at the clock, in commands.
const COMMANDS_PER_LOOK: usize = 4096;

/// One group under one load.
pub(crate) struct Load<G> {
    group: G,
    shape: Shape,
    commands: Vec<Bytes>,
    proposed: u64,
}

impl<G: Group> Load<G> {
    /// A load of this shape for a group that has a leader.
    pub(crate) fn new(group: G, shape: Shape) -> Self {
        let buffer = Bytes::from(vec![7; shape.payload * shape.batch]);
        let command = |at| buffer.slice(at * shape.payload..(at + 1) * shape.payload);
        Self {
            group,
            shape,
            commands: (0..shape.batch).map(command).collect(),
            proposed: 0,
        }
    }

    /// Runs for about `duration`.
    pub(crate) fn run_for(&mut self, duration: Duration) -> Sample {
        let batches = (COMMANDS_PER_LOOK / self.shape.batch).max(1);
        let (applied, messages) = (self.applied_by_all(), self.group.messages());
        let watch = Stopwatch::started();
        while watch.elapsed().0 < duration {
            self.run(batches);
        }
        let (wall, cpu) = watch.elapsed();
        Sample {
            entries: self.applied_by_all() - applied,
            messages: self.group.messages() - messages,
            wall,
            cpu,
        }
    }

    /// Has `batches` more batches committed and applied.
    pub(crate) fn run(&mut self, batches: usize) {
        for _ in 0..batches {
            self.await_room();
            self.group.propose(&self.commands);
            self.proposed += self.shape.batch as u64;
            let time = TIME_PER_COMMAND * u32::try_from(self.shape.batch).unwrap_or(u32::MAX);
            self.group.pass(time);
        }
    }

    /// Delivers messages until another batch may be under way.
    fn await_room(&mut self) {
        let is_alone = self.shape.depth == 1;
        let most = (self.shape.depth as u64 - 1) * self.shape.batch as u64;
        let mut waited = Duration::ZERO;
        while is_alone || self.proposed - self.group.applied()[0] > most {
            if self.group.deliver() {
                continue;
            }
            // Nothing is in flight: either all is done, or a timer must help.
            if self.proposed - self.group.applied()[0] <= most {
                return;
            }
            self.group.pass(Duration::from_millis(1));
            waited += Duration::from_millis(1);
            assert!(waited < PATIENCE, "the group commits nothing more");
        }
    }

    fn applied_by_all(&self) -> u64 {
        self.group.applied().into_iter().min().unwrap_or(0)
    }

    /// Lets the group finish: all that was proposed is applied by all replicas.
    pub(crate) fn finish(mut self) {
        let mut waited = Duration::ZERO;
        while self.applied_by_all() < self.proposed {
            if !self.group.deliver() {
                self.group.pass(Duration::from_millis(1));
                waited += Duration::from_millis(1);
                assert!(waited < PATIENCE, "a replica lacks entries for good");
            }
        }
    }
}
