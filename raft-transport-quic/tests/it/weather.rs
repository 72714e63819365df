//! Messages through bad weather: lost, late, doubled, overtaken, from other addresses.
//!
//! All of it in paused time, so that nothing here depends on the machine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use raft_core::testing::conformance::network::NetworkHarness;
use raft_core::{Envelope, MemberInfo, MessageClass, Network, NodeId, async_trait};
use raft_transport_quic::{DevAuthority, QueueLimit, QuicConfig, QuicNetwork};
use tokio::time::{Instant, sleep, timeout};

use crate::ether::{Ether, Weather};
use crate::support::{
    Node, RecordingInbox, append, at, authority, config, heartbeat, introduce, until,
};

raft_core::network_conformance!(Harness::new(), tokio::test(start_paused = true));

const MIB: usize = 1 << 20;
const QUEUE: usize = 8 * MIB;
/// What a connection may hold beside, on both sides.
const CONNECTION: usize = 40 * MIB;
/// How many messages of each class a test sends.
const MESSAGES: u64 = 400;
/// How often.
const EVERY: Duration = Duration::from_millis(10);

/// One of ten is lost, one of fifty comes twice, and each is 10 to 30 ms under way.
pub(crate) const STORM: Weather = Weather {
    lost: 100,
    doubled: 20,
    delay: Duration::from_millis(20),
    jitter: Duration::from_millis(10),
    rate: None,
};

pub(crate) fn address(node: NodeId) -> SocketAddr {
    let node = u8::try_from(node.get()).unwrap();
    SocketAddr::from(([10, 0, 0, node], 7400))
}

/// A node in the ether, with what it needs to be reached.
pub(crate) fn node_in(ether: &Ether, config: QuicConfig, inbox: RecordingInbox) -> Node {
    let id = config.node;
    let socket = ether.socket(address(id));
    Node::on(id, QuicNetwork::bind_on(config, socket).unwrap(), inbox)
}

/// Two nodes in the ether that know each other; 1 dials 2, and 2 dials 1.
fn pair_in(ether: &Ether) -> (Node, Node) {
    let authority = authority();
    let start = |id| node_in(ether, config(&authority, id), RecordingInbox::default());
    let (one, two) = (start(1), start(2));
    introduce(&one, &two);
    (one, two)
}

/// The same, with one connection between them.
async fn settled_pair_in(ether: &Ether) -> (Node, Node) {
    let (one, two) = pair_in(ether);
    one.reaches(&two, 0).await;
    two.reaches(&one, 0).await;
    one_connection_stays(&one, &two).await;
    one.inbox.messages.lock().unwrap().clear();
    two.inbox.messages.lock().unwrap().clear();
    (one, two)
}

async fn one_connection_stays(one: &Node, two: &Node) {
    until("one connection stays", || {
        let nodes = [(one, two), (two, one)];
        nodes.iter().all(|(node, other)| {
            node.network.open_connections() == 1 && node.is_connected(other.id)
        })
    })
    .await;
}

/// Sends a message of each class both ways, again and again.
async fn talk(one: &Node, two: &Node, numbers: std::ops::Range<u64>) {
    for number in numbers {
        for (from, to) in [(one, two), (two, one)] {
            let batch = vec![
                heartbeat(from.id, to.id, number),
                of_odd_size(from, to, number),
            ];
            from.network.send(to.id, batch);
        }
        sleep(EVERY).await;
    }
}

/// From a few bytes to several datagrams.
fn of_odd_size(from: &Node, to: &Node, number: u64) -> Envelope {
    let size = number * 7919 % 5_000;
    append(from.id, to.id, number, usize::try_from(size).unwrap())
}

/// What arrived of a class, in its order.
fn of_class(node: &Node, class: MessageClass) -> Vec<Envelope> {
    let mut messages = node.inbox.messages();
    messages.retain(|envelope| envelope.message.class() == class);
    messages
}

fn sent_by(
    from: &Node,
    to: &Node,
    class: MessageClass,
    numbers: std::ops::Range<u64>,
) -> Vec<Envelope> {
    let one = |number| match class {
        MessageClass::Control => heartbeat(from.id, to.id, number),
        _ => of_odd_size(from, to, number),
    };
    numbers.map(one).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_late_doubled_and_overtaken_arrives_once_whole_and_in_order() {
    let (one, two) = settled_pair_in(&Ether::new(1, STORM)).await;

    talk(&one, &two, 1..MESSAGES).await;

    for (from, to) in [(&one, &two), (&two, &one)] {
        for class in [MessageClass::Control, MessageClass::Append] {
            let sent = sent_by(from, to, class, 1..MESSAGES);
            until("all of it arrives", || {
                of_class(to, class).len() >= sent.len()
            })
            .await;
            assert!(of_class(to, class) == sent, "{class:?} to {}", to.id);
        }
    }
}

/// What is under way when a connection dies may be lost; nothing of it is said again.
/// When both dial, two connections overlap for a moment, and their messages too.
#[tokio::test(start_paused = true)]
async fn over_several_connections_nothing_comes_twice_or_torn() {
    let ether = Ether::new(2, STORM);
    let (one, two) = settled_pair_in(&ether).await;
    let many = 2 * MESSAGES;

    for part in 0..4 {
        let numbers = part * many + 1..(part + 1) * many + 1;
        let fault = async {
            sleep(EVERY * 100).await;
            ether.cut_both(address(one.id), address(two.id));
            sleep(Duration::from_secs(2)).await;
            assert!(!one.is_connected(two.id) && !two.is_connected(one.id));
            ether.heal();
        };
        tokio::join!(talk(&one, &two, numbers), fault);
        one_connection_stays(&one, &two).await;
    }
    let last = 4 * many + 1;
    talk(&one, &two, last..last + 1).await;

    for (from, to) in [(&one, &two), (&two, &one)] {
        for class in [MessageClass::Control, MessageClass::Append] {
            let mut sent = sent_by(from, to, class, 1..last + 1);
            to.inbox.wait_for(&sent[sent.len() - 1]).await;
            let got = of_class(to, class);
            assert!(
                got.len() > sent.len() / 4,
                "{} of {}",
                got.len(),
                sent.len()
            );
            for envelope in got {
                let place = sent.iter().position(|sent| *sent == envelope);
                sent.remove(place.unwrap_or_else(|| panic!("twice, or torn: {envelope:?}")));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_is_reached_again_soon_after_a_cut() {
    let ether = Ether::new(3, STORM);
    let (one, two) = settled_pair_in(&ether).await;
    let (here, there) = (address(one.id), address(two.id));

    for (round, one_way) in [false, true, false, true].into_iter().enumerate() {
        match one_way {
            true => ether.cut(here, there),
            false => ether.cut_both(here, there),
        }
        let began = Instant::now();
        until("the silence is noticed", || {
            !one.is_connected(two.id) && !two.is_connected(one.id)
        })
        .await;
        let noticed = began.elapsed();
        // Dials go on into the void, with longer and longer pauses.
        sleep(Duration::from_secs(20)).await;
        ether.heal();
        let healed = Instant::now();
        one.reaches(&two, 10 + round as u64).await;
        two.reaches(&one, 10 + round as u64).await;

        // The last datagram before it, the limit, and an eighth. Whoever notices first
        // says so; if that is lost, the other one notices after it.
        let each = Duration::from_millis(30 + 1500 + 1500 / 8 + 10);
        let limit = if one_way { each * 2 } else { each };
        assert!(noticed < limit, "{noticed:?}");
        // The longest pause, and a handshake that had to be said again.
        assert!(
            healed.elapsed() < Duration::from_secs(4),
            "{:?}",
            healed.elapsed()
        );
        one_connection_stays(&one, &two).await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_dials_over_a_slow_path_one_connection_stays() {
    let slow = Weather {
        lost: 50,
        delay: Duration::from_millis(250),
        jitter: Duration::from_millis(50),
        ..Weather::default()
    };
    for seed in 0..20 {
        let (one, two) = pair_in(&Ether::new(seed, slow));

        one.reaches(&two, 1).await;
        two.reaches(&one, 2).await;

        one_connection_stays(&one, &two).await;
        // It stays: nobody dials anew, nobody retires it.
        sleep(Duration::from_secs(5)).await;
        one_connection_stays(&one, &two).await;
        one.reaches(&two, 3).await;
        two.reaches(&one, 4).await;
    }
}

/// An address translator between two nodes forgets them, and gives the one that
/// dialled another port: nothing is lost, and nobody waits for a silence to be noticed.
#[tokio::test(start_paused = true)]
async fn a_peer_whose_address_changes_on_the_way_keeps_its_connection() {
    let ether = Ether::new(4, STORM);
    let authority = authority();
    let start = |id| node_in(&ether, config(&authority, id), RecordingInbox::default());
    let (one, two) = (start(1), start(2));
    one.knows(&[(two.id, address(two.id))]);
    two.knows(&[(one.id, "10.0.0.9:9".parse().unwrap())]);
    one.reaches(&two, 0).await;
    two.inbox.messages.lock().unwrap().clear();

    for round in 0..5 {
        let outside = SocketAddr::from(([10, 0, 1, 1], 4000 + round));
        ether.rebind(address(one.id), outside);
        for (from, to) in [(&one, &two), (&two, &one)] {
            // Sooner than the silence of a lost connection would be noticed.
            let again = from.reaches(to, 1000 + u64::from(round));
            timeout(Duration::from_millis(1500), again).await.unwrap();
        }
        let number = u64::from(round) * 100 + 1;
        talk(&one, &two, number..number + 50).await;
        for (from, to) in [(&one, &two), (&two, &one)] {
            let last = heartbeat(from.id, to.id, number + 49);
            timeout(Duration::from_secs(5), to.inbox.wait_for(&last))
                .await
                .unwrap();
        }
        assert!(one.is_connected(two.id) && two.is_connected(one.id));
    }

    for (from, to) in [(&one, &two), (&two, &one)] {
        let of_round = |round: u64| {
            let numbers = round * 100 + 1..round * 100 + 50;
            sent_by(from, to, MessageClass::Control, numbers)
        };
        let sent: Vec<_> = (0..5).flat_map(of_round).collect();
        let mut got = of_class(to, MessageClass::Control);
        got.retain(|envelope| sent.contains(envelope));
        assert!(got == sent, "something is lost, doubled or overtaken");
    }
}

/// The first node dials the second; nobody dials the first.
struct Harness {
    ether: Ether,
    authority: DevAuthority,
}

impl Harness {
    fn new() -> Self {
        Self {
            ether: Ether::new(5, STORM),
            authority: authority(),
        }
    }
}

#[async_trait]
impl NetworkHarness for Harness {
    type Network = QuicNetwork;

    async fn start(&mut self, node: NodeId) -> Arc<QuicNetwork> {
        let mut config = config(&self.authority, node.get());
        config.append_queue = QueueLimit {
            messages: 4096,
            bytes: QUEUE,
        };
        config.snapshot_patience = Duration::from_secs(1);
        config.backoff_max = Duration::from_millis(100);
        QuicNetwork::bind_on(config, self.ether.socket(address(node))).unwrap()
    }

    fn info(&self, node: NodeId) -> MemberInfo {
        let nobody: SocketAddr = "10.0.0.9:9".parse().unwrap();
        let is_second = node == NodeId::new(2);
        at(if is_second { address(node) } else { nobody })
    }

    async fn sever(&mut self, one: NodeId, other: NodeId) -> bool {
        self.ether.cut_both(address(one), address(other));
        true
    }

    async fn heal(&mut self, _one: NodeId, _other: NodeId) {
        self.ether.heal();
    }

    fn most_waiting(&self) -> usize {
        QUEUE + CONNECTION
    }

    async fn stop(&mut self, network: Arc<QuicNetwork>) {
        network.shutdown().await;
    }

    async fn pass_time(&self) {
        sleep(Duration::from_millis(10)).await;
    }

    fn call_elsewhere(&self, call: Box<dyn FnOnce() + Send>) {
        // Paused time stands still until it returns.
        drop(tokio::task::spawn_blocking(call));
    }
}
