//! The duties of a [`Network`](crate::network), each with its check.
//!
//! Loss and delay are allowed, so a check says a thing again until it gets through,
//! as Raft does, and waits for what must come with patience instead of a deadline.
//!
//! Not checked here: what a peer can do that speaks the protocol without this
//! implementation: speak for another (in 5), or name a snapshot of another to go on with
//! it (in 9).

mod helpers;
mod snapshots;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use self::helpers::{Recorder, append, envelope, heartbeat, until};
use super::not_checked;
use crate::membership::MemberInfo;
use crate::message::{Envelope, MessageClass};
use crate::network::Network;
use crate::types::{GroupId, NodeId};

pub use self::snapshots::{
    a_snapshot_arrives_whole, a_snapshot_ends_when_its_receivers_transport_stops,
    a_snapshot_given_up_ends_with_an_error, a_snapshot_is_given_up_for_another_of_its_group,
    a_snapshot_whose_link_breaks_goes_on_or_fails, nobody_goes_on_with_a_snapshot_but_who_began_it,
    nobody_waits_for_a_snapshot_whose_link_stays_cut, the_sender_hears_of_progress,
};

const GROUP: GroupId = GroupId::new(0);
const ONE: NodeId = NodeId::new(1);
const TWO: NodeId = NodeId::new(2);

/// How the suite handles a transport.
#[async_trait]
pub trait NetworkHarness: Send + Sync {
    /// The transport under test.
    type Network: Network;

    /// Starts the endpoint of a node; it knows nobody. Called again for a node whose
    /// endpoint was dropped, it comes up at another address, if there are addresses.
    async fn start(&mut self, node: NodeId) -> Arc<Self::Network>;

    /// Where a node was started last.
    fn info(&self, node: NodeId) -> MemberInfo;

    /// Lets nothing pass between two nodes until [`NetworkHarness::heal`]. Answers
    /// false if it cannot.
    async fn sever(&mut self, one: NodeId, other: NodeId) -> bool;

    /// Lets everything pass between two nodes again.
    async fn heal(&mut self, one: NodeId, other: NodeId);

    /// How many bytes of entries may wait for one peer, by the limit that the transport
    /// states: in queues, and in what the operating system or a connection keeps.
    fn most_waiting(&self) -> usize;

    /// How many messages an endpoint dropped before they were sent, by its own count.
    /// Answers nothing if it cannot say, which is what the provided method does.
    fn dropped(&self, network: &Self::Network) -> Option<u64> {
        let _ = network;
        None
    }

    /// Ends an endpoint, if dropping it does not.
    async fn stop(&mut self, network: Arc<Self::Network>) {
        drop(network);
    }

    /// Lets about ten milliseconds pass, and everybody else run.
    async fn pass_time(&self);

    /// How often [`NetworkHarness::pass_time`] is called before what must come is
    /// missed. Only a check that fails waits so long.
    fn patience(&self) -> u32 {
        3000
    }

    /// Runs a call on a thread of its own, which it may block. A transport that needs
    /// a runtime is called within one.
    fn call_elsewhere(&self, call: Box<dyn FnOnce() + Send>) {
        drop(std::thread::spawn(call));
    }
}

/// A node with its endpoint and what it got.
struct Endpoint<N> {
    network: Arc<N>,
    inbox: Arc<Recorder>,
}

async fn start<H: NetworkHarness>(harness: &mut H, node: NodeId) -> Endpoint<H::Network> {
    let network = harness.start(node).await;
    let inbox = Arc::new(Recorder::default());
    network.register(GROUP, Arc::<Recorder>::clone(&inbox));
    Endpoint { network, inbox }
}

/// Two nodes that know each other.
async fn pair<H: NetworkHarness>(harness: &mut H) -> [Endpoint<H::Network>; 2] {
    let one = start(harness, ONE).await;
    let two = start(harness, TWO).await;
    introduce(harness, &one, TWO);
    introduce(harness, &two, ONE);
    [one, two]
}

fn introduce<H: NetworkHarness>(harness: &H, one: &Endpoint<H::Network>, other: NodeId) {
    let peers = vec![(other, harness.info(other))];
    one.network.set_peers(GROUP, peers);
}

/// Says a message again and again until it is there.
async fn reaches<H: NetworkHarness>(
    harness: &H,
    from: &Endpoint<H::Network>,
    to: &Endpoint<H::Network>,
    message: &Envelope,
    duty: &str,
) {
    let is_there = || {
        let is_there = to.inbox.got(message);
        if !is_there {
            from.network.send(message.to.node, vec![message.clone()]);
        }
        is_there
    };
    until(harness, duty, "a message said again and again", is_there).await;
}

/// Duty 1.
pub async fn sending_returns_at_once_whatever_the_peer_does(harness: &mut impl NetworkHarness) {
    let duty = "duty 1, never blocks";
    let [one, two] = pair(harness).await;
    reaches(harness, &one, &two, &heartbeat(1), duty).await;
    if !harness.sever(ONE, TWO).await {
        return not_checked(duty, "sever a link");
    }

    let (network, is_done) = (Arc::clone(&one.network), Arc::new(AtomicBool::new(false)));
    let done = Arc::clone(&is_done);
    harness.call_elsewhere(Box::new(move || {
        for round in 0..20_000 {
            network.send(TWO, vec![heartbeat(round)]);
        }
        for index in 1..=100 {
            network.send(TWO, vec![append(index, 100_000)]);
        }
        done.store(true, Ordering::Release);
    }));

    let what = "that sending to a peer which does not answer returns";
    until(harness, duty, what, || is_done.load(Ordering::Acquire)).await;
}

/// So many entries of this size that less than half of them may wait for a peer.
fn too_many(harness: &impl NetworkHarness, size: usize) -> u64 {
    2 * (harness.most_waiting() / size) as u64 + 50
}

/// Duty 1.
pub async fn what_is_dropped_is_counted(harness: &mut impl NetworkHarness) {
    const SIZE: usize = 50_000;
    let duty = "duty 1, what cannot be sent is counted";
    let [one, two] = pair(harness).await;
    reaches(harness, &one, &two, &heartbeat(0), duty).await;
    let Some(before) = harness.dropped(&one.network) else {
        return not_checked(duty, "say how many messages were dropped");
    };
    if !harness.sever(ONE, TWO).await {
        return not_checked(duty, "sever a link");
    }

    let count = too_many(harness, SIZE);
    for index in 1..=count {
        one.network.send(TWO, vec![append(index, SIZE)]);
    }
    // No more can wait, and one may be on its way from here to there.
    let least = count - (harness.most_waiting() / SIZE) as u64 - 1;
    let is_counted = || {
        let dropped = harness.dropped(&one.network);
        dropped.is_some_and(|dropped| dropped >= before + least)
    };
    let what = format!("that {least} of {count} messages to a peer out of reach count as dropped");
    until(harness, duty, &what, is_counted).await;
    harness.heal(ONE, TWO).await;
}

/// Duty 2.
pub async fn what_waits_for_a_peer_is_bounded(harness: &mut impl NetworkHarness) {
    const SIZE: usize = 50_000;
    let duty = "duty 2, bounded";
    let [one, two] = pair(harness).await;
    reaches(harness, &one, &two, &heartbeat(0), duty).await;
    if !harness.sever(ONE, TWO).await {
        return not_checked(duty, "sever a link");
    }

    let most = harness.most_waiting();
    let count = too_many(harness, SIZE);
    for index in 1..=count {
        one.network.send(TWO, vec![append(index, SIZE)]);
    }
    harness.heal(ONE, TWO).await;
    let waiting = |message: &Envelope| message.message.class() == MessageClass::Append;
    reaches(harness, &one, &two, &append(count + 1, SIZE), duty).await;

    let came = two.inbox.messages().into_iter().filter(waiting);
    let came = came
        .map(|message| message.message.payload_bytes())
        .sum::<usize>();
    let sent = usize::try_from(count).expect("it is small") * SIZE;
    // Of the last one, said again and again, several may have come.
    let last = two.inbox.copies(&append(count + 1, SIZE)) * (SIZE + 100);
    assert!(
        came <= most + last,
        "{duty}: of {sent} bytes for a peer out of reach {came} came after all, the limit is {most}"
    );
}

/// Duty 3.
pub async fn an_urgent_message_does_not_wait_behind_entries(harness: &mut impl NetworkHarness) {
    const ALL: usize = 24;
    const SIZE: usize = 1 << 18;
    let duty = "duty 3, classes";
    let [one, two] = pair(harness).await;
    reaches(harness, &one, &two, &heartbeat(1), duty).await;

    let entries = (1..=ALL as u64).map(|index| append(index, SIZE));
    one.network.send(TWO, entries.collect());
    let urgent = heartbeat(2);
    one.network.send(TWO, vec![urgent.clone()]);
    let came_at_once = two.inbox.of_class(MessageClass::Append);
    let is_there = || two.inbox.got(&urgent);
    until(harness, duty, "an urgent message", is_there).await;

    let before_it = two.inbox.of_class_before(MessageClass::Append, &urgent);
    // What came before the urgent one was said did not hold it up.
    assert!(
        before_it < ALL || came_at_once > ALL / 2,
        "{duty}: all of {ALL} large entries came before a heartbeat"
    );
}

/// Duty 4.
pub async fn messages_arrive_as_they_were_sent(harness: &mut impl NetworkHarness) {
    let duty = "duty 4, whole or not at all";
    let [one, two] = pair(harness).await;
    let mut sent = Vec::new();
    for index in 1..=60 {
        let size = usize::try_from(index * index * 37 % 70_000).expect("it is small");
        let batch = vec![append(index, size), heartbeat(index)];
        sent.extend(batch.clone());
        one.network.send(TWO, batch);
    }
    for message in &sent {
        reaches(harness, &one, &two, message, duty).await;
    }

    for message in two.inbox.messages() {
        assert!(sent.contains(&message), "{duty}: nobody sent {message:?}");
    }
}

/// Duty 5.
pub async fn nobody_speaks_for_another(harness: &mut impl NetworkHarness) {
    let duty = "duty 5, authentic";
    let [one, two] = pair(harness).await;
    reaches(harness, &one, &two, &heartbeat(1), duty).await;

    let third = NodeId::new(3);
    let forged = envelope(third, TWO, 2);
    let astray = envelope(ONE, third, 3);
    for honest in 4..=6 {
        one.network.send(TWO, vec![forged.clone()]);
        one.network
            .send(TWO, vec![astray.clone(), heartbeat(honest)]);
        reaches(harness, &one, &two, &heartbeat(honest), duty).await;
    }

    for (wrong, what) in [(forged, "in the name of"), (astray, "meant for")] {
        let came = two.inbox.got(&wrong);
        assert!(!came, "{duty}: a message {what} {third} came from {ONE}");
    }
}

/// Duty 6.
pub async fn a_peer_is_reached_where_it_is_now(harness: &mut impl NetworkHarness) {
    let duty = "duty 6, follows addresses";
    let [one, two] = pair(harness).await;
    reaches(harness, &one, &two, &heartbeat(1), duty).await;

    harness.stop(two.network).await;
    let moved = start(harness, TWO).await;
    introduce(harness, &one, TWO);
    introduce(harness, &moved, ONE);

    reaches(harness, &one, &moved, &heartbeat(2), duty).await;
    let back = envelope(TWO, ONE, 3);
    reaches(harness, &moved, &one, &back, duty).await;
}

/// Duty 7.
pub async fn a_message_reaches_the_inbox_of_its_group(harness: &mut impl NetworkHarness) {
    let duty = "duty 7, routes by group";
    let [one, two] = pair(harness).await;
    let (of_first, mut of_other, mut of_nobody) = (heartbeat(1), heartbeat(2), heartbeat(3));
    of_other.group = GroupId::new(5);
    of_nobody.group = GroupId::new(6);
    let other = Arc::new(Recorder::default());
    two.network
        .register(of_other.group, Arc::<Recorder>::clone(&other));
    one.network
        .set_peers(of_other.group, vec![(TWO, harness.info(TWO))]);

    let is_there = || {
        let batch = vec![of_other.clone(), of_nobody.clone(), of_first.clone()];
        let is_there = two.inbox.got(&of_first) && other.got(&of_other);
        if !is_there {
            one.network.send(TWO, batch);
        }
        is_there
    };
    until(
        harness,
        duty,
        "one message for each of two groups",
        is_there,
    )
    .await;

    for (inbox, group) in [(&two.inbox, GROUP), (&other, of_other.group)] {
        let astray = inbox.messages().into_iter().find(|m| m.group != group);
        assert!(astray.is_none(), "{duty}: {group} got {astray:?}");
    }
}
