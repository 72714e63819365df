//! All that can happen to a small group, tried out.
//!
//! The simulator goes far along ways that seeds draw; this goes every way, as far as
//! it reaches. Three replicas of the real protocol, each with a disk, and the messages
//! under way are one state. What can happen next is a choice: a
//! message arrives, whichever it is; a disk finishes its oldest write; a deadline comes;
//! a replica crashes, keeping any beginning of what it wrote, and starts again; a leader
//! gets a command. [`explore`] follows every choice from every state, to a depth, and
//! has each step explained by the specification, whose rules include what Raft promises.
//!
//! Two states are one if replicas, disks, messages, the specification beside them and
//! what is left of the scope are all the same, in every field. They are told apart by 64
//! bits of a hash: among a hundred million states, that two different ones count as one
//! has a chance of about 1 to 4000.
//!
//! What keeps it small, and what that leaves out: a message arrives once or not at
//! all (the simulator repeats them); a state machine applies at once; nobody leaves or
//! joins; there are no snapshots; deadlines come in any order, but only so often as
//! [`Scope`] says. The first replica whose deadline comes is called 1, because all three
//! are alike.

mod beginning;
mod fingerprint;
mod node;
mod search;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

pub use search::explore;

/// How much may happen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Scope {
    /// Where it begins.
    pub from: Beginning,
    /// How many things happen one after the other.
    pub depth: u8,
    /// Nobody campaigns in a later term.
    pub terms: u64,
    /// No log gets longer by a command.
    pub entries: u64,
    /// How many replicas crash.
    pub crashes: u8,
    /// How many deadlines come.
    pub deadlines: u8,
    /// How often a replica that heard a leader forgets about it.
    pub silences: u8,
}

/// Where an exploration begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Beginning {
    /// Three empty replicas that hear no leader.
    Start,
    /// Replica 1 leads term 1, and its blank entry is durable everywhere.
    Leader,
    /// Then replica 1 has entries that nobody else got, and replica 2 was elected in term 2
    /// by replica 3, just now.
    Contest,
}

impl Beginning {
    /// The name, as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Leader => "leader",
            Self::Contest => "contest",
        }
    }

    /// All of them.
    pub const ALL: [Self; 3] = [Self::Start, Self::Leader, Self::Contest];
}

impl Default for Scope {
    /// Two terms, three entries, one crash.
    fn default() -> Self {
        Self {
            from: Beginning::Start,
            depth: 10,
            terms: 2,
            entries: 3,
            crashes: 1,
            deadlines: 3,
            silences: 2,
        }
    }
}

/// What an exploration came to.
#[derive(Clone, Debug, Default)]
pub struct Exploration {
    /// Different states.
    pub states: u64,
    /// Choices followed, to states that were new or not.
    pub transitions: u64,
    /// How often each action of the specification happened on the way to a new state.
    pub actions: BTreeMap<&'static str, u64>,
    /// All states within the depth were visited.
    pub is_complete: bool,
    /// The first step that no rule allows.
    pub violation: Option<Counterexample>,
}

/// How to get to a step that no rule allows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Counterexample {
    /// What happened, from the beginning.
    pub choices: Vec<String>,
    /// The rule, and what speaks against it.
    pub reason: String,
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, choice) in self.choices.iter().enumerate() {
            writeln!(f, "{:>3}  {choice}", place + 1)?;
        }
        write!(f, "     {}", self.reason)
    }
}
