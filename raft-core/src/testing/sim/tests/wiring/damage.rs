//! P20: what replicas know of damage, and what they call durable.

use super::*;
use crate::protocol::Input;

#[test]
fn p20_is_asked_of_repairs() {
    violates("P20 ", |world| {
        let place = follower(world);
        let disk = &mut world.nodes[place].disk;
        let damaged = LogIndex::new(2);
        let original = disk.log.entry(damaged).unwrap();
        let request = RequestId {
            boot: 7,
            sequence: 7,
        };
        let forged = Entry::command(original.log_id, request, Bytes::new());
        disk.damaged.insert(damaged);
        let run = LogSlice::new(vec![forged]).unwrap();
        if disk.begin(Write::Repair(run)) {
            world.schedule_disk(place);
        }
        Ok(())
    });
}

/// Once somebody sent the replica a copy of a damaged entry, it is told that the entry is
/// whole again, while its disk hangs and has nothing but the damage.
fn pretend_whole(world: &mut World, place: usize, index: LogIndex) -> Check {
    world.nodes[place].disk.stalled_until = world.now + 10_000 * MS;
    let entry = world.nodes[place].disk.log.entry(index);
    let log_id = entry.expect("the damage keeps its place").log_id;
    for _ in 0..1000 {
        world.handle(place, Input::Repaired(log_id))?;
        world.run_until(world.now + MS / 10)?;
    }
    Ok(())
}

#[test]
fn p20_is_asked_of_who_starts_with_damage() {
    violates("P20 ", |world| {
        let place = follower(world);
        world.crash(place, "crash")?;
        let disk = &mut world.nodes[place].disk;
        let last = disk.log.last().index;
        disk.damaged.insert(last);
        world.start(place)?;
        pretend_whole(world, place, last)
    });
}

#[test]
fn p20_is_asked_of_who_finds_damage() {
    // Nothing is kept in memory, so that what is applied is read.
    let world = calm_world_with(|world| world.config.cache_bytes = 0);
    let violation = violated_in(world, |world| {
        let place = follower(world);
        let next = world.nodes[place].log.last().index.next();
        for index in (0..50).map(|more| next.plus(more)) {
            world.nodes[place].disk.damaged.insert(index);
        }
        run_until_met(world, "a damaged entry was found")?;
        let applied = world.nodes[place].machine.state.applied();
        pretend_whole(world, place, applied.next())
    });
    assert!(violation.property.starts_with("P20 "), "{violation}");
}
