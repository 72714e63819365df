//! A UDP proxy between nodes, which loses, delays, doubles and reorders what they send.
//!
//! Each node is known to the others under an address of the proxy. What comes from a
//! node's real address there goes on to the other one from a socket of its own, so that
//! answers find their way back; the direction, from one node to another, is what faults
//! are set for, whichever of the two dialled. Faults may change at any time, and are
//! drawn from one seed ([`link`]).

mod late;
mod link;
mod pump;

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use self::late::Late;
pub(crate) use self::link::Conditions;
use self::link::Link;

/// From one node to another.
type Direction = (u64, u64);

/// A running proxy. Ends when it is dropped.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    fronts: BTreeMap<u64, SocketAddr>,
    threads: Vec<JoinHandle<()>>,
}

/// What happened to the datagrams of one direction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counts {
    pub(crate) arrived: u64,
    /// By decision, or because a slow path or the proxy was full.
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
}

/// What all threads know.
struct Shared {
    began: Instant,
    nodes: BTreeMap<u64, SocketAddr>,
    fronts: BTreeMap<u64, Arc<UdpSocket>>,
    state: Mutex<State>,
    late: Late,
    is_over: AtomicBool,
}

struct State {
    paths: BTreeMap<Direction, Path>,
    /// The socket that stands for the first node before the second.
    backs: BTreeMap<Direction, Arc<UdpSocket>>,
}

struct Path {
    conditions: Conditions,
    link: Link,
    counts: Counts,
}

impl Proxy {
    /// Stands between the nodes at these addresses, under the same conditions in all
    /// directions.
    pub(crate) fn start(
        seed: u64,
        nodes: &[(u64, SocketAddr)],
        conditions: Conditions,
    ) -> Result<Self> {
        let mut fronts = BTreeMap::new();
        for (node, _) in nodes {
            fronts.insert(*node, Arc::new(socket()?));
        }
        let mut state = State {
            paths: BTreeMap::new(),
            backs: BTreeMap::new(),
        };
        for (from, to) in directions(nodes) {
            let path = Path {
                conditions,
                link: Link::new(seed, from, to),
                counts: Counts::default(),
            };
            state.paths.insert((from, to), path);
        }
        let addresses: Result<_> = fronts
            .iter()
            .map(|(node, socket)| Ok((*node, socket.local_addr()?)))
            .collect();
        let mut proxy = Self {
            fronts: addresses?,
            shared: Arc::new(Shared {
                began: Instant::now(),
                nodes: nodes.iter().copied().collect(),
                fronts,
                state: Mutex::new(state),
                late: Late::default(),
                is_over: AtomicBool::new(false),
            }),
            threads: Vec::new(),
        };
        proxy.begin(nodes)?;
        Ok(proxy)
    }

    fn begin(&mut self, nodes: &[(u64, SocketAddr)]) -> Result<()> {
        for (from, to) in directions(nodes) {
            self.rebind(from, to)?;
        }
        for (node, front) in &self.shared.fronts {
            let (shared, front, node) = (Arc::clone(&self.shared), Arc::clone(front), *node);
            self.threads.push(std::thread::spawn(move || {
                pump::front(&shared, node, &front)
            }));
        }
        let shared = Arc::clone(&self.shared);
        self.threads
            .push(std::thread::spawn(move || shared.late.deliver()));
        Ok(())
    }

    /// Where the others reach a node.
    pub(crate) fn address(&self, node: u64) -> Option<SocketAddr> {
        self.fronts.get(&node).copied()
    }

    /// Changes what happens from one node to another, from now on.
    pub(crate) fn set(&self, from: u64, to: u64, conditions: Conditions) -> Result<()> {
        let mut state = self.shared.state();
        let path = state.paths.get_mut(&(from, to));
        path.with_context(|| format!("the proxy knows no way from node {from} to node {to}"))?
            .conditions = conditions;
        Ok(())
    }

    /// From now on `to` sees what `from` sends as coming from another port, as behind
    /// an address translator that was restarted.
    pub(crate) fn rebind(&mut self, from: u64, to: u64) -> Result<()> {
        let back = Arc::new(socket()?);
        let mut state = self.shared.state();
        state.backs.insert((from, to), Arc::clone(&back));
        drop(state);
        let shared = Arc::clone(&self.shared);
        let pumping = std::thread::spawn(move || pump::back(&shared, (from, to), &back));
        self.threads.push(pumping);
        Ok(())
    }

    /// What happened so far, in each direction.
    pub(crate) fn counts(&self) -> BTreeMap<Direction, Counts> {
        let state = self.shared.state();
        let counts = state.paths.iter().map(|(way, path)| (*way, path.counts));
        counts.collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.shared.late.end();
        for thread in self.threads.drain(..) {
            // One that panicked has said so; nothing here depends on it.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Lets a datagram go its way, if it may, and when it may.
    fn pass(&self, way: Direction, socket: &Arc<UdpSocket>, data: &[u8]) {
        let Some(to) = self.nodes.get(&way.1) else {
            return;
        };
        let now = self.began.elapsed();
        let mut state = self.state();
        let Some(path) = state.paths.get_mut(&way) else {
            return;
        };
        let delays = path.link.decide(&path.conditions, now, data.len());
        let mut delivered = 0;
        for delay in &delays {
            let due = self.began + now + *delay;
            delivered += u64::from(self.late.add(due, socket, *to, data));
        }
        path.counts.note(delays.len() as u64, delivered);
    }
}

impl Counts {
    fn note(&mut self, decided: u64, delivered: u64) {
        self.arrived += u64::from(delivered > 0);
        self.lost += u64::from(delivered == 0);
        self.doubled += u64::from(decided > 1 && delivered > 1);
    }
}

/// A free port. Whoever waits on it looks up now and then whether all is over.
fn socket() -> Result<UdpSocket> {
    const PAUSE: Duration = Duration::from_millis(100);
    let socket = UdpSocket::bind(("127.0.0.1", 0)).context("no free port")?;
    socket.set_read_timeout(Some(PAUSE))?;
    Ok(socket)
}

fn directions(nodes: &[(u64, SocketAddr)]) -> impl Iterator<Item = Direction> {
    let pairs = nodes.iter().flat_map(move |(from, _)| {
        let others = nodes.iter().filter(move |(to, _)| to != from);
        others.map(move |(to, _)| (*from, *to))
    });
    pairs.collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests;
