//! What elections, agreements and idleness cost, in messages and bytes.

use super::group::Group;
use super::{ELECTION, each_seed};

#[test]
fn bytes_per_agreement() {
    each_seed(0..10, 3, |group| {
        group.one(3);
        let before = group.bytes();
        let mut commands = 0;
        for number in 2..=11 {
            let command = group.command(5000);
            commands += command.len() as u64;
            assert_eq!(group.agree(command, 3, false), number);
        }
        let (sent, expected) = (group.bytes() - before, 3 * commands);
        assert!(
            sent <= expected + 50_000,
            "{sent} bytes for {commands} of commands"
        );
        // What the course allows leaves room for a third copy; nobody needs one.
        assert!(sent <= 2 * commands + 50_000, "{sent} bytes");
    });
}

/// Commands in the measured part of `bounded_message_counts`.
const ROUND: u64 = 12;

fn agree_on_a_round(group: &mut Group, leader: usize) -> u64 {
    let before = group.requests();
    let term = group.term();
    let commands: Vec<_> = (0..ROUND).map(|_| group.command(8)).collect();
    let start = |command: &bytes::Bytes| group.start(leader, command.clone());
    let started: Vec<_> = commands.iter().map(start).collect();
    for (index, command) in started.into_iter().zip(&commands) {
        assert_eq!(&group.wait_for(index.expect("it leads"), 3), command);
    }
    assert_eq!(group.term(), term, "nobody failed");
    group.requests() - before
}

#[test]
fn bounded_message_counts() {
    each_seed(0..50, 3, |group| {
        let leader = group.leader();
        let election = group.requests();
        assert!((1..=30).contains(&election), "{election} for an election");

        let round = agree_on_a_round(group, leader);
        assert!(round <= (ROUND + 2) * 3, "{round} for {ROUND} agreements");

        let before = group.requests();
        group.wait(ELECTION);
        let idle = group.requests() - before;
        assert!(idle <= 3 * 20, "{idle} in an idle second");
    });
}
