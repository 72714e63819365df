//! One replica of a user's state machine: what is asked of it, and the duties that
//! its answers show it keeps or breaks.

use super::super::checker::Check;
use super::super::random::Random;
use super::super::report::Violation;
use super::executor::{complete, interrupt};
use super::history::{History, Who};
use crate::entry::{EntryKind, LogSlice};
use crate::error::StorageError;
use crate::snapshot::{Snapshot, SnapshotMeta, SnapshotReader};
use crate::state_machine::{AppliedState, CheckpointTask, StateMachine};
use crate::testing::conformance::chunks::{Chunks, take_apart};
use crate::testing::conformance::state_machine::StateMachineHarness;
use crate::types::LogIndex;

pub(super) const DETERMINISTIC: &str = "duty 1, deterministic";
const ONCE: &str = "duty 2, in order and once";
const ATOMIC: &str = "duty 3, atomic with its position";
const ONE_RESPONSE: &str = "duty 4, one response per entry";
const HONEST: &str = "duty 5, honest durability";
pub(super) const MOMENT: &str = "duty 6, snapshots are a moment";
const CHECKPOINTS: &str = "duty 7, checkpoints are honest";
const ALL_OR_NOTHING: &str = "duty 8, restore is all or nothing";

/// A state machine and the place it is kept in, through all its lives.
pub(super) struct Replica<H: StateMachineHarness> {
    pub(super) who: Who,
    place: H,
    /// The state machine, while the node runs.
    machine: Option<H::Machine>,
    /// The last entry applied in this life.
    pub(super) last: LogIndex,
    /// The last entry applied in any life; what lies below comes again.
    furthest: LogIndex,
    /// It has stopped, started again, and applied no command since.
    has_just_restarted: bool,
    /// What it said to be durable, and the duty that makes that binding.
    promised: (LogIndex, &'static str),
    /// A checkpoint under way, and what it must reach.
    checkpoint: Option<(LogIndex, CheckpointTask)>,
    /// The last crash came in a restore.
    crashed_in_restore: bool,
}

impl<H: StateMachineHarness> Replica<H> {
    pub(super) fn new(who: Who, place: H) -> Self {
        Self {
            who,
            place,
            machine: None,
            last: LogIndex::ZERO,
            furthest: LogIndex::ZERO,
            has_just_restarted: false,
            promised: (LogIndex::ZERO, HONEST),
            checkpoint: None,
            crashed_in_restore: false,
        }
    }

    /// Opens the state machine, and checks that it stands where it may. Answers
    /// whether it has to apply again.
    pub(super) fn open(&mut self, history: &History) -> Result<bool, Violation> {
        let what = format!("{}: open", self.who);
        self.machine = Some(complete(&what, self.place.open())?);
        let left = self.applied()?.last_applied.index;
        let (promised, duty) = self.promised;
        let who = self.who;
        if left < promised {
            let reason =
                format!("{who} said that {promised} is durable, a crash left it at {left}");
            return Err(Violation::new(duty, reason));
        }
        if left > self.furthest {
            let reason = format!(
                "{who} stands at {left} after a crash, and never got past {}",
                self.furthest
            );
            return Err(Violation::new(ATOMIC, reason));
        }
        self.last = left;
        self.has_just_restarted = self.furthest > LogIndex::ZERO;
        self.check_standing(history, self.duty_after_crash())?;
        Ok(left < self.furthest)
    }

    /// The duty that a wrong state after a crash breaks.
    pub(super) const fn duty_after_crash(&self) -> &'static str {
        match self.crashed_in_restore {
            true => ALL_OR_NOTHING,
            false => ATOMIC,
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        self.machine.is_some()
    }

    fn machine(&mut self) -> &mut H::Machine {
        let open = self.machine.as_mut();
        open.expect("a node that runs has opened its state machine")
    }

    /// What it holds now.
    pub(super) fn contents(&mut self) -> Result<Vec<u8>, Violation> {
        let what = format!("{}: contents at {}", self.who, self.last);
        let machine = self.machine.as_mut().expect("it is open");
        complete(&what, self.place.contents(machine))
    }

    /// Compares what it holds with what others hold there.
    pub(super) fn compare(&mut self, history: &mut History, duty: &'static str) -> Check {
        let contents = self.contents()?;
        history.holds(self.last, self.who, contents, duty)
    }

    fn applied(&mut self) -> Result<AppliedState, Violation> {
        let what = format!("{}: applied", self.who);
        let applied = complete(&what, self.machine().applied())?;
        succeeds(&what, applied)
    }

    /// Checks that it stands where the log says, with the membership in force there.
    fn check_standing(&mut self, history: &History, duty: &'static str) -> Check {
        let found = self.applied()?;
        let expected = history.standing(self.last);
        let agrees = found.last_applied == expected.last_applied
            && (expected.membership.is_none() || found.membership == expected.membership);
        if agrees {
            return Ok(());
        }
        let reason = format!(
            "{} says at {} that it stands at {found:?}, the log says {expected:?}",
            self.who, self.last
        );
        Err(Violation::new(duty, reason))
    }

    /// Remembers what it says to be durable.
    fn note_durable(&mut self, duty: &'static str) -> Check {
        let what = format!("{}: durable_applied", self.who);
        let machine = self.machine();
        let durable = complete(&what, async { machine.durable_applied() })?;
        if durable > self.last {
            let reason = format!(
                "{} calls {durable} durable and has applied up to {}",
                self.who, self.last
            );
            return Err(Violation::new(duty, reason));
        }
        self.promise(durable, duty);
        Ok(())
    }

    fn promise(&mut self, durable: LogIndex, duty: &'static str) {
        if durable > self.promised.0 {
            self.promised = (durable, duty);
        }
    }

    /// Applies what comes next, up to `last`.
    pub(super) fn apply(&mut self, history: &mut History, last: LogIndex) -> Check {
        let entries = history.slice(self.last, last);
        let kinds: Vec<_> = entries.entries().iter().map(|e| e.kind()).collect();
        let has_command = kinds.contains(&EntryKind::Command);
        let what = format!("{}: apply of {} up to {last}", self.who, self.last.next());
        let answers = complete(&what, self.machine().apply(entries))?;
        let answers = succeeds(&what, answers)?;
        if answers.len() != kinds.len() {
            let reason = format!("{what}: {} answers", answers.len());
            return Err(Violation::new(ONE_RESPONSE, reason));
        }
        let mut index = self.last;
        for (kind, answer) in kinds.into_iter().zip(answers) {
            index = index.next();
            if kind != EntryKind::Command && !answer.is_empty() {
                let reason = format!("{what}: {index} is no command, and is answered {answer:?}");
                return Err(Violation::new(ONE_RESPONSE, reason));
            }
            history.answered(index, self.who, answer, self.duty_at(index))?;
        }
        self.last = last;
        self.has_just_restarted &= !has_command;
        self.check_standing(history, ATOMIC)?;
        self.note_durable(HONEST)
    }

    /// The duty that a difference at `index` breaks: what was applied before a crash
    /// comes again, and what comes first after one is no exception.
    pub(super) fn duty_at(&self, index: LogIndex) -> &'static str {
        match index <= self.furthest || self.has_just_restarted {
            true => ONCE,
            false => DETERMINISTIC,
        }
    }

    /// Nothing that was applied so far comes again without a crash.
    pub(super) fn reached(&mut self) {
        self.furthest = self.furthest.max(self.last);
    }

    /// Begins a checkpoint.
    pub(super) fn begin_checkpoint(&mut self) -> Check {
        let what = format!("{}: checkpoint at {}", self.who, self.last);
        let task = complete(&what, self.machine().checkpoint())?;
        self.checkpoint = Some((self.last, succeeds(&what, task)?));
        Ok(())
    }

    /// Carries a checkpoint to its end. Answers whether there was one.
    pub(super) fn finish_checkpoint(&mut self) -> Result<bool, Violation> {
        let Some((from, task)) = self.checkpoint.take() else {
            return Ok(false);
        };
        let what = format!("{}: the checkpoint begun at {from}", self.who);
        let named = succeeds(&what, complete(&what, task)?)?;
        if named < from || named > self.last {
            let reason = format!("{what} names {named}; {} is applied by now", self.last);
            return Err(Violation::new(CHECKPOINTS, reason));
        }
        self.promise(named, CHECKPOINTS);
        self.note_durable(HONEST)?;
        Ok(true)
    }

    /// Prepares a snapshot of this moment.
    pub(super) fn snapshot(&mut self, history: &History) -> Result<Snapshot, Violation> {
        let what = format!("{}: snapshot at {}", self.who, self.last);
        let snapshot = complete(&what, self.machine().snapshot())?;
        let snapshot = succeeds(&what, snapshot)?;
        let expected = history.standing(self.last);
        let meta = &snapshot.meta;
        let membership = expected.membership.as_ref().unwrap_or(&meta.membership);
        if meta.last_included != expected.last_applied || meta.membership != *membership {
            let reason = format!("{what} says that it is of {meta:?}, the log says {expected:?}");
            return Err(Violation::new(MOMENT, reason));
        }
        Ok(snapshot)
    }

    /// Takes a snapshot's place, whole.
    pub(super) fn restore(
        &mut self,
        history: &History,
        meta: &SnapshotMeta,
        bytes: &[u8],
        random: &mut Random,
    ) -> Check {
        let last = meta.last_included.index;
        let what = format!("{}: restore of a snapshot at {last}", self.who);
        let size = [3, 100, 4096, 1 << 20][random.position(4)].max(bytes.len() / 1000);
        let reader = take_apart(bytes, size);
        let restored = complete(&what, self.machine().restore(meta.clone(), reader))?;
        if let Err(error) = restored {
            let reason = format!("{what} fails on a whole stream: {}", causes(&error));
            return Err(Violation::new(ALL_OR_NOTHING, reason));
        }
        self.last = last;
        self.reached();
        self.promise(last, ALL_OR_NOTHING);
        self.check_standing(history, ALL_OR_NOTHING)?;
        self.note_durable(ALL_OR_NOTHING)
    }

    /// Is given a stream that breaks: the old state stays.
    pub(super) fn restore_broken(
        &mut self,
        history: &History,
        meta: &SnapshotMeta,
        bytes: &[u8],
        random: &mut Random,
    ) -> Check {
        let before = self.contents()?;
        let last = meta.last_included.index;
        let what = format!("{}: restore of a broken snapshot at {last}", self.who);
        let size = bytes.len().div_ceil(5).max(1);
        let reader = Box::new(Chunks::broken(bytes, size, random.position(4)));
        let restored = complete(&what, self.machine().restore(meta.clone(), reader))?;
        let problem = match restored {
            Ok(()) => "succeeds, though the stream broke".to_owned(),
            Err(_) if self.contents()? != before => {
                format!("changed the state, which was at {}", self.last)
            }
            Err(_) => return self.check_standing(history, ALL_OR_NOTHING),
        };
        Err(Violation::new(ALL_OR_NOTHING, format!("{what} {problem}")))
    }

    /// A crash comes into an apply of `entries`.
    pub(super) fn interrupt_apply(&mut self, entries: LogSlice, random: &mut Random) -> Check {
        let Some(last) = entries.last() else {
            return Ok(());
        };
        let what = format!("{}: apply up to {}", self.who, last.index);
        let polls = random.between(1, 30);
        interrupt(&what, self.machine().apply(entries), polls)?;
        self.furthest = self.furthest.max(last.index);
        Ok(())
    }

    /// A crash comes into a restore.
    pub(super) fn interrupt_restore(
        &mut self,
        meta: &SnapshotMeta,
        bytes: &[u8],
        random: &mut Random,
    ) -> Check {
        let last = meta.last_included.index;
        let what = format!("{}: restore of a snapshot at {last}", self.who);
        let reader = Box::new(Chunks::slow(bytes, bytes.len().div_ceil(4).max(1)));
        let call = self.machine().restore(meta.clone(), reader);
        let restored = interrupt(&what, call, random.between(1, 6))?;
        self.furthest = self.furthest.max(last);
        self.crashed_in_restore = true;
        if matches!(restored, Some(Ok(()))) {
            self.promise(last, ALL_OR_NOTHING);
        }
        Ok(())
    }

    /// Ends this life: what was not durable may be gone.
    pub(super) fn crash(&mut self, random: &mut Random) -> Check {
        let who = self.who;
        let what = format!("{who}: durable_applied");
        if let Some((_, task)) = self.checkpoint.take() {
            interrupt(
                &format!("{who}: a checkpoint"),
                task,
                random.between(1, 4) - 1,
            )?;
        }
        let Some(machine) = self.machine.take() else {
            return Ok(());
        };
        // What it says at its last moment holds as well.
        let durable = complete(&what, async { machine.durable_applied() })?;
        self.promise(durable, HONEST);
        complete(&format!("{who}: crash"), self.place.crash(machine))
    }

    /// The state after a crash was looked at.
    pub(super) const fn is_sound_again(&mut self) {
        self.crashed_in_restore = false;
    }
}

/// Reads one more chunk into `bytes`. Answers whether there may be more.
pub(super) fn read_on(
    who: Who,
    reader: &mut Box<dyn SnapshotReader>,
    bytes: &mut Vec<u8>,
) -> Result<bool, Violation> {
    const MOST: usize = 1 << 20;
    let what = format!("{who}: reading a snapshot");
    let chunk = succeeds(&what, complete(&what, reader.next_chunk())?)?;
    let Some(chunk) = chunk else {
        return Ok(false);
    };
    if chunk.len() > MOST {
        let reason = format!("{what}: a chunk of {} bytes is above {MOST}", chunk.len());
        return Err(Violation::new(MOMENT, reason));
    }
    bytes.extend_from_slice(&chunk);
    Ok(true)
}

/// Nothing in the simulator keeps a state machine from doing what it is asked.
fn succeeds<T>(what: &str, result: Result<T, StorageError>) -> Result<T, Violation> {
    result.map_err(|error| {
        let reason = format!("{what} fails: {}", causes(&error));
        Violation::new("calls succeed", reason)
    })
}

fn causes(error: &StorageError) -> String {
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}
