//! A stretch of network between two nodes, which a test can cut and measure.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::net::UdpSocket;
use tokio::sync::Mutex;

/// Passes datagrams on between whoever dials it and a node, until it is cut.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    pub(crate) cut: Arc<AtomicBool>,
    /// Bytes passed on to the node.
    forwarded: Arc<AtomicUsize>,
}

impl Relay {
    pub(crate) async fn start(node: SocketAddr) -> Self {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let address = front.local_addr().unwrap();
        let cut = Arc::new(AtomicBool::new(false));
        let forwarded = Arc::new(AtomicUsize::new(0));
        let dialler = Arc::new(Mutex::new(None));
        let (f, b, c, d) = (front.clone(), back.clone(), cut.clone(), dialler.clone());
        let count = forwarded.clone();
        tokio::spawn(async move {
            let mut datagram = vec![0; 65_536];
            while let Ok((len, from)) = f.recv_from(&mut datagram).await {
                *d.lock().await = Some(from);
                if !c.load(Ordering::Relaxed) {
                    count.fetch_add(len, Ordering::Relaxed);
                    b.send_to(&datagram[..len], node).await.ok();
                }
            }
        });
        let c = cut.clone();
        tokio::spawn(async move {
            let mut datagram = vec![0; 65_536];
            while let Ok((len, _)) = back.recv_from(&mut datagram).await {
                let to = *dialler.lock().await;
                if let (Some(to), false) = (to, c.load(Ordering::Relaxed)) {
                    front.send_to(&datagram[..len], to).await.ok();
                }
            }
        });
        Self {
            address,
            cut,
            forwarded,
        }
    }

    pub(crate) fn forwarded(&self) -> usize {
        self.forwarded.load(Ordering::Relaxed)
    }
}
