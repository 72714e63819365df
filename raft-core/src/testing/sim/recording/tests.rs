//! A recording changes nothing, and says what was.

use std::collections::BTreeMap;

use super::super::world::World;
use super::super::{Aim, Plan, Report, run};
use super::watch::apply;
use super::*;

fn recorded(aim: Aim, seed: u64) -> Report {
    let plan = Plan {
        record: true,
        ..Plan::aimed(aim)
    };
    run(seed, plan)
}

fn recording(aim: Aim, seed: u64) -> Recording {
    *recorded(aim, seed).recording.unwrap()
}

#[test]
fn a_run_goes_the_same_way_with_a_recording_and_without() {
    for aim in Aim::ALL {
        for seed in 0..8 {
            let (plain, recorded) = (run(seed, Plan::aimed(aim)), recorded(aim, seed));

            assert_eq!(plain.trace_hash, recorded.trace_hash, "{aim}, seed {seed}");
            assert_eq!(plain.marks, recorded.marks, "{aim}, seed {seed}");
            assert!(plain.recording.is_none() && recorded.recording.is_some());
        }
    }
}

/// What the changes of a log add up to is the log that the node shows, at any moment.
#[test]
fn logs_are_as_long_as_nodes_say_whenever_they_say_so() {
    let recording = recording(Aim::Membership, 5);
    let mut logs = vec![Vec::new(); recording.nodes];
    let mut changes = recording.logs.iter().peekable();
    for (number, state) in recording.states.iter().enumerate() {
        while let Some(change) = changes.next_if(|change| change.at <= state.at) {
            apply(&mut logs[change.place], change);
        }
        // Of several at one moment, only the last is what the changes add up to.
        let mut later = recording.states[number + 1..].iter();
        let is_last = later.all(|next| next.at > state.at || next.place != state.place);
        if is_last {
            assert_eq!(
                logs[state.place].len() as u64,
                state.shown.last,
                "{state:?}"
            );
        }
    }
    assert!(recording.states.len() > 100);
}

/// As many as the report counts, and each either arrives later or is lost.
#[test]
fn every_message_is_there_with_its_way() {
    let report = recorded(Aim::Swarm, 42);
    let recording = report.recording.as_ref().unwrap();
    let of_kind = |is: fn(&Way) -> bool| {
        let messages = recording.messages.iter();
        messages.filter(|sent| is(&sent.way)).count() as u64
    };
    let snapshots = recording.messages.iter();
    let snapshots = snapshots
        .filter(|sent| recording.shapes.texts[sent.shape] == facts::SNAPSHOT)
        .count() as u64;

    let own = of_kind(|way| !way.copy && !way.replay) - snapshots;
    assert_eq!(own, report.messages.values().sum::<u64>());
    let fault = |name| report.faults.get(name).copied().unwrap_or(0);
    assert_eq!(of_kind(|way| way.copy), fault("message duplicated"));
    assert!(of_kind(|way| way.lost) >= fault("message lost"));
    let on_their_way = recording.messages.iter().filter(|sent| !sent.way.lost);
    for sent in on_their_way {
        assert!(sent.arrives_at > sent.at, "{sent:?}");
    }
}

/// Seeds with these faults show them where the page looks for them.
#[test]
fn faults_show_as_cuts_spells_and_happenings() {
    let mut found = BTreeMap::new();
    for seed in 0..30 {
        let recording = recording(Aim::Swarm, seed);
        let kinds = recording.happenings.iter().map(|h| h.kind.number());
        for kind in kinds {
            *found.entry(What::ALL[kind].1[2]).or_insert(0) += 1;
        }
        *found.entry("cut").or_insert(0) += recording.cuts.len();
        *found.entry("spell").or_insert(0) += recording.spells.len();
        for spell in &recording.spells {
            assert!(spell.from <= spell.until, "{spell:?}");
        }
    }
    for (_, [_, _, name]) in What::ALL {
        assert!(found.contains_key(name), "never met: {name}");
    }
    assert!(found["cut"] > 0 && found["spell"] > 0);
}

#[test]
fn what_is_too_much_is_forgotten_from_the_front() {
    let plan = Plan {
        record: true,
        ..Plan::default()
    };
    let whole = recording(Aim::Swarm, 42);
    let mut world = World::new(42, plan);
    world.recording.as_mut().unwrap().limit = 4000;
    world.run().unwrap();
    world.record();
    let part = world.recording.unwrap();

    assert!(!part.is_full() && part.forgotten > 0 && part.begins_at > 0);
    let count = |recording: &Recording| recording.messages.len() + recording.happenings.len();
    assert_eq!(count(&part) as u64 + part.forgotten, count(&whole) as u64);
    let last = |recording: &Recording| {
        let mut logs = vec![Vec::new(); recording.nodes];
        for change in &recording.logs {
            apply(&mut logs[change.place], change);
        }
        logs
    };
    assert_eq!(last(&part), last(&whole));
    for place in 0..part.nodes {
        let first = part.states.iter().find(|state| state.place == place);
        assert!(
            first.is_some_and(|state| state.at <= part.begins_at),
            "{place}"
        );
    }
}
