//! What clients and operators are promised, what disks do, and the rest.

use super::*;

#[test]
fn p14_is_asked() {
    violates("P14 ", |world| {
        let replica = world.nodes[follower(world)].replica;
        world.checkers.amnesia.lost(replica);
        Ok(())
    });
}

#[test]
fn p15_is_asked() {
    violates("P15 ", |world| {
        // A command that no client is known to have proposed.
        let place = leader(world);
        let command = Bytes::copy_from_slice(&7_u64.to_le_bytes());
        let proposal = world.nodes[place].proposal(command);
        world.handle(place, crate::protocol::Input::Propose(vec![proposal]))
    });
}

#[test]
fn p16_is_asked_of_each_read() {
    violates("P16 ", |world| {
        world.checkers.reads.acknowledged(LogIndex::new(1 << 40));
        Ok(())
    });
}

#[test]
fn p16_is_asked_of_the_whole_history() {
    violates("P16 ", |world| {
        let request = RequestId {
            boot: 7,
            sequence: 7,
        };
        // Somebody reads what nobody wrote.
        let now = world.now;
        world.checkers.register.reads(request, now);
        let applied = world.checkers.committed.last().index;
        world
            .checkers
            .register
            .read(request, Some(123_456_789), applied, now);
        Ok(())
    });
}

#[test]
fn p17_is_asked() {
    violates("P17 ", |world| {
        world.phase = Phase::Faults;
        let (node, far) = (leader(world), Term::new(1 << 40));
        world.checkers.elections.leads(far, STRANGER)?;
        for at in 1..40 {
            world.schedule(at * 50 * MS, Event::LeaseRead { node });
        }
        Ok(())
    });
}

#[test]
fn p19_is_asked() {
    violates("P19 ", |world| {
        let place = leader(world);
        let limit = world.nodes[place]
            .raft
            .as_ref()
            .unwrap()
            .config()
            .max_uncommitted_bytes;
        let node = &mut world.nodes[place];
        let last = node.log.last();
        let request = RequestId {
            boot: 7,
            sequence: 7,
        };
        let large = |more| {
            let id = LogId::new(last.term.get(), last.index.get() + more);
            Entry::command(id, request, Bytes::from(vec![0; limit]))
        };
        let run = LogSlice::new(vec![large(1), large(2)]).unwrap();
        node.log.write(None, &run)?;
        Ok(())
    });
}

#[test]
fn p20_is_asked() {
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

#[test]
fn p20_is_asked_of_messages() {
    violates("P20 ", |world| {
        let place = follower(world);
        let node = &mut world.nodes[place];
        let next = node.machine.state.applied().next();
        for index in (0..50).map(|more| next.plus(more)) {
            node.disk.damaged.insert(index);
            world.checkers.corruption.found(node.replica, index);
        }
        Ok(())
    });
}

#[test]
fn p21_is_asked() {
    violates("P21 ", |world| {
        let (leader, follower) = (leader(world), follower(world));
        let node = &world.nodes[leader];
        let state = &node.machine.state;
        let image = crate::testing::sim::machine::SnapshotImage {
            last: state.last,
            digest: state.digest ^ 1,
            value: state.value,
            membership: node.raft.as_ref().unwrap().membership_at(state.applied()),
            log: std::sync::Arc::new(node.log.prefix(state.applied())),
            user_snapshot: None,
        };
        let tries = (1..20).map(|token| world.restored(follower, SnapshotToken(token), &image));
        tries.collect::<Result<(), _>>()
    });
}

#[test]
fn p22_is_asked() {
    let mut world = World::new(
        5,
        Plan {
            replicas: Some(3),
            calm: true,
            ..Plan::default()
        },
    );
    world.refinement = Some(Refinement::of(std::sync::Arc::new(world.founders.clone())));
    let id = world.nodes[0].replica;
    for node in 0..3 {
        world.start(node).unwrap();
    }
    let crash = Action::Crash {
        kept: 0,
        and_ballot: false,
    };
    world.note_action(id, crash).unwrap();
    let violation = world.run_until(3_000 * MS).unwrap_err();
    assert!(violation.property.starts_with("P22 "), "{violation}");
}

#[test]
fn what_operators_are_told_is_asked() {
    violates("what operators are told", |world| {
        // A transfer that no operator is known to have asked for.
        let place = leader(world);
        let ticket = world.nodes[place].next_ticket();
        let input = crate::protocol::Input::TransferLeadership { ticket, to: None };
        world.handle(place, input)
    });
}

#[test]
fn liveness_is_asked() {
    violates("liveness", |world| {
        // Somebody waits for an answer that never comes.
        let request = RequestId {
            boot: 7,
            sequence: 7,
        };
        let term = Term::new(1);
        world.checkers.operations.transfer_began(request, term);
        Ok(())
    });
}
