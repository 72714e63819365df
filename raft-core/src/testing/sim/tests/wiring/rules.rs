//! P22: every step is told to the specification, and judged by it.

use super::*;
use crate::message::{Commit, Envelope, Message};
use crate::testing::refinement::Refinement;

/// With the specification beside it.
fn ruled_world() -> World {
    calm_world_with(rule)
}

fn rule(world: &mut World) {
    let founders = std::sync::Arc::new(world.founders.clone());
    world.refinement = Some(Refinement::of(founders));
}

/// The rules object, in these words: several hooks may.
#[track_caller]
fn breaks_a_rule(words: &str, tamper: impl FnOnce(&mut World) -> Check) {
    let violation = violated_in(ruled_world(), tamper);
    assert!(violation.property.starts_with("P22 "), "{violation}");
    assert!(violation.reason.contains(words), "{violation}");
}

#[test]
fn p22_is_asked_of_steps() {
    breaks_a_rule("may not say_would_vote", |world| {
        // The others are as patient with a silent leader as ever, and should be more so.
        let old = leader(world);
        for place in (0..3).filter(|place| *place != old) {
            world.nodes[place].patience = std::time::Duration::from_secs(3);
        }
        depose(world)
    });
}

#[test]
fn p22_is_asked_of_messages() {
    breaks_a_rule("may not say_leads", |world| {
        let (leader, follower) = (leader(world), follower(world));
        let node = &world.nodes[leader];
        let envelope = Envelope {
            group: Default::default(),
            from: node.replica,
            to: world.nodes[follower].replica,
            term: node.seen.unwrap().term(),
            message: Message::Commit(Commit {
                commit: LogIndex::new(1 << 40),
            }),
        };
        world.send(leader, envelope)
    });
}

#[test]
fn p22_is_asked_of_crashes() {
    breaks_a_rule("may not crash", |world| {
        let place = follower(world);
        append_forged(&mut world.nodes[place].disk.log);
        world.crash(place, "crash")
    });
}

#[test]
fn p22_is_asked_of_starts() {
    breaks_a_rule("starts with a log up to", |world| {
        let place = follower(world);
        world.crash(place, "crash")?;
        append_forged(&mut world.nodes[place].disk.log);
        Ok(())
    });
}

#[test]
fn p22_is_asked_of_state_machines_that_become_durable() {
    breaks_a_rule("may not state_durable", |world| {
        let node = follower(world);
        let machine = &mut world.nodes[node].machine;
        let mut ahead = machine.state.clone();
        ahead.last = LogId::new(ahead.last.term.get(), 1 << 40);
        machine.checkpoint = Some(ahead);
        let life = world.nodes[node].life;
        world.schedule(0, Event::CheckpointDone { node, life });
        Ok(())
    });
}

/// A follower stays away until the others have purged what it lacks, and the run goes on
/// to its end. What happens beside the protocol the specification only knows if it is
/// told: it would object to what follows.
fn keeps_to_the_rules(loses_its_vote: bool, met: &[&str]) {
    let mut world = calm_world_with(|world| {
        rule(world);
        world.config.checkpoint_entries = 3;
        world.config.keep_entries = 0;
        world.config.max_kept_entries = 0;
    });
    let place = follower(&world);
    world.phase = Phase::Faults;
    world.faults.lose_vote = if loses_its_vote { 10_000 } else { 0 };
    world.crash(place, "crash").unwrap();
    // What would start it again is of its former life.
    world.nodes[place].life += 1;
    world.run_until(world.now + 3_000 * MS).unwrap();
    world.start(place).unwrap();
    world.faults.lose_vote = 0;
    goes_on(&mut world).unwrap();
    for mark in met {
        assert!(world.report.marks.contains_key(mark), "not met: {mark}");
    }
}

#[test]
fn p22_knows_of_writes_applies_checkpoints_crashes_and_snapshots() {
    keeps_to_the_rules(false, &["a log was purged", "a snapshot was restored"]);
}

#[test]
fn p22_knows_of_lost_votes() {
    keeps_to_the_rules(true, &["a node lost its vote"]);
}

#[test]
fn p22_knows_of_state_machines_that_are_flushed() {
    // Nothing else makes them durable here.
    let mut world = calm_world_with(|world| {
        rule(world);
        world.config.checkpoint_entries = u64::MAX;
        world.config.checkpoint_bytes = u64::MAX;
    });
    let is_flushed = |place: &usize| {
        let durable = world.nodes[*place].machine.durable.applied();
        durable > LogIndex::ZERO && *place != leader(&world)
    };
    let place = (0..3).find(is_flushed).expect("a follower was flushed");
    world.crash(place, "crash").unwrap();
    world.start(place).unwrap();
    goes_on(&mut world).unwrap();
}
