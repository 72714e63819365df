//! Who writes: whoever sends little to an idle peer does so itself, a task all else.

use std::time::Duration;

use raft_core::{Message, Network};

use crate::support::{Random, append, heartbeat, pair};

/// Longer than what counts as one burst with what was sent before.
const APART: Duration = Duration::from_millis(1);

/// The runtime has one thread, so no task has run when the queue is looked at.
#[tokio::test]
async fn a_small_message_has_left_when_its_sender_goes_on() {
    let (one, two) = pair();
    one.reaches(&two, 1).await;
    for number in 2..5 {
        tokio::time::sleep(APART).await;
        let message = heartbeat(one.id, two.id, number);

        one.network.send(two.id, vec![message.clone()]);

        let status = one.network.peer_status(two.id).unwrap();
        assert_eq!(status.waiting_control, 0, "message {number}");
        two.inbox.wait_for(&message).await;
    }
}

#[tokio::test]
async fn a_large_message_is_left_to_the_task() {
    let (one, two) = pair();
    one.reaches(&two, 1).await;
    let message = append(one.id, two.id, 1, 100_000);

    one.network.send(two.id, vec![message.clone()]);

    let status = one.network.peer_status(two.id).unwrap();
    assert_eq!(status.waiting_append, 1);
    two.inbox.wait_for(&message).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn messages_of_one_class_arrive_in_their_order_whoever_writes_them() {
    const COUNT: u64 = 600;
    let (one, two) = pair();
    one.reaches(&two, 1).await;
    let mut random = Random(7);

    for index in 1..=COUNT {
        let size = [10, 2_000, 30_000][random.below(3)];
        one.network
            .send(two.id, vec![append(one.id, two.id, index, size)]);
        match random.below(4) {
            0 => tokio::time::sleep(APART).await,
            1 => tokio::task::yield_now().await,
            _ => {}
        }
    }

    let index_of = |message: &Message| match message {
        Message::AppendEntries(append) => append.previous.index.get() + 1,
        _ => 0,
    };
    two.inbox
        .wait("the last append", |all| {
            all.iter().any(|one| index_of(&one.message) == COUNT)
        })
        .await;
    let found = two.inbox.messages();
    let found: Vec<u64> = found.iter().map(|one| index_of(&one.message)).collect();
    let appends: Vec<u64> = found.into_iter().filter(|index| *index > 0).collect();
    assert_eq!(appends, (1..=COUNT).collect::<Vec<_>>());
}
