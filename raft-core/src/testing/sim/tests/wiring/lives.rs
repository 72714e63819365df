//! P14: who lost what it had durable does not speak under its old name.

use super::*;

/// The node forgets that it is another replica by now, and starts as who it was.
fn starts_as(world: &mut World, place: usize, former: ReplicaId) -> Check {
    world.crash(place, "crash")?;
    world.faults.lose_vote = 0;
    world.nodes[place].replica = former;
    world.start(place)
}

#[test]
fn p14_is_asked_after_a_lost_vote() {
    violates("P14 ", |world| {
        let place = follower(world);
        let former = world.nodes[place].replica;
        world.phase = Phase::Faults;
        world.faults.lose_vote = 10_000;
        world.crash(place, "crash")?;
        world.start(place)?;
        assert_ne!(world.nodes[place].replica, former, "its vote was lost");
        starts_as(world, place, former)
    });
}

/// A group with a node that is no member of it.
fn world_with_a_stranger() -> World {
    let plan = || Plan {
        replicas: Some(3),
        ..Plan::default()
    };
    let mut seeds = (0..100).map(|seed| World::new(seed, plan()));
    let world = seeds.find(|world| world.nodes.len() > 3);
    begun(world.expect("some runs have spare nodes"), |_| {})
}

#[test]
fn p14_is_asked_after_a_wipe() {
    let violation = violated_in(world_with_a_stranger(), |world| {
        let before: Vec<_> = world.nodes.iter().map(|node| node.replica).collect();
        while !world.report.marks.contains_key("a removed node was wiped") {
            world.wipe_stranger()?;
        }
        let is_another = |place: &usize| world.nodes[*place].replica != before[*place];
        let place = (0..before.len()).find(is_another).expect("it was wiped");
        starts_as(world, place, before[place])?;
        let leader = &world.nodes[leader(world)];
        let heartbeat = crate::message::Heartbeat {
            session: 77,
            round: 1,
            commit: LogIndex::ZERO,
        };
        let envelope = crate::message::Envelope {
            group: Default::default(),
            from: leader.replica,
            to: before[place],
            term: leader.seen.unwrap().term(),
            message: crate::message::Message::Heartbeat(heartbeat),
        };
        world.handle(place, crate::protocol::Input::Message(envelope))
    });
    assert!(violation.property.starts_with("P14 "), "{violation}");
}
