//! Clients at work while nodes are cut off, crash and come back.

use bytes::Bytes;

use super::group::Group;
use super::{ELECTION, MS, assert_met, each_seed};
use crate::types::LogIndex;

/// How long a client waits before it looks again, time after time.
const PATIENCE: [u64; 5] = [10 * MS, 20 * MS, 50 * MS, 100 * MS, 200 * MS];

const CLIENTS: u64 = 3;

/// A client that has one command after another agreed on, as far as it can.
struct Client {
    pause: u64,
    wakes_at: u64,
    /// Its command, where it stands, and how often it looked for it.
    waits_for: Option<(Bytes, LogIndex, usize)>,
    /// Its commands that it saw agreed on.
    agreed: Vec<Bytes>,
}

impl Client {
    fn new(number: u64) -> Self {
        Self {
            pause: (79 + 17 * number) * MS,
            wakes_at: 0,
            waits_for: None,
            agreed: Vec::new(),
        }
    }

    fn wake(&mut self, group: &mut Group) {
        let pause = match self.waits_for.take() {
            None => self.ask(group),
            Some((command, index, looks)) => self.look(group, command, index, looks),
        };
        self.wakes_at = group.now() + pause;
    }

    /// Asks everybody; the last who leads is the one that counts.
    fn ask(&mut self, group: &mut Group) -> u64 {
        let command = group.command(8);
        let mut started = None;
        for place in 0..group.size() {
            started = group.start(place, command.clone()).or(started);
        }
        let Some(index) = started else {
            return self.pause;
        };
        self.waits_for = Some((command, index, 0));
        PATIENCE[0]
    }

    fn look(&mut self, group: &Group, command: Bytes, index: LogIndex, looks: usize) -> u64 {
        let (holders, found) = group.committed(index);
        if holders > 0 {
            if found.as_ref() == Some(&command) {
                self.agreed.push(command);
            }
            return self.pause;
        }
        let Some(pause) = PATIENCE.get(looks + 1) else {
            return self.pause;
        };
        self.waits_for = Some((command, index, looks + 1));
        *pause
    }
}

/// Time passes, and clients go on.
fn pass(group: &mut Group, clients: &mut [Client], micros: u64) {
    let end = group.now() + micros;
    loop {
        let next = clients.iter().map(|client| client.wakes_at).min();
        let at = next.unwrap_or(end).clamp(group.now(), end);
        group.wait(at - group.now());
        if at == end {
            return;
        }
        let due = clients.iter_mut().filter(|client| client.wakes_at <= at);
        due.for_each(|client| client.wake(group));
    }
}

fn disturb(group: &mut Group) {
    if group.random.chance(2000) {
        let place = group.any();
        group.disconnect(place);
    }
    if group.random.chance(5000) {
        let place = group.any();
        group.restart(place);
        group.connect(place);
    }
    if group.random.chance(2000) {
        let place = group.any();
        if group.is_up(place) {
            group.crash(place);
        }
    }
}

fn churns(group: &mut Group) {
    let mut clients: Vec<_> = (0..CLIENTS).map(Client::new).collect();
    for _ in 0..20 {
        disturb(group);
        // Long enough for some elections, and too short for others.
        pass(group, &mut clients, ELECTION * 7 / 10);
    }
    group.wait(ELECTION);
    group.set_reliable();
    for place in 0..5 {
        group.restart(place);
        group.connect(place);
    }
    group.wait(ELECTION);
    group.one_with_retries(5);

    let held = group.commands_of(0, group.applied(0));
    let agreed = clients.iter().flat_map(|client| &client.agreed);
    let mut count = 0;
    for command in agreed {
        assert!(held.contains(&command), "an agreed command is gone");
        count += 1;
    }
    assert!(count > 0, "clients never got anything done");
}

#[test]
fn churn() {
    let total = each_seed(0..10, 5, churns);
    assert_met(&total, &["a leader crashed", "a log was truncated"]);
}

#[test]
fn unreliable_churn() {
    let total = each_seed(0..10, 5, |group| {
        group.set_unreliable();
        churns(group);
    });
    assert_met(&total, &["a leader crashed", "a log was truncated"]);
}
