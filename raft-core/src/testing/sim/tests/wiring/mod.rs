//! That each checker is asked: a run is tampered with, and the property must be the one
//! that is violated. A checker that is switched off, or never asked, fails here.
//!
//! Where a checker is told of things first and judges others by them, a test makes these
//! happen in the run, and leaves the telling to the world: that is a call, too.

mod damage;
mod lives;
mod promises;
mod replicas;
mod rules;

use bytes::Bytes;

use crate::entry::{Entry, LogSlice};
use crate::membership::Membership;
use crate::protocol::{FollowerState, FollowerStatus, SnapshotToken};
use crate::testing::sim::checker::Check;
use crate::testing::sim::disk::Write;
use crate::testing::sim::image::LogImage;
use crate::testing::sim::plan::{Faults, Plan};
use crate::testing::sim::report::Violation;
use crate::testing::sim::world::{Event, Phase, World};
use crate::types::{LogId, LogIndex, NodeId, ReplicaId, RequestId, Term};

/// Nobody of the run.
const STRANGER: NodeId = NodeId::new(9);

const MS: u64 = 1000;

/// A group of three that has a leader and clients, and no faults.
///
/// The specification is not beside it: it would be the first to object, and has tests of
/// its own here.
fn calm_world() -> World {
    calm_world_with(|_| {})
}

/// The same, prepared before anybody starts.
fn calm_world_with(prepare: impl FnOnce(&mut World)) -> World {
    let plan = Plan {
        replicas: Some(3),
        calm: true,
        ..Plan::default()
    };
    begun(World::new(5, plan), prepare)
}

/// It has a leader and clients.
fn begun(mut world: World, prepare: impl FnOnce(&mut World)) -> World {
    prepare(&mut world);
    for node in 0..world.nodes.len() {
        world.start(node).unwrap();
    }
    for client in 0..world.workload.clients() {
        world.schedule(client as u64 * MS, Event::Client(client));
    }
    world.run_until(1500 * MS).unwrap();
    assert!(world.nodes.iter().any(|node| node.leads()));
    world
}

fn leader(world: &World) -> usize {
    let leads = |node: &crate::testing::sim::node::Node| node.leads();
    world.nodes.iter().position(leads).expect("it was elected")
}

fn follower(world: &World) -> usize {
    (leader(world) + 1) % 3
}

fn next_term(world: &World) -> Term {
    world.nodes[leader(world)].seen.unwrap().term().next()
}

/// The run goes on for some seconds, to the last audit.
fn goes_on(world: &mut World) -> Check {
    world.run_until(world.now + 4_000 * MS)?;
    world.phase = Phase::Healed;
    world.faults = Faults::default();
    world.heal()?;
    world.clients_stop_at = world.now + 100 * MS;
    world.recover()?;
    world.audit()
}

fn violated_in(mut world: World, tamper: impl FnOnce(&mut World) -> Check) -> Violation {
    let outcome = tamper(&mut world).and_then(|()| goes_on(&mut world));
    outcome.expect_err("nobody noticed")
}

#[track_caller]
fn violates(property: &str, tamper: impl FnOnce(&mut World) -> Check) {
    let violation = violated_in(calm_world(), tamper);
    assert!(violation.property.starts_with(property), "{violation}");
}

/// Another leader must be elected.
fn depose(world: &mut World) -> Check {
    world.crash(leader(world), "crash")
}

/// What is committed, and one entry more that nobody has.
fn longer_history(world: &World) -> LogImage {
    let node = &world.nodes[leader(world)];
    let mut log = node.log.prefix(world.checkers.committed.last().index);
    append_forged(&mut log);
    log
}

fn append_forged(log: &mut LogImage) {
    let last = log.last();
    let forged = Entry::blank(LogId::new(last.term.get(), last.index.get() + 1));
    let run = LogSlice::new(vec![forged]).unwrap();
    log.write(None, &run).unwrap();
}

/// Follows the run until it met this situation.
fn run_until_met(world: &mut World, mark: &str) -> Check {
    for _ in 0..40_000 {
        if world.report.marks.contains_key(mark) {
            return Ok(());
        }
        world.run_until(world.now + MS / 10)?;
    }
    panic!("never met: {mark}");
}

#[test]
fn a_tampering_is_what_it_takes() {
    goes_on(&mut calm_world()).unwrap();
}
