//! The Raft protocol as a deterministic machine.
//!
//! [`Raft`] is one replica of one group. Everything that happens to it is an
//! [`Input`], everything it wants done is an [`Output`]; time is an argument and
//! randomness comes from a seed. Same inputs, same outputs, on every machine.
//!
//! Driving it:
//!
//! 1. `handle(now, input)` for whatever happened;
//! 2. `poll_output()` until it answers nothing, doing what it says;
//! 3. when `poll_timeout()` has come, `handle(now, Input::Tick)`.
//!
//! **Order of effects.** An output that claims something durable is not emitted
//! before the [`Input::Persisted`] that makes it true, so outputs may be carried
//! out in any order and at any speed, but for what [`Output`] says.
//!
//! What is deliberately absent: tasks, clocks, files, threads, ambient randomness.

pub mod event;
pub mod input;
pub mod output;
pub mod restore;
pub mod status;

pub use event::{Event, StepDownReason};
pub use input::{Input, Proposal, Ticket};
pub use output::{Apply, Output, Persist, PersistToken, ReadLog, ReadToken};
pub use restore::Restored;
pub use status::{FollowerStatus, RoleKind, Status};

use crate::config::Config;
use crate::entry::EntryMeta;
use crate::error::RestoreError;
use crate::time::Timestamp;
use crate::types::{LogIndex, Term};

/// One replica of one group.
#[derive(Debug)]
pub struct Raft {
    config: Config,
}

impl Raft {
    /// Builds a replica from its durable state, at time `now`.
    ///
    /// It starts as a follower that knows no leader. Until the shortest election
    /// timeout has passed it votes for nobody, because it may have heard from a
    /// leader right before it stopped.
    ///
    /// # Errors
    ///
    /// A configuration that cannot work, or durable state that contradicts itself.
    pub fn restore(
        config: Config,
        restored: Restored,
        now: Timestamp,
    ) -> Result<Self, RestoreError> {
        let _ = (&restored, now);
        config.validate()?;
        Ok(Self { config })
    }

    /// Takes in what happened, at time `now`. Time never runs backwards; an
    /// earlier `now` counts as the latest one seen.
    ///
    /// Nothing a peer or a client can put into `input` makes this panic.
    ///
    /// # Panics
    ///
    /// When the state contradicts Raft's safety properties: better to stop than to lose a write.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        let _ = (now, input);
    }

    /// The next thing to do, if any.
    pub fn poll_output(&mut self) -> Option<Output> {
        None
    }

    /// When to call `handle` with [`Input::Tick`] at the latest.
    pub fn poll_timeout(&self) -> Timestamp {
        Timestamp::ZERO
    }

    /// The replica at a glance. Costs an allocation while leading.
    pub fn status(&self) -> Status {
        unimplemented!("being written")
    }

    /// The term of the entry at `index`; nothing if the log does not reach
    /// there. The purged position itself is known.
    pub fn term_at(&self, index: LogIndex) -> Option<Term> {
        let _ = index;
        None
    }

    /// The configuration this replica runs with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The random number of this start, which its proposals carry in the log.
    pub fn boot(&self) -> u64 {
        0
    }
}

#[allow(dead_code)]
fn unused(_: EntryMeta) {}
