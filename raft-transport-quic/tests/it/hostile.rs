//! Peers that mean harm, or are broken in the worst ways: bounded memory, no
//! panic, and two honest nodes beside them that notice nothing.

use std::collections::HashMap;
use std::future::Future;
use std::net::UdpSocket;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use raft_core::NodeId;
use raft_transport_quic::DevAuthority;
use raft_transport_quic::frame::{FRAME_VERSION, FrameKind};
use raft_transport_quic::hello::Versions;

use crate::alone::is_alone;
use crate::stranger::{Greeted, Stranger, farewell};
use crate::support::{Node, Random, authority, introduce, until};

/// The node that does harm.
const FOE: NodeId = NodeId::new(3);
/// The longest round trip of honest nodes meanwhile; they would give each other
/// up after 1.5 s. It is some milliseconds on an idle machine.
const LONGEST_ROUND_TRIP: Duration = Duration::from_secs(1);
const MIB: usize = 1024 * 1024;
const MAX_FRAME: u32 = 16 * 1024 * 1024;

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Counts panics of the transport, which its tasks would keep to themselves.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let place = info.location().map_or("", |location| location.file());
            if !place.contains("tests/it") {
                PANICS.fetch_add(1, Ordering::Relaxed);
            }
            before(info);
        }));
    });
}

/// Two nodes that trust each other, and what one of them does to a third.
struct Scene {
    authority: DevAuthority,
    one: Node,
    two: Node,
}

impl Scene {
    async fn set() -> Self {
        count_panics();
        let authority = authority();
        let (one, two) = (Node::start(&authority, 1), Node::start(&authority, 2));
        introduce(&one, &two);
        one.reaches(&two, 0).await;
        two.reaches(&one, 0).await;
        Self {
            authority,
            one,
            two,
        }
    }

    /// A third node of the cluster, in the hands of the foe.
    fn foe(&self) -> Stranger {
        let stranger = Stranger::new(Some(&self.authority.node(FOE).unwrap()));
        let known = [(self.two.id, self.two.address()), (FOE, stranger.address())];
        self.one.knows(&known);
        stranger
    }

    async fn greeted(&self, foe: &Stranger) -> Greeted {
        foe.greet(self.one.address(), Versions::OURS).await
    }

    /// The honest nodes talk for as long as the attack lasts, and once more.
    async fn endures<T>(&self, attack: impl Future<Output = T>) -> T {
        let before = self.one.network.refusal_count();
        let mut attack = std::pin::pin!(attack);
        let mut outcome = None;
        let (mut round, mut slowest) = (0, Duration::ZERO);
        while outcome.is_none() {
            round += 1;
            let began = Instant::now();
            let talk = async {
                self.one.reaches(&self.two, round).await;
                self.two.reaches(&self.one, round).await;
            };
            let mut talk = std::pin::pin!(talk);
            loop {
                tokio::select! {
                    () = &mut talk => break,
                    done = &mut attack, if outcome.is_none() => outcome = Some(done),
                }
            }
            slowest = slowest.max(began.elapsed());
        }
        assert!(
            slowest < LONGEST_ROUND_TRIP,
            "{slowest:?} in {round} rounds"
        );
        assert!(self.one.is_connected(self.two.id));
        assert!(self.two.is_connected(self.one.id));
        assert_eq!(PANICS.load(Ordering::Relaxed), 0, "the transport panicked");
        let refused = self.one.network.refusal_count() - before;
        println!("{round} round trips, the slowest {slowest:?}; {refused} refusals");
        outcome.expect("the loop ends with one")
    }
}

/// Memory of this process in use.
#[cfg(target_os = "linux")]
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.unwrap().parse::<usize>().unwrap() * 1024
}

/// Nobody asked; the other assertions hold.
#[cfg(not(target_os = "linux"))]
const fn memory() -> usize {
    0
}

/// The first packets of so many connections, which nobody goes on with.
async fn first_packets(count: usize) -> Vec<Vec<u8>> {
    let sink = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let stranger = Stranger::new(None);
    let mut packets = HashMap::with_capacity(count);
    let mut buffer = vec![0; 2048];
    while packets.len() < count {
        let connecting = stranger.connecting(sink.local_addr().unwrap());
        let before = packets.len();
        // The end of the one before bears its name, and is none of a beginning.
        while packets.len() == before {
            let len = sink.recv(&mut buffer).await.unwrap();
            let name = buffer[6..6 + usize::from(buffer[5])].to_vec();
            packets
                .entry(name)
                .or_insert_with(|| buffer[..len].to_vec());
        }
        drop(connecting);
    }
    packets.into_values().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_handshakes_that_never_end_take_bounded_room_and_harm_nobody() {
    const ATTEMPTS: usize = 10_000;
    /// What the node may hold for them: it holds at most 64 of one address.
    const ROOM: usize = 16 * MIB;
    if !is_alone(
        "hostile::ten_thousand_handshakes_that_never_end_take_bounded_room_and_harm_nobody",
    ) {
        return;
    }
    let packets = first_packets(ATTEMPTS).await;
    let scene = Scene::set().await;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let before = memory();
    let (mut most_open, mut most_memory) = (0, 0);

    let attack = async {
        for chunk in packets.chunks(100) {
            for packet in chunk {
                socket.send_to(packet, scene.one.address()).await.unwrap();
            }
            most_open = most_open.max(scene.one.network.open_connections());
            most_memory = most_memory.max(memory().saturating_sub(before));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    scene.endures(attack).await;

    println!("{most_open} connections at most, {most_memory} bytes more at most");
    assert!(most_open > 2, "no attempt arrived");
    // 64 under way, and those of the last seconds on their way out.
    assert!(most_open <= 4 * 64, "{most_open} connections");
    assert!(most_memory < ROOM, "{most_memory} bytes more");
    until("they are all given up", || {
        scene.one.network.open_connections() <= 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_that_end_their_handshakes_are_refused_each_and_harm_nobody() {
    let scene = Scene::set().await;
    let theirs = authority().node(FOE).unwrap();
    let stranger = Stranger::new(Some(&theirs));
    let address = scene.one.address();

    let attack = async {
        for _ in 0..300 {
            let heard = stranger.farewell_of(address).await;
            assert!(heard.contains("signed by another authority"), "{heard}");
        }
    };
    scene.endures(attack).await;

    assert!(scene.one.network.refusals().len() <= 2);
}

/// Others get in while one address holds all that one may hold.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_gets_in_while_another_address_opens_handshakes_without_end() {
    let packets = first_packets(500).await;
    let scene = Scene::set().await;
    let foe = scene.foe();
    let socket = tokio::net::UdpSocket::bind("127.0.0.2:0").await.unwrap();

    let attack = async {
        for chunk in packets.chunks(50) {
            for packet in chunk {
                socket.send_to(packet, scene.one.address()).await.unwrap();
            }
            // From 127.0.0.1: not a foe this time.
            let greeted = scene.greeted(&foe).await;
            assert_eq!(greeted.connection.close_reason(), None);
            greeted.connection.close(0_u32.into(), b"enough");
        }
    };
    scene.endures(attack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_bytes_as_datagrams_are_dropped() {
    let scene = Scene::set().await;
    let packets = first_packets(20).await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut random = Random(1);

    let attack = async {
        for round in 0..10_000 {
            let bytes = if round % 2 == 0 {
                let len = 1 + random.below(1400);
                random.bytes(len)
            } else {
                // Something that looks right, with a few bytes that are not.
                let mut packet = packets[random.below(packets.len())].clone();
                for _ in 0..=random.below(4) {
                    let at = random.below(packet.len());
                    packet[at] = random.next().to_le_bytes()[0];
                }
                packet.truncate(1 + random.below(packet.len()));
                packet
            };
            socket.send_to(&bytes, scene.one.address()).unwrap();
            if round % 100 == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    scene.endures(attack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_bytes_as_frames_end_their_connection_only() {
    let scene = Scene::set().await;
    let foe = scene.foe();
    let mut random = Random(2);

    let attack = async {
        for round in 0..200 {
            let mut greeted = scene.greeted(&foe).await;
            let len = 6 + random.below(2000);
            let mut bytes = random.bytes(len);
            if round % 2 == 0 {
                // A good header before nonsense.
                let kinds = [FrameKind::Messages as u8, FrameKind::SnapshotBegin as u8];
                bytes[0] = FRAME_VERSION;
                bytes[1] = kinds[random.below(kinds.len())];
                let body = u32::try_from(len - 6).unwrap();
                bytes[2..6].copy_from_slice(&body.to_be_bytes());
                if len > 6 {
                    bytes[6] = 1;
                }
            } else {
                bytes[0] = 0xff;
            }
            match round % 3 {
                0 => greeted.control.write_all(&bytes).await.unwrap(),
                1 => {
                    let mut stream = greeted.connection.open_uni().await.unwrap();
                    stream.write_all(&bytes).await.unwrap();
                    stream.finish().unwrap();
                    stream.stopped().await.ok();
                }
                _ => {
                    let (mut stream, _) = greeted.connection.open_bi().await.unwrap();
                    // It may be told to stop before all is written.
                    let _ = stream.write_all(&bytes).await;
                    let _ = stream.finish();
                    greeted.connection.close(0_u32.into(), b"enough");
                }
            }
            greeted.connection.close(0_u32.into(), b"enough");
        }
    };
    scene.endures(attack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_over_the_limit_ends_its_connection_before_its_body_comes() {
    let scene = Scene::set().await;
    let foe = scene.foe();

    let heard = scene
        .endures(async {
            let mut greeted = scene.greeted(&foe).await;
            let mut header = vec![FRAME_VERSION, FrameKind::Messages as u8];
            header.extend_from_slice(&u32::MAX.to_be_bytes());
            greeted.control.write_all(&header).await.unwrap();
            farewell(&greeted.connection).await
        })
        .await;

    assert_eq!(
        heard,
        "frame of 4294967295 bytes is over the limit of 16777216"
    );
    // It is noted once the connection is over on this side, too.
    until("the refusal is noted", || {
        let refusals = scene.one.network.refusals();
        let ours = refusals.iter().find(|refusal| refusal.peer == Some(FOE));
        ours.is_some_and(|ours| ours.reason.contains("we refused what the peer sent"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_is_cut_short_ends_its_connection_only() {
    let scene = Scene::set().await;
    let foe = scene.foe();

    scene
        .endures(async {
            for cut in 1..12 {
                let mut greeted = scene.greeted(&foe).await;
                let mut frame = vec![FRAME_VERSION, FrameKind::Messages as u8, 0, 0, 0, 100];
                frame.resize(cut, 1);
                greeted.control.write_all(&frame).await.unwrap();
                greeted.control.finish().unwrap();
                let heard = farewell(&greeted.connection).await;
                assert_eq!(heard, "a stream broke", "cut after {cut} bytes");
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_drip_are_few_take_bounded_room_and_harm_nobody() {
    /// Streams in all of one peer beside snapshots.
    const STREAMS: usize = 4;
    /// Nothing near the 16 MiB that each of them claims.
    const ROOM: usize = 8 * MIB;
    if !is_alone("hostile::streams_that_drip_are_few_take_bounded_room_and_harm_nobody") {
        return;
    }
    let scene = Scene::set().await;
    let foe = scene.foe();
    let before = memory();
    let mut most_memory = 0;

    scene
        .endures(async {
            let greeted = scene.greeted(&foe).await;
            let mut streams = vec![greeted.control];
            while streams.len() < STREAMS {
                streams.push(greeted.connection.open_uni().await.unwrap());
            }
            let another = greeted.connection.open_uni();
            let another = tokio::time::timeout(Duration::from_millis(300), another).await;
            assert!(another.is_err(), "a stream more than there may be");
            let mut header = vec![FRAME_VERSION, FrameKind::Messages as u8];
            header.extend_from_slice(&MAX_FRAME.to_be_bytes());
            for stream in &mut streams {
                stream.write_all(&header).await.unwrap();
            }
            for _ in 0..5 {
                for stream in &mut streams {
                    stream.write_all(&[1]).await.unwrap();
                }
                let more = memory().saturating_sub(before);
                assert!(more < ROOM, "{more} bytes more");
                most_memory = most_memory.max(more);
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            assert_eq!(greeted.connection.close_reason(), None);
        })
        .await;
    println!("{most_memory} bytes more at most");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_hello_is_given_up_after_the_time_for_a_handshake() {
    let scene = Scene::set().await;
    let foe = scene.foe();

    let (heard, took) = scene
        .endures(async {
            let connection = foe.connecting(scene.one.address()).await.unwrap();
            let began = Instant::now();
            (farewell(&connection).await, began.elapsed())
        })
        .await;

    assert_eq!(heard, "no hello within 2s");
    assert!(took < Duration::from_secs(4), "{took:?}");
}
