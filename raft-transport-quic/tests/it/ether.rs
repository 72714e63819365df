//! A network in memory, whose weather a test makes: what is lost, late, doubled or
//! overtaken between which nodes, and whose address changes on the way.
//!
//! All that happens to datagrams is drawn from one seed. Time is tokio's, so tests that
//! pause it see minutes of bad weather in seconds, whatever else the machine does.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::support::Random;

/// What happens to the datagrams of one direction. Times are those of one way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// Of a thousand datagrams, so many are lost.
    pub(crate) lost: u64,
    /// Of a thousand datagrams, so many arrive twice.
    pub(crate) doubled: u64,
    pub(crate) delay: Duration,
    /// Each datagram is up to so much earlier or later, by itself: they overtake each other.
    pub(crate) jitter: Duration,
    /// Bytes a second; what waits longer than [`QUEUE`] is lost.
    pub(crate) rate: Option<u32>,
}

/// What a slow path holds at most, in time.
const QUEUE: Duration = Duration::from_millis(50);

/// The network; clones are the same one.
#[derive(Clone)]
pub(crate) struct Ether(Arc<Mutex<State>>);

struct State {
    random: Random,
    weather: Weather,
    cuts: BTreeSet<(SocketAddr, SocketAddr)>,
    /// As whom the others see a node, if not under its own address.
    seen_as: BTreeMap<SocketAddr, SocketAddr>,
    /// When the last datagram of a slow path is through.
    busy_until: BTreeMap<(SocketAddr, SocketAddr), Instant>,
    mailboxes: BTreeMap<SocketAddr, Mailbox>,
    sent: u64,
    /// Bytes that arrived, of each direction.
    carried: BTreeMap<(SocketAddr, SocketAddr), usize>,
}

#[derive(Default)]
struct Mailbox {
    arriving: BTreeMap<(Instant, u64), Datagram>,
    reader: Option<Waker>,
}

struct Datagram {
    from: SocketAddr,
    data: Vec<u8>,
}

impl Ether {
    pub(crate) fn new(seed: u64, weather: Weather) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: Random(seed),
            weather,
            cuts: BTreeSet::new(),
            seen_as: BTreeMap::new(),
            busy_until: BTreeMap::new(),
            mailboxes: BTreeMap::new(),
            sent: 0,
            carried: BTreeMap::new(),
        })))
    }

    /// A socket at this address; one that was there before hears nothing more.
    pub(crate) fn socket(&self, address: SocketAddr) -> Arc<dyn AsyncUdpSocket> {
        self.state().mailboxes.insert(address, Mailbox::default());
        Arc::new(Socket {
            ether: self.clone(),
            address,
            alarm: Mutex::new(Box::pin(sleep_until(Instant::now()))),
        })
    }

    /// Nothing passes in this direction any more.
    pub(crate) fn cut(&self, from: SocketAddr, to: SocketAddr) {
        self.state().cuts.insert((from, to));
    }

    pub(crate) fn cut_both(&self, one: SocketAddr, other: SocketAddr) {
        self.cut(one, other);
        self.cut(other, one);
    }

    pub(crate) fn heal(&self) {
        self.state().cuts.clear();
    }

    /// From now on the others see what `node` sends as coming from `outside`, and
    /// reach it there; it does not know.
    pub(crate) fn rebind(&self, node: SocketAddr, outside: SocketAddr) {
        self.state().seen_as.insert(node, outside);
    }

    /// Bytes that arrived.
    pub(crate) fn carried(&self, from: SocketAddr, to: SocketAddr) -> usize {
        let state = self.state();
        state.carried.get(&(from, to)).copied().unwrap_or(0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn send(&mut self, from: SocketAddr, to: SocketAddr, data: &[u8]) {
        let to = self.who_is(to);
        let weather = self.weather;
        let is_lost = self.happens(weather.lost);
        let copies = 1 + u64::from(self.happens(weather.doubled));
        let delays = [self.delay(), self.delay()];
        let Some(through) = self.squeeze(from, to, data.len()) else {
            return;
        };
        if is_lost || self.cuts.contains(&(from, to)) {
            return;
        }
        let seen_as = self.seen_as.get(&from).copied().unwrap_or(from);
        for delay in delays.into_iter().take(usize::try_from(copies).unwrap()) {
            self.sent += 1;
            let Some(mailbox) = self.mailboxes.get_mut(&to) else {
                return;
            };
            let datagram = Datagram {
                from: seen_as,
                data: data.to_vec(),
            };
            mailbox
                .arriving
                .insert((through + delay, self.sent), datagram);
            *self.carried.entry((from, to)).or_default() += data.len();
            if let Some(reader) = mailbox.reader.take() {
                reader.wake();
            }
        }
    }

    /// The node that is reached at an address.
    fn who_is(&self, address: SocketAddr) -> SocketAddr {
        let mut aliases = self.seen_as.iter();
        let found = aliases.find(|(_, outside)| **outside == address);
        found.map_or(address, |(node, _)| *node)
    }

    fn happens(&mut self, of_a_thousand: u64) -> bool {
        self.random.next() % 1000 < of_a_thousand
    }

    fn delay(&mut self) -> Duration {
        let Weather { delay, jitter, .. } = self.weather;
        let spread = u64::try_from(jitter.as_micros()).unwrap() * 2 + 1;
        let drawn = Duration::from_micros(self.random.next() % spread);
        (delay + drawn).saturating_sub(jitter)
    }

    /// When a slow path has let it through; nothing if too much waits before it.
    fn squeeze(&mut self, from: SocketAddr, to: SocketAddr, bytes: usize) -> Option<Instant> {
        let now = Instant::now();
        let Some(rate) = self.weather.rate else {
            return Some(now);
        };
        let busy_until = self.busy_until.entry((from, to)).or_insert(now);
        let begins = now.max(*busy_until);
        if begins - now > QUEUE {
            return None;
        }
        *busy_until = begins + Duration::from_secs_f64(bytes as f64 / f64::from(rate));
        Some(*busy_until)
    }
}

/// One node's socket.
struct Socket {
    ether: Ether,
    address: SocketAddr,
    alarm: Mutex<Pin<Box<Sleep>>>,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Socket({})", self.address)
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let size = transmit.segment_size.unwrap_or(transmit.contents.len());
        let mut state = self.ether.state();
        for datagram in transmit.contents.chunks(size.max(1)) {
            state.send(self.address, transmit.destination, datagram);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut alarm = self.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let mut state = self.ether.state();
            let Some(mailbox) = state.mailboxes.get_mut(&self.address) else {
                return Poll::Pending;
            };
            let taken = mailbox.take(bufs, meta);
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
            mailbox.reader = Some(cx.waker().clone());
            let Some(((due, _), _)) = mailbox.arriving.first_key_value() else {
                return Poll::Pending;
            };
            alarm.as_mut().reset(*due);
            drop(state);
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn may_fragment(&self) -> bool {
        // As on the system's socket: discovery of large datagrams is part of the test.
        false
    }
}

impl Mailbox {
    /// Takes what is due, as far as there are buffers.
    fn take(&mut self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> usize {
        let now = Instant::now();
        let mut taken = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta) {
            let Some(first) = self.arriving.first_entry() else {
                break;
            };
            if first.key().0 > now {
                break;
            }
            let Datagram { from, data } = first.remove();
            let len = data.len().min(buf.len());
            buf[..len].copy_from_slice(&data[..len]);
            *meta = RecvMeta {
                addr: from,
                len,
                stride: len,
                ecn: None,
                dst_ip: None,
            };
            taken += 1;
        }
        taken
    }
}

#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
