//! Raft as we run it, as an executable specification: what each replica may do,
//! and nothing of how it does it.
//!
//! A [`Group`] is the whole state that matters for safety: of each replica what it
//! acts by, what its disk holds and what is on its way there; and of the past what
//! was ever said. An [`Action`] is one thing that happens. [`Group::step`] carries it
//! out, or refuses it with the rule that it breaks.
//!
//! **The network is what was ever said.** Messages may be lost, late, repeated and in
//! any order, so the rules only ask whether something was said at some time. That is
//! [`History`]: votes, copies that are durable, leaderships and what they committed.
//!
//! **Durable and volatile are separate.** A change is acted by at once, asked of the
//! disk in the same step, and durable later. A crash keeps any beginning of what was
//! asked for. What is said about durability must be true when it is said.
//!
//! The rooms: `elections`, `replication`, `durability`, `membership` and `saying` hold
//! the rules, each with its section of the paper; `replica`, `log` and `history` what
//! they are about.
//!
//! Left out, on purpose: how followers are found to lag and are brought up to date
//! (any order is allowed that keeps these rules), forwarding, sizes, bit rot (the
//! checker of P20 knows what was damaged), reads by rounds (P16 judges them by what
//! clients saw), and time, but for one thing: a vote is refused for the shortest
//! election timeout after a leader was heard. That a leader *must* step down when it
//! hears no quorum is liveness; here it may at any time.

mod action;
mod durability;
mod elections;
mod group;
mod history;
mod lines;
mod log;
mod membership;
mod replica;
mod replication;
mod saying;
#[cfg(test)]
mod tests;

pub(crate) use action::{Action, Counts, Fact, NAMES};
pub(crate) use group::{Group, Refused};
pub(crate) use lines::lines;
pub(crate) use log::{Item, Log};
pub(crate) use replica::{Ballot, Replica, Role, Write};
