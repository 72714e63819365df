//! What clients and operators are promised, what disks do, and the rest.

use super::*;

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

/// The leader's clock hardly moves any more and nobody hears of it, so that it trusts its
/// lease while the others elect another one. Answers where it is.
fn outlived_lease(world: &mut World) -> Result<usize, Violation> {
    let old = leader(world);
    // What its clock shows goes on from where it is.
    let shown = world.now - world.nodes[old].started_at;
    world.nodes[old].drift = -999_000;
    world.nodes[old].started_at = world.now.saturating_sub(shown * 1000);
    for other in (0..3).filter(|other| *other != old) {
        world.network.set_cut(old, other, true);
        world.network.set_cut(other, old, true);
    }
    let term = world.nodes[old].seen.unwrap().term();
    let is_newer = |node: &crate::testing::sim::node::Node| {
        node.leads() && node.seen.is_some_and(|seen| seen.term() > term)
    };
    while !world.nodes.iter().any(is_newer) {
        world.run_until(world.now + MS)?;
    }
    Ok(old)
}

#[test]
fn p17_is_asked_of_the_leaders_own_clients() {
    violates("P17 ", |world| {
        let node = outlived_lease(world)?;
        world.phase = Phase::Faults;
        world.schedule(0, Event::LeaseRead { node });
        Ok(())
    });
}

#[test]
fn p17_is_asked_of_answers_to_followers() {
    violates("P17 ", |world| {
        let old = outlived_lease(world)?;
        let asks = crate::message::ReadIndex {
            request: RequestId {
                boot: 7,
                sequence: 7,
            },
            lease: true,
        };
        let envelope = crate::message::Envelope {
            group: Default::default(),
            from: world.nodes[(old + 1) % 3].replica,
            to: world.nodes[old].replica,
            term: world.nodes[old].seen.unwrap().term(),
            message: crate::message::Message::ReadIndex(asks),
        };
        world.handle(old, crate::protocol::Input::Message(envelope))?;
        // Later it would serve clients of its own as well.
        panic!("nobody noticed the answer");
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
