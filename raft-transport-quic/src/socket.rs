//! The socket of an endpoint: as quinn's own, with fewer calls of the system.
//!
//! - A socket in tokio's hands is told of each datagram that has left, and wakes its node
//!   for it. This one asks for that word only while it has no room.
//! - A read that brings less than it has room for has emptied the socket: the next one
//!   waits for word from the system in place of asking in vain.
//! - Small datagrams leave in bundles ([`bundle`](crate::bundle)).

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use crate::bundle::Bundle;

/// A pause where the system cannot tell when there is room.
const PAUSE: Duration = Duration::from_millis(1);

/// A socket of the system.
#[derive(Debug)]
pub(crate) struct Socket {
    io: AsyncFd<UdpSocket>,
    state: UdpSocketState,
    /// The last attempt to send found no room.
    is_full: AtomicBool,
    bundle: Mutex<Bundle>,
    /// Something waits in the bundle, or the socket is gone.
    bundled: Arc<Notify>,
}

impl Socket {
    /// Takes a bound socket over. Only within a runtime.
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Arc<Self>> {
        // Makes it one that does not block, too.
        let state = UdpSocketState::new((&socket).into())?;
        let socket = Arc::new(Self {
            io: watched(socket, Interest::READABLE)?,
            is_full: AtomicBool::new(false),
            bundle: Mutex::new(Bundle::new(state.max_gso_segments())),
            bundled: Arc::default(),
            state,
        });
        let bundled = Arc::clone(&socket.bundled);
        tokio::spawn(send_bundles(Arc::downgrade(&socket), bundled));
        Ok(socket)
    }

    fn send(&self, batch: &Transmit<'_>) -> io::Result<()> {
        let sent = self.state.send(self.io.get_ref().into(), batch);
        if is_for_want_of_room(&sent) {
            self.is_full.store(true, Ordering::Relaxed);
        }
        sent
    }

    /// Sends what waits. It goes on waiting if there is no room for it.
    fn send_bundle(&self, bundle: &mut Bundle) -> io::Result<()> {
        let Some(whole) = bundle.whole() else {
            return Ok(());
        };
        let sent = self.send(&whole);
        if !is_for_want_of_room(&sent) {
            bundle.clear();
        }
        sent
    }

    fn bundle(&self) -> MutexGuard<'_, Bundle> {
        // A datagram that was half taken in would be one that the peer cannot read.
        self.bundle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another handle of the socket waits, since the system tells each of one thing only.
    async fn room(&self) -> io::Result<()> {
        let handle = self.io.get_ref().try_clone();
        match handle.and_then(|handle| watched(handle, Interest::WRITABLE)) {
            Ok(handle) => handle.writable().await.map(|_word| ()),
            // As many files are open as may be.
            Err(_) => {
                tokio::time::sleep(PAUSE).await;
                Ok(())
            }
        }
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Room {
            socket: self,
            waiting: None,
        })
    }

    fn try_send(&self, batch: &Transmit<'_>) -> io::Result<()> {
        let mut bundle = self.bundle();
        if !bundle.takes(batch) {
            self.send_bundle(&mut bundle)?;
            if !bundle.takes(batch) {
                return self.send(batch);
            }
        }
        if !bundle.waits_after(batch) {
            let sent = self.send_bundle(&mut bundle);
            if !is_for_want_of_room(&sent) {
                return sent;
            }
        }
        self.bundled.notify_one();
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut word = ready!(self.io.poll_read_ready(cx))?;
            match self.state.recv(self.io.get_ref().into(), bufs, meta) {
                Ok(count) => {
                    if count < bufs.len() {
                        // Forgets the word that led here, and none that came since.
                        word.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => word.clear_ready(),
                Err(error) => {
                    // Of an earlier datagram, or passing: quinn would give the socket up.
                    tracing::debug!(%error, "a read of the socket failed");
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.bundled.notify_one();
    }
}

/// Sends what nothing followed, until the socket is gone.
async fn send_bundles(socket: Weak<Socket>, bundled: Arc<Notify>) {
    loop {
        bundled.notified().await;
        // What is ready to follow goes first.
        give_way().await;
        let Some(socket) = socket.upgrade() else {
            return;
        };
        loop {
            let sent = socket.send_bundle(&mut socket.bundle());
            if !is_for_want_of_room(&sent) {
                break;
            }
            if let Err(error) = socket.room().await {
                tracing::debug!(%error, "cannot wait for room in the socket");
                break;
            }
        }
    }
}

/// Lets whoever is ready go first, once. Tokio's own way would look for events before.
async fn give_way() {
    let mut has_waited = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The socket, and word from the system of nothing but what is asked for: tokio's own
/// sockets always ask for both.
#[allow(
    deprecated,
    reason = "its successor is unsafe, for types whose descriptor may change; a socket's does not"
)]
fn watched(socket: UdpSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
    AsyncFd::with_interest(socket, interest)
}

fn is_for_want_of_room(sent: &io::Result<()>) -> bool {
    matches!(sent, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

type Waiting = Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>;

/// One connection's wait for room in the socket.
struct Room {
    socket: Arc<Socket>,
    waiting: Option<Waiting>,
}

impl UdpPoller for Room {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.waiting.is_none() && !self.socket.is_full.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let socket = Arc::clone(&self.socket);
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(async move { socket.room().await }));
        let room = ready!(waiting.as_mut().poll(cx));
        self.waiting = None;
        self.socket.is_full.store(false, Ordering::Relaxed);
        Poll::Ready(room)
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 1200;

    fn local() -> UdpSocket {
        UdpSocket::bind("127.0.0.1:0").unwrap()
    }

    /// So many datagrams, each filled with its number.
    fn numbered(numbers: std::ops::Range<u8>) -> Vec<u8> {
        numbers.flat_map(|number| [number; SIZE]).collect()
    }

    fn batch(contents: &[u8], to: SocketAddr) -> Transmit<'_> {
        Transmit {
            destination: to,
            ecn: None,
            contents,
            segment_size: (contents.len() > SIZE).then_some(SIZE),
            src_ip: None,
        }
    }

    /// Takes the next datagrams off a socket of tokio's.
    async fn numbers(receiver: &tokio::net::UdpSocket, count: usize) -> Vec<u8> {
        let mut numbers = Vec::new();
        let mut datagram = [0; 2 * SIZE];
        while numbers.len() < count {
            let len = receiver.recv(&mut datagram).await.unwrap();
            assert!(datagram[..len].iter().all(|byte| *byte == datagram[0]));
            numbers.push(datagram[0]);
        }
        numbers
    }

    fn receiver() -> (tokio::net::UdpSocket, SocketAddr) {
        let socket = local();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        (tokio::net::UdpSocket::from_std(socket).unwrap(), address)
    }

    #[tokio::test]
    async fn a_full_batch_that_nothing_follows_leaves_by_itself() {
        let socket = Socket::new(local()).unwrap();
        let (receiver, to) = receiver();

        socket.try_send(&batch(&numbered(0..10), to)).unwrap();

        assert_eq!(numbers(&receiver, 10).await, Vec::from_iter(0..10));
    }

    #[tokio::test]
    async fn datagrams_leave_in_their_order_whatever_waits_for_what() {
        let socket = Socket::new(local()).unwrap();
        let (receiver, to) = receiver();

        for numbers in [0..10, 10..20, 20..21, 21..31, 31..33, 33..43] {
            socket.try_send(&batch(&numbered(numbers), to)).unwrap();
        }

        assert_eq!(numbers(&receiver, 43).await, Vec::from_iter(0..43));
    }

    #[tokio::test]
    async fn whoever_found_no_room_is_told_when_there_is_some() {
        let socket = Socket::new(local()).unwrap();
        socket.is_full.store(true, Ordering::Relaxed);
        let mut room = Arc::clone(&socket).create_io_poller();

        std::future::poll_fn(|cx| room.as_mut().poll_writable(cx))
            .await
            .unwrap();

        assert!(!socket.is_full.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn what_comes_after_the_socket_was_emptied_is_read_too() {
        let socket = Socket::new(local()).unwrap();
        let to = socket.local_addr().unwrap();
        let sender = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut buffers = [[0; 65_536]; 4];

        for round in 1..=3_u8 {
            sender.send_to(&[round; 10], to).await.unwrap();
            let mut metas = [RecvMeta::default(); 4];
            let mut bufs = buffers.each_mut().map(|buffer| IoSliceMut::new(buffer));
            let received =
                std::future::poll_fn(|cx| socket.poll_recv(cx, &mut bufs, &mut metas)).await;

            assert_eq!(received.unwrap(), 1);
            assert_eq!((metas[0].len, bufs[0][0]), (10, round));
        }
    }

    #[tokio::test]
    async fn its_task_ends_with_the_socket() {
        let socket = Socket::new(local()).unwrap();
        let bundled = Arc::downgrade(&socket.bundled);

        drop(socket);

        while bundled.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    }
}
