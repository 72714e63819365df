//! The threads that read the proxy's sockets.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use super::{Direction, Shared};

const LARGEST: usize = 65_536;

/// Reads what the others send to `node`.
pub(super) fn front(shared: &Shared, node: u64, front: &UdpSocket) {
    let mut buffer = vec![0; LARGEST];
    while !shared.is_over() {
        let Some((len, from)) = receive(front, &mut buffer) else {
            continue;
        };
        // A stranger speaks to no node.
        let sender = shared.nodes.iter().find(|(_, address)| **address == from);
        if let Some((&sender, _)) = sender {
            let back = shared.state().backs.get(&(sender, node)).map(Arc::clone);
            if let Some(back) = back {
                shared.pass((sender, node), &back, &buffer[..len]);
            }
        }
    }
}

/// Reads what the second node answers the first, for whom this socket stands.
pub(super) fn back(shared: &Shared, (first, second): Direction, back: &Arc<UdpSocket>) {
    let mut buffer = vec![0; LARGEST];
    while !shared.is_over() {
        let received = receive(back, &mut buffer);
        // It may have lost its place while it waited.
        if !stands(shared, (first, second), back) {
            return;
        }
        let Some((len, from)) = received else {
            continue;
        };
        let is_its_own = shared.nodes.get(&second) == Some(&from);
        if is_its_own && let Some(front) = shared.fronts.get(&second) {
            shared.pass((second, first), front, &buffer[..len]);
        }
    }
}

/// Whether it is still this socket that stands for the node.
fn stands(shared: &Shared, way: Direction, back: &Arc<UdpSocket>) -> bool {
    let state = shared.state();
    state
        .backs
        .get(&way)
        .is_some_and(|now| Arc::ptr_eq(now, back))
}

/// The next datagram; nothing if none came for a while.
fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
    match socket.recv_from(buffer) {
        Ok(received) => Some(received),
        Err(error) => {
            // The refusal of what was sent before comes here, too.
            let is_usual = matches!(
                error.kind(),
                ErrorKind::WouldBlock
                    | ErrorKind::TimedOut
                    | ErrorKind::ConnectionRefused
                    | ErrorKind::Interrupted
            );
            if !is_usual {
                eprintln!("the proxy cannot receive: {error}");
            }
            None
        }
    }
}
