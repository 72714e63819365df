//! That each checker is asked: a run is tampered with, and the property must be the one
//! that is violated. A checker that is switched off, or never asked, fails here.

mod promises;
mod replicas;

use bytes::Bytes;

use crate::entry::{Entry, LogSlice};
use crate::membership::Membership;
use crate::protocol::{FollowerState, FollowerStatus, SnapshotToken};
use crate::testing::refinement::Refinement;
use crate::testing::sim::checker::Check;
use crate::testing::sim::disk::Write;
use crate::testing::sim::image::LogImage;
use crate::testing::sim::plan::Plan;
use crate::testing::sim::report::Violation;
use crate::testing::sim::world::{Event, Phase, World};
use crate::testing::spec::Action;
use crate::types::{LogId, LogIndex, NodeId, RequestId, Term};

/// Nobody of the run.
const STRANGER: NodeId = NodeId::new(9);

const MS: u64 = 1000;

/// A group of three that has a leader and clients, and no faults.
fn calm_world() -> World {
    let plan = Plan {
        replicas: Some(3),
        calm: true,
        ..Plan::default()
    };
    let mut world = World::new(5, plan);
    // The specification has a test of its own here; it would be the first to object.
    world.refinement = None;
    for node in 0..3 {
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

/// The run goes on for some seconds after `tamper`, to the last audit.
fn violated(tamper: impl FnOnce(&mut World) -> Check) -> Violation {
    let mut world = calm_world();
    let outcome = tamper(&mut world)
        .and_then(|()| world.run_until(world.now + 4_000 * MS))
        .and_then(|()| {
            world.phase = Phase::Healed;
            world.heal()?;
            world.clients_stop_at = world.now + 100 * MS;
            world.recover()?;
            world.audit()
        });
    outcome.expect_err("nobody noticed")
}

#[track_caller]
fn violates(property: &str, tamper: impl FnOnce(&mut World) -> Check) {
    let violation = violated(tamper);
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

#[test]
fn a_tampering_is_what_it_takes() {
    let mut world = calm_world();
    world.run_until(world.now + 4_000 * MS).unwrap();
    world.clients_stop_at = world.now;
    world.recover().unwrap();
    world.audit().unwrap();
}
