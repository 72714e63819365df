//! Agreement while nodes fail and come back.

use super::{ELECTION, each_seed};

#[test]
fn basic_agreement() {
    each_seed(0..10, 3, |group| {
        for number in 1..=3 {
            let before = group.commands_applied();
            assert_eq!(before, number - 1, "nobody has asked for more");
            assert_eq!(group.one(3), number);
        }
    });
}

#[test]
fn follower_failure() {
    each_seed(0..10, 3, |group| {
        group.one(3);
        let leader = group.leader();
        let (first, second) = (group.after(leader, 1), group.after(leader, 2));
        group.disconnect(first);
        group.one(2);
        group.wait(ELECTION);
        group.one(2);

        let leader = group.leader();
        group.disconnect_all([first, second]);
        let index = group.start_any(leader).expect("it leads");
        assert_eq!(group.commands_up_to(leader, index), 4);
        group.wait(2 * ELECTION);
        assert_eq!(group.committed(index).0, 0, "one of three agreed");
        assert_eq!(group.commands_applied(), 3);
    });
}

#[test]
fn leader_failure() {
    each_seed(0..10, 3, |group| {
        group.one(3);
        let first = group.leader();
        group.disconnect(first);
        group.one(2);
        group.wait(ELECTION);
        group.one(2);

        let second = group.leader();
        group.disconnect(second);
        for place in 0..3 {
            group.start_any(place);
        }
        group.wait(2 * ELECTION);
        assert_eq!(group.commands_applied(), 3, "one of three agreed");
    });
}

#[test]
fn agreement_after_reconnect() {
    each_seed(0..10, 3, |group| {
        group.one(3);
        let leader = group.leader();
        let follower = group.after(leader, 1);
        group.disconnect(follower);
        group.one(2);
        group.one(2);
        group.wait(ELECTION);
        group.one(2);
        group.one(2);

        group.connect(follower);
        group.one_with_retries(3);
        group.wait(ELECTION);
        group.one_with_retries(3);
    });
}

#[test]
fn no_agreement_without_a_majority() {
    each_seed(0..10, 5, |group| {
        group.one(5);
        let leader = group.leader();
        let away = [1, 2, 3].map(|step| group.after(leader, step));
        group.disconnect_all(away);
        let index = group.start_any(leader).expect("it leads");
        assert_eq!(group.commands_up_to(leader, index), 2);
        group.wait(2 * ELECTION);
        assert_eq!(group.committed(index).0, 0, "two of five agreed");

        group.connect_all(away);
        let leader = group.leader();
        let index = group.start_any(leader).expect("it leads");
        let number = group.commands_up_to(leader, index);
        assert!((2..=3).contains(&number), "{number} commands");
        group.one_with_retries(5);
    });
}

#[test]
fn concurrent_starts() {
    each_seed(0..20, 3, |group| {
        let leader = group.leader();
        let term = group.term();
        let commands: Vec<_> = (0..5).map(|_| group.command(8)).collect();
        let start = |command: &bytes::Bytes| group.start(leader, command.clone());
        let started: Vec<_> = commands.iter().map(start).collect();

        let mut agreed = Vec::new();
        for index in started {
            agreed.push(group.wait_for(index.expect("it leads"), 3));
        }
        assert_eq!(group.term(), term, "nobody failed");
        assert_eq!(agreed, commands, "each stands where its client was told");
    });
}
