//! Datagrams that wait for their time.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What may wait, in bytes. More is lost, as in any router.
const MOST_WAITING: usize = 64 * 1024 * 1024;

/// The datagrams under way, by when they are due.
#[derive(Default)]
pub(super) struct Late {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: BTreeMap<(Instant, u64), Datagram>,
    bytes: usize,
    added: u64,
    is_over: bool,
}

struct Datagram {
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    data: Vec<u8>,
}

impl Late {
    /// Sends it when it is due. Answers whether it was taken.
    pub(super) fn add(
        &self,
        due: Instant,
        socket: &Arc<UdpSocket>,
        to: SocketAddr,
        data: &[u8],
    ) -> bool {
        let mut queue = self.queue();
        if queue.is_over || queue.bytes + data.len() > MOST_WAITING {
            return false;
        }
        queue.bytes += data.len();
        queue.added += 1;
        let datagram = Datagram {
            socket: Arc::clone(socket),
            to,
            data: data.to_vec(),
        };
        let key = (due, queue.added);
        queue.waiting.insert(key, datagram);
        let is_first = queue.waiting.first_key_value().map(|(first, _)| *first) == Some(key);
        drop(queue);
        if is_first {
            self.changed.notify_one();
        }
        true
    }

    /// Sends what is due, until all is over.
    pub(super) fn deliver(&self) {
        let mut queue = self.queue();
        while !queue.is_over {
            let now = Instant::now();
            let next = queue.waiting.first_key_value().map(|((due, _), _)| *due);
            match next {
                Some(due) if due <= now => {
                    let Some((_, datagram)) = queue.waiting.pop_first() else {
                        continue;
                    };
                    queue.bytes -= datagram.data.len();
                    drop(queue);
                    // A node that is down refuses it, which is like losing it.
                    let _ = datagram.socket.send_to(&datagram.data, datagram.to);
                    queue = self.queue();
                }
                Some(due) => {
                    let waited = self.changed.wait_timeout(queue, due - now);
                    queue = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                None => {
                    let waited = self.changed.wait(queue);
                    queue = waited.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Ends the delivery; what waits is lost.
    pub(super) fn end(&self) {
        self.queue().is_over = true;
        self.changed.notify_all();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
