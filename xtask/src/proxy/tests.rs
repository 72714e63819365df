//! The proxy between real sockets.

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);
/// No datagram takes so long that is not lost.
const SILENCE: Duration = Duration::from_millis(300);

/// Two sockets with a proxy between them.
struct Bench {
    one: UdpSocket,
    two: UdpSocket,
    proxy: Proxy,
}

impl Bench {
    fn new(conditions: Conditions) -> Self {
        let (one, two) = (socket().unwrap(), socket().unwrap());
        let nodes = [&one, &two].map(|socket| socket.local_addr().unwrap());
        let proxy = Proxy::start(1, &[(1, nodes[0]), (2, nodes[1])], conditions).unwrap();
        Self { one, two, proxy }
    }

    fn send_to_two(&self, data: &[u8]) {
        let there = self.proxy.address(2).unwrap();
        self.one.send_to(data, there).unwrap();
    }

    fn send_to_one(&self, data: &[u8]) {
        let there = self.proxy.address(1).unwrap();
        self.two.send_to(data, there).unwrap();
    }
}

/// The next datagram and its sender.
fn next(socket: &UdpSocket, patience: Duration) -> Option<(Vec<u8>, SocketAddr)> {
    socket.set_read_timeout(Some(patience)).unwrap();
    let mut buffer = [0; 100];
    let (len, from) = socket.recv_from(&mut buffer).ok()?;
    Some((buffer[..len].to_vec(), from))
}

#[test]
fn what_is_sent_passes_and_the_answer_finds_its_way_back() {
    let bench = Bench::new(Conditions::default());

    bench.send_to_two(b"question");
    let (question, asker) = next(&bench.two, PATIENCE).unwrap();
    bench.two.send_to(b"answer", asker).unwrap();
    let (answer, answerer) = next(&bench.one, PATIENCE).unwrap();

    assert_eq!(
        (&question[..], &answer[..]),
        (&b"question"[..], &b"answer"[..])
    );
    assert_eq!(answerer, bench.proxy.address(2).unwrap());
    let counts = bench.proxy.counts();
    assert_eq!([counts[&(1, 2)].arrived, counts[&(2, 1)].arrived], [1, 1]);
}

#[test]
fn a_cut_is_of_one_direction_and_ends() {
    let bench = Bench::new(Conditions::default());
    let cut = Conditions {
        is_cut: true,
        ..Conditions::default()
    };

    bench.proxy.set(1, 2, cut).unwrap();
    bench.send_to_two(b"lost");
    bench.send_to_one(b"passes");
    assert_eq!(next(&bench.one, PATIENCE).unwrap().0, b"passes");
    assert_eq!(next(&bench.two, SILENCE), None);
    bench.proxy.set(1, 2, Conditions::default()).unwrap();
    bench.send_to_two(b"passes");

    assert_eq!(next(&bench.two, PATIENCE).unwrap().0, b"passes");
    assert_eq!(bench.proxy.counts()[&(1, 2)].lost, 1);
    assert!(bench.proxy.set(1, 3, cut).is_err());
}

#[test]
fn what_is_delayed_is_not_early_and_what_is_hurried_overtakes_it() {
    let bench = Bench::new(Conditions {
        delay: Duration::from_millis(400),
        ..Conditions::default()
    });
    let sent = Instant::now();

    bench.send_to_two(b"first");
    while bench.proxy.counts()[&(1, 2)].arrived == 0 {
        std::thread::yield_now();
    }
    bench.proxy.set(1, 2, Conditions::default()).unwrap();
    bench.send_to_two(b"second");

    assert_eq!(next(&bench.two, PATIENCE).unwrap().0, b"second");
    assert_eq!(next(&bench.two, PATIENCE).unwrap().0, b"first");
    assert!(sent.elapsed() >= Duration::from_millis(400));
}

#[test]
fn what_is_doubled_comes_twice() {
    let bench = Bench::new(Conditions {
        doubled: 1000,
        ..Conditions::default()
    });

    bench.send_to_two(b"twice");

    for _ in 0..2 {
        assert_eq!(next(&bench.two, PATIENCE).unwrap().0, b"twice");
    }
    assert_eq!(next(&bench.two, SILENCE), None);
}

#[test]
fn after_a_rebinding_the_sender_is_seen_at_another_port_and_reached_there_only() {
    let mut bench = Bench::new(Conditions::default());
    bench.send_to_two(b"before");
    let (_, before) = next(&bench.two, PATIENCE).unwrap();

    bench.proxy.rebind(1, 2).unwrap();
    bench.send_to_two(b"after");
    let (_, after) = next(&bench.two, PATIENCE).unwrap();
    bench.two.send_to(b"to the new port", after).unwrap();

    assert_ne!(before, after);
    assert_eq!(next(&bench.one, PATIENCE).unwrap().0, b"to the new port");
    bench.two.send_to(b"to the old port", before).ok();
    assert_eq!(next(&bench.one, SILENCE), None);
}

#[test]
fn a_stranger_reaches_nobody() {
    let bench = Bench::new(Conditions::default());
    let stranger = socket().unwrap();

    let there = bench.proxy.address(2).unwrap();
    stranger.send_to(b"hello", there).unwrap();

    assert_eq!(next(&bench.two, SILENCE), None);
}
