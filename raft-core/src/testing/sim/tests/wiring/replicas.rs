//! What replicas are checked for: P1 to P13.

use super::*;

#[test]
fn p1_is_asked() {
    violates("P1 ", |world| {
        let term = next_term(world);
        world.checkers.elections.leads(term, STRANGER)?;
        depose(world)
    });
}

#[test]
fn p2_is_asked() {
    violates("P2 ", |world| {
        let term = next_term(world);
        for place in 0..3 {
            let voter = crate::testing::sim::effects::voter(world.nodes[place].replica);
            world.checkers.votes.votes(voter, term, STRANGER)?;
        }
        depose(world)
    });
}

#[test]
fn p3_is_asked() {
    violates("P3 ", |world| {
        let leader = leader(world);
        for place in (0..3).filter(|place| *place != leader) {
            world.nodes[place].disk.hard_state.current_term = Term::new(99);
        }
        depose(world)
    });
}

#[test]
fn p4_is_asked() {
    violates("P4 ", |world| {
        let place = leader(world);
        let seen = world.nodes[place].seen.as_mut().unwrap();
        seen.log_digest ^= 1;
        Ok(())
    });
}

#[test]
fn p5_is_asked() {
    violates("P5 ", |world| {
        let mut log = world.nodes[leader(world)].log.clone();
        let last = log.last();
        let ahead =
            (1..50).map(|more| Entry::blank(LogId::new(last.term.get(), last.index.get() + more)));
        log.write(None, &LogSlice::new(ahead.collect()).unwrap())
            .unwrap();
        world
            .checkers
            .logs
            .appended(STRANGER, &log, last.index.next())
    });
}

#[test]
fn p6_is_asked() {
    violates("P6 ", |world| {
        let mut log = world.nodes[leader(world)].log.clone();
        append_forged(&mut log);
        depose(world)?;
        let commit = log.last().index;
        world.checkers.committed.reported(STRANGER, commit, &log)?;
        Ok(())
    });
}

#[test]
fn p6_is_asked_of_votes() {
    violates("P6 ", |world| {
        let old = leader(world);
        let (candidate, voter) = ((old + 1) % 3, (old + 2) % 3);
        world.crash(old, "crash")?;
        // It asks as who is at the beginning of its log, in a term that it voted in.
        let term = Term::new(50);
        let own = world.nodes[candidate].replica;
        let hard_state = &mut world.nodes[candidate].disk.hard_state;
        (hard_state.current_term, hard_state.voted_for) = (term, Some(own));
        let asks = |last_log| crate::message::Envelope {
            group: Default::default(),
            from: own,
            to: world.nodes[voter].replica,
            term,
            message: crate::message::Message::RequestVote(crate::message::RequestVote {
                last_log,
                leadership_transfer: true,
            }),
        };
        let (short, long) = (asks(LogId::new(1, 1)), asks(LogId::new(49, 1 << 40)));
        world.send(candidate, short)?;
        // On the way it comes to claim more.
        world.handle(voter, crate::protocol::Input::Message(long))
    });
}

#[test]
fn p6_is_asked_of_who_survives() {
    violates("P6 ", |world| {
        let place = follower(world);
        world.crash(place, "crash")?;
        // What it had last is of a later term than all that is to come.
        let disk = &mut world.nodes[place].disk;
        disk.hard_state.current_term = Term::new(99);
        let last = disk.log.last().index;
        let later = Entry::blank(LogId::new(99, last.get()));
        let run = LogSlice::new(vec![later]).unwrap();
        disk.log.write(Some(last), &run)?;
        Ok(())
    });
}

#[test]
fn p7_is_asked() {
    violates("P7 ", |world| {
        let place = leader(world);
        world.nodes[place].machine.state.digest ^= 1;
        Ok(())
    });
}

#[test]
fn p8_is_asked() {
    violates("P8 ", |world| {
        let forged = longer_history(world);
        let commit = forged.last().index;
        world
            .checkers
            .committed
            .reported(STRANGER, commit, &forged)?;
        Ok(())
    });
}

#[test]
fn p9_is_asked() {
    violates("P9 ", |world| {
        let leader = leader(world);
        for place in (0..3).filter(|place| *place != leader) {
            // What it has durable, it had as somebody else.
            let incarnation = &mut world.nodes[place].replica.incarnation;
            *incarnation = crate::types::Incarnation::new(7);
            world.nodes[place].machine.durable = Default::default();
        }
        world.checkers.replication = Default::default();
        Ok(())
    });
}

#[test]
fn p10_is_asked() {
    violates("P10 ", |world| {
        let place = follower(world);
        world.nodes[place].disk.hard_state.current_term = Term::new(0);
        Ok(())
    });
}

#[test]
fn p11_is_asked() {
    violates("P11 ", |world| {
        let place = follower(world);
        let seen = world.nodes[place].seen.as_mut().unwrap();
        seen.commit_index = LogIndex::new(1 << 40);
        Ok(())
    });
}

#[test]
fn p12_is_asked() {
    violates("P12 ", |world| {
        let (leader, follower) = (leader(world), follower(world));
        let replica = world.nodes[follower].replica;
        let ahead = FollowerStatus {
            replica,
            match_index: LogIndex::new(1 << 40),
            next_index: LogIndex::new((1 << 40) + 1),
            is_active: true,
            state: FollowerState::Replicate,
            latest_life: None,
        };
        let node = &world.nodes[leader];
        let (id, term) = (node.replica, node.seen.unwrap().term());
        world.checkers.replication.shows(id, term, &ahead, |_| true)
    });
}

#[test]
fn p12_is_asked_of_answers() {
    violates("P12 ", |world| {
        let (leader, follower) = (leader(world), follower(world));
        let node = &world.nodes[leader];
        // A heartbeat that its leader never sent.
        let forged = crate::message::Heartbeat {
            session: 77,
            round: 1 << 40,
            commit: LogIndex::ZERO,
        };
        let envelope = crate::message::Envelope {
            group: Default::default(),
            from: node.replica,
            to: world.nodes[follower].replica,
            term: node.seen.unwrap().term(),
            message: crate::message::Message::Heartbeat(forged),
        };
        world.handle(follower, crate::protocol::Input::Message(envelope))
    });
}

#[test]
fn p13_is_asked() {
    violates("P13 ", |world| {
        let place = follower(world);
        let node = &mut world.nodes[place];
        node.founders = Membership::of_ids(1..=4);
        node.seen.as_mut().unwrap().membership_index = LogIndex::new(1);
        Ok(())
    });
}
