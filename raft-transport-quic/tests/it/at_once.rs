//! Who writes: whoever sends little to an idle peer does so itself, a task all else.

use std::time::Duration;

use raft_core::{Message, Network};

use crate::support::{Node, Random, append, heartbeat, pair, until};

/// Longer than what counts as one burst with what was sent before.
const APART: Duration = Duration::from_millis(1);

/// Two nodes, and one connection between them: of the two that they dial, one ends.
async fn settled_pair() -> (Node, Node) {
    let (one, two) = pair();
    one.reaches(&two, 0).await;
    until("one connection is left", || {
        one.network.open_connections() == 1 && two.network.open_connections() == 1
    })
    .await;
    one.reaches(&two, 1).await;
    (one, two)
}

fn index_of(message: &Message) -> Option<u64> {
    match message {
        Message::AppendEntries(append) => Some(append.previous.index.get() + 1),
        _ => None,
    }
}

/// All appends up to this one, in their order, and each whole.
async fn arrive(one: &Node, two: &Node, sizes: &[usize]) {
    let count = sizes.len() as u64;
    two.inbox
        .wait("the last append", |all| {
            all.iter().any(|one| index_of(&one.message) == Some(count))
        })
        .await;
    let found = two.inbox.messages();
    let found = found.iter().filter(|it| index_of(&it.message).is_some());
    let sent = (1..).zip(sizes);
    let sent = sent.map(|(index, size)| append(one.id, two.id, index, *size));
    assert!(found.cloned().eq(sent));
}

/// The runtime has one thread, so no task has run when the queue is looked at.
#[tokio::test]
async fn a_small_message_has_left_when_its_sender_goes_on() {
    let (one, two) = settled_pair().await;
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
    let (one, two) = settled_pair().await;
    let message = append(one.id, two.id, 1, 100_000);

    one.network.send(two.id, vec![message.clone()]);

    let status = one.network.peer_status(two.id).unwrap();
    assert_eq!(status.waiting_append, 1);
    two.inbox.wait_for(&message).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn messages_of_one_class_arrive_in_their_order_whoever_writes_them() {
    let (one, two) = settled_pair().await;
    let mut random = Random(7);
    let sizes: Vec<usize> = (0..600)
        .map(|_| [10, 2_000, 30_000][random.below(3)])
        .collect();

    for (index, size) in (1..).zip(&sizes) {
        let message = append(one.id, two.id, index, *size);
        one.network.send(two.id, vec![message]);
        match random.below(4) {
            0 => tokio::time::sleep(APART).await,
            1 => tokio::task::yield_now().await,
            _ => {}
        }
    }

    arrive(&one, &two, &sizes).await;
}

/// The runtime has one thread, so nobody reads meanwhile.
#[tokio::test]
async fn what_finds_no_room_in_the_stream_is_finished_by_the_task() {
    let (one, two) = settled_pair().await;
    let waiting = || one.network.peer_status(two.id).unwrap().waiting_append;
    let mut sizes = Vec::new();

    while waiting() < 3 {
        std::thread::sleep(Duration::from_micros(100));
        sizes.push(4_000);
        let index = sizes.len() as u64;
        let message = append(one.id, two.id, index, 4_000);
        one.network.send(two.id, vec![message]);
        assert!(index < 5_000, "there is room for ever");
    }

    assert!(sizes.len() > 100, "{} filled the stream", sizes.len());
    arrive(&one, &two, &sizes).await;
}
