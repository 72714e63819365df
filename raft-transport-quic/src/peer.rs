//! One peer: what waits for it, which connection leads to it, and the task
//! that dials until there is one.
//!
//! Both nodes of a pair dial, so two connections may come up at once. Both
//! sides then keep the one that the lower node dialled. A peer that restarted
//! says so in its hello, and its new connection always wins over the dead one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::Connection;
use raft_core::{Envelope, MessageClass, NodeId};
use tokio::sync::watch;

use crate::config::QuicConfig;
use crate::error::{CloseCode, Direction};
use crate::link;
use crate::queue::BoundedQueue;
use crate::shared::{Shared, random};

/// A connection that lived so long was a good one: the next dial starts afresh.
const GOOD_LIFE: Duration = Duration::from_secs(1);
/// TLS wants a name; ours says nothing, since certificates name nodes.
const SERVER_NAME: &str = "raft";

/// What is known of one peer.
pub(crate) struct Peer {
    pub(crate) id: NodeId,
    control: BoundedQueue,
    append: BoundedQueue,
    state: watch::Sender<PeerState>,
}

#[derive(Default)]
struct PeerState {
    address: String,
    current: Option<Current>,
    removed: bool,
}

/// The connection in use.
pub(crate) struct Current {
    pub(crate) connection: Connection,
    pub(crate) dialled_by: NodeId,
    pub(crate) peer_boot: u64,
    /// Tells the connection's tasks that another one took its place.
    pub(crate) retire: watch::Sender<bool>,
}

impl Current {
    /// Whether this connection stays although `newcomer` is up too.
    fn outlasts(&self, newcomer: &Self) -> bool {
        self.connection.close_reason().is_none()
            && self.peer_boot == newcomer.peer_boot
            && self.dialled_by < newcomer.dialled_by
    }
}

impl Peer {
    pub(crate) fn new(id: NodeId, address: String, config: &QuicConfig) -> Self {
        Self {
            id,
            control: BoundedQueue::new(config.control_queue),
            append: BoundedQueue::new(config.append_queue),
            state: watch::Sender::new(PeerState {
                address,
                ..PeerState::default()
            }),
        }
    }

    /// What waits in a class; snapshots do not wait here.
    pub(crate) fn queue(&self, class: MessageClass) -> &BoundedQueue {
        match class {
            MessageClass::Control => &self.control,
            MessageClass::Append | MessageClass::Snapshot => &self.append,
        }
    }

    /// Puts a batch into the queues of its classes; a run of one class at once.
    pub(crate) fn push(&self, batch: Vec<Envelope>) {
        let mut left = batch.into_iter().peekable();
        while let Some(class) = left.peek().map(|next| next.message.class()) {
            let run = std::iter::from_fn(|| left.next_if(|e| e.message.class() == class));
            let dropped = self.queue(class).push(run);
            count_dropped(class, "queue_full", dropped);
        }
    }

    /// Drops what waited too long for a connection to still be of use.
    pub(crate) fn drop_stale(&self, age: Duration) {
        for class in [MessageClass::Control, MessageClass::Append] {
            count_dropped(class, "stale", self.queue(class).drop_older_than(age));
        }
    }

    pub(crate) fn address(&self) -> String {
        self.state.borrow().address.clone()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.state.borrow().current.is_some()
    }

    /// Follows the peer to another address. The old connection is given up:
    /// whoever is at its end is not where the peer is said to be.
    pub(crate) fn set_address(&self, address: String) {
        self.state.send_if_modified(|state| {
            if state.address == address {
                return false;
            }
            tracing::info!(peer = %self.id, from = state.address, to = address, "peer moved");
            state.address = address;
            state.close_current("the peer is at another address now");
            true
        });
    }

    /// Ends the connection and the task that would dial again.
    pub(crate) fn remove(&self) {
        self.state.send_modify(|state| {
            state.removed = true;
            state.close_current("no longer a peer");
        });
    }

    /// Puts a new connection to use, unless the one in use stays; says which.
    pub(crate) fn adopt(&self, newcomer: Current) -> bool {
        self.state.send_if_modified(|state| {
            let stays = state
                .current
                .as_ref()
                .is_some_and(|c| c.outlasts(&newcomer));
            if stays || state.removed {
                return false;
            }
            if let Some(old) = state.current.replace(newcomer) {
                old.retire.send_replace(true);
            }
            true
        })
    }

    /// Forgets a connection that ended, if it is the one in use.
    pub(crate) fn release(&self, ended: &Connection) {
        self.state.send_if_modified(|state| {
            let in_use = state
                .current
                .as_ref()
                .is_some_and(|c| c.connection.stable_id() == ended.stable_id());
            if in_use {
                state.current = None;
            }
            in_use
        });
    }

    /// The connection in use, once there is one.
    pub(crate) async fn connection(&self) -> Option<Connection> {
        let mut state = self.state.subscribe();
        let settled = state
            .wait_for(|state| state.removed || state.current.is_some())
            .await
            .ok()?;
        settled.current.as_ref().map(|c| c.connection.clone())
    }
}

impl PeerState {
    fn close_current(&mut self, reason: &str) {
        if let Some(current) = self.current.take() {
            let code = CloseCode::Moved.code();
            current.connection.close(code, reason.as_bytes());
        }
    }
}

/// Dials whenever there is no connection, until the peer is removed.
pub(crate) async fn keep(shared: Arc<Shared>, peer: Arc<Peer>) {
    let mut state = peer.state.subscribe();
    let mut backoff = Backoff::new(&shared.config);
    loop {
        let waiting = Instant::now();
        let address = match state
            .wait_for(|state| state.removed || state.current.is_none())
            .await
        {
            Ok(state) if !state.removed => state.address.clone(),
            _ => return,
        };
        backoff.reset_after(waiting.elapsed());
        // Whatever changes the situation ends the dial or the pause after it.
        let changed = |state: &PeerState| {
            state.removed || state.current.is_some() || state.address != address
        };
        let dialled = tokio::select! {
            dialled = dial(&shared, &peer, &address, backoff.attempt) => dialled,
            _ = state.wait_for(changed) => continue,
        };
        match dialled {
            Ok(connection) => {
                let begun = Instant::now();
                link::run(&shared, connection, Some(peer.id)).await;
                backoff.reset_after(begun.elapsed());
            }
            Err(reason) => {
                tracing::debug!(peer = %peer.id, address, reason, "cannot reach peer");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.pause()) => {}
            _ = state.wait_for(changed) => {}
        }
    }
}

async fn dial(
    shared: &Shared,
    peer: &Peer,
    address: &str,
    attempt: u32,
) -> Result<Connection, String> {
    metrics::counter!("raft_transport_dials_total").increment(1);
    let address = resolve(shared, address, attempt).await?;
    let connecting = shared
        .endpoint
        .connect(address, SERVER_NAME)
        .map_err(|error| error.to_string())?;
    let limit = shared.config.handshake_timeout;
    match tokio::time::timeout(limit, connecting).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => {
            count_handshake_failure(Direction::Outgoing);
            shared
                .refusals
                .record_end(Direction::Outgoing, Some(peer.id), address, &error);
            Err(error.to_string())
        }
        Err(_) => Err(format!("no answer from {address} within {limit:?}")),
    }
}

/// One of the addresses a `host:port` stands for, another one at each attempt.
async fn resolve(shared: &Shared, address: &str, attempt: u32) -> Result<SocketAddr, String> {
    let only_v4 = shared.config.listen.is_ipv4();
    let found: Vec<SocketAddr> = tokio::net::lookup_host(address)
        .await
        .map_err(|error| format!("cannot resolve {address:?}, expected host:port: {error}"))?
        .filter(|found| found.is_ipv4() || !only_v4)
        .collect();
    match found.len() {
        0 if only_v4 => Err(format!(
            "{address:?} has no IPv4 address, and this node listens on IPv4 only"
        )),
        0 => Err(format!("{address:?} has no address")),
        count => Ok(found[attempt as usize % count]),
    }
}

pub(crate) fn count_handshake_failure(direction: Direction) {
    let direction = match direction {
        Direction::Incoming => "incoming",
        Direction::Outgoing => "outgoing",
    };
    metrics::counter!("raft_transport_handshake_failures_total", "direction" => direction)
        .increment(1);
}

pub(crate) fn count_dropped(class: MessageClass, reason: &'static str, count: u64) {
    if count > 0 {
        let class = class_name(class);
        metrics::counter!("raft_transport_dropped_total", "class" => class, "reason" => reason)
            .increment(count);
    }
}

pub(crate) const fn class_name(class: MessageClass) -> &'static str {
    match class {
        MessageClass::Control => "control",
        MessageClass::Append => "append",
        MessageClass::Snapshot => "snapshot",
    }
}

/// Pauses between dials: doubling, bounded, and never the same on two nodes.
struct Backoff {
    attempt: u32,
    min: Duration,
    max: Duration,
}

impl Backoff {
    const fn new(config: &QuicConfig) -> Self {
        Self {
            attempt: 0,
            min: config.backoff_min,
            max: config.backoff_max,
        }
    }

    /// Starts afresh after a connection that lived this long, if that was long.
    fn reset_after(&mut self, life: Duration) {
        if life > GOOD_LIFE {
            self.attempt = 0;
        }
    }

    /// The next pause: between half and all of the current step.
    fn pause(&mut self) -> Duration {
        const STEPS: u64 = 1024;
        let doubled = self.min.saturating_mul(1 << self.attempt.min(16));
        self.attempt = self.attempt.saturating_add(1);
        let step = doubled.min(self.max);
        let jitter = u32::try_from(random() % STEPS).expect("below 1024");
        step / 2 + step / 2 * jitter / u32::try_from(STEPS).expect("is 1024")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_within_their_jitter_up_to_the_longest() {
        let mut backoff = Backoff {
            attempt: 0,
            min: Duration::from_millis(20),
            max: Duration::from_secs(1),
        };

        for step in [20, 40, 80, 160, 320, 640, 1000, 1000] {
            let (pause, step) = (backoff.pause(), Duration::from_millis(step));
            assert!(pause >= step / 2 && pause <= step, "{pause:?} of {step:?}");
        }
        backoff.attempt = u32::MAX;
        assert!(backoff.pause() <= backoff.max);
    }

    #[test]
    fn a_long_life_ends_the_growth_of_pauses_and_a_short_one_does_not() {
        let mut backoff = Backoff {
            attempt: 5,
            min: Duration::from_millis(20),
            max: Duration::from_secs(1),
        };

        backoff.reset_after(Duration::from_millis(10));
        assert_eq!(backoff.attempt, 5);
        backoff.reset_after(GOOD_LIFE * 2);

        assert_eq!(backoff.attempt, 0);
    }
}
