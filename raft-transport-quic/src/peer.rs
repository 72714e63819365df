//! One peer: what waits for it, which connection leads to it, and the task
//! that dials until there is one.
//!
//! Both nodes of a pair dial, so two connections may come up at once. Both
//! sides then keep the one that the lower node dialled. A peer that restarted
//! says so in its hello, and its new connection always wins over the dead one.
//!
//! When a certificate is replaced, its node dials another connection with it.
//! Both sides then keep the one with more renewals, and the other ends.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use quinn::Connection;
use raft_core::{Envelope, MessageClass, NodeId};
use tokio::sync::{oneshot, watch};

use crate::backoff::Backoff;
use crate::config::QuicConfig;
use crate::credentials::Credentials;
use crate::error::{CloseCode, Direction};
use crate::link::{self, Dialled};
use crate::outlet::Outlet;
use crate::queue::{BoundedQueue, QueueLimit};
use crate::refusals::printable_end;
use crate::shared::Shared;
use crate::telemetry::{FailureReason, count_handshake_failure};

/// TLS wants a name; ours says nothing, since certificates name nodes.
const SERVER_NAME: &str = "raft";
/// What a peer hears that was removed.
pub(crate) const NO_PEER: &str = "no longer a peer";

/// More than that is left to the task that empties the queue: whoever sends it has other
/// things to do than to encode it.
const AT_ONCE: usize = 8 * 1024;
/// What comes sooner after what was queued before comes in a burst.
const APART: Duration = Duration::from_micros(50);

/// What is known of one peer.
pub(crate) struct Peer {
    pub(crate) id: NodeId,
    control: Lane,
    append: Lane,
    state: watch::Sender<PeerState>,
}

/// What waits in a class, and the way out if there is one.
struct Lane {
    queue: BoundedQueue,
    outlet: Mutex<Weak<Outlet>>,
}

impl Lane {
    fn new(limit: QueueLimit) -> Self {
        Self {
            queue: BoundedQueue::new(limit),
            outlet: Mutex::new(Weak::new()),
        }
    }

    fn outlet(&self) -> MutexGuard<'_, Weak<Outlet>> {
        // It is whole, whatever panicked.
        self.outlet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues messages and has them sent; answers how many older ones were dropped.
    fn push(&self, run: impl Iterator<Item = Envelope>) -> u64 {
        let pushed = self.queue.push(run);
        let is_little = pushed.waiting_bytes <= AT_ONCE;
        let is_apart = pushed.after.is_none_or(|after| after >= APART);
        let outlet = (is_little && is_apart).then(|| self.outlet().upgrade());
        let outlet = outlet.flatten();
        if !outlet.is_some_and(|outlet| outlet.write_at_once(&self.queue)) {
            self.queue.call();
        }
        pushed.dropped
    }
}

#[derive(Default)]
struct PeerState {
    address: String,
    current: Option<Current>,
    /// A connection that was made with an older certificate of ours is to be
    /// replaced.
    own_renewals: u64,
    removed: bool,
}

/// The connection in use.
pub(crate) struct Current {
    pub(crate) connection: Connection,
    pub(crate) dialled_by: NodeId,
    pub(crate) peer_boot: u64,
    /// How often our certificate had changed when it was made.
    pub(crate) own_renewals: u64,
    /// How often the peer's had.
    pub(crate) peer_renewals: u64,
    /// The message format in use.
    pub(crate) version: u8,
    /// Where it leads, if we dialled it.
    pub(crate) dialled_at: Option<String>,
    /// Tells the connection's tasks that another one took its place.
    pub(crate) retire: watch::Sender<bool>,
}

impl Current {
    const fn renewals(&self) -> u64 {
        self.own_renewals.saturating_add(self.peer_renewals)
    }

    /// Whether this connection stays although `newcomer` is up too.
    fn outlasts(&self, newcomer: &Self) -> bool {
        // Both sides see the same numbers, so both keep the same connection.
        let newer = (self.renewals(), Reverse(self.dialled_by))
            > (newcomer.renewals(), Reverse(newcomer.dialled_by));
        self.connection.close_reason().is_none() && self.peer_boot == newcomer.peer_boot && newer
    }
}

impl Peer {
    pub(crate) fn new(id: NodeId, address: String, config: &QuicConfig) -> Self {
        Self {
            id,
            control: Lane::new(config.control_queue),
            append: Lane::new(config.append_queue),
            state: watch::Sender::new(PeerState {
                address,
                ..PeerState::default()
            }),
        }
    }

    /// What waits in a class; snapshots do not wait here.
    pub(crate) fn queue(&self, class: MessageClass) -> &BoundedQueue {
        &self.lane(class).queue
    }

    const fn lane(&self, class: MessageClass) -> &Lane {
        match class {
            MessageClass::Control => &self.control,
            MessageClass::Append | MessageClass::Snapshot => &self.append,
        }
    }

    /// From now on messages of a class may take this way out, if its connection is still
    /// the one in use.
    pub(crate) fn open(&self, class: MessageClass, outlet: &Arc<Outlet>, of: &Connection) {
        // Held, so that a connection that is adopted meanwhile opens its own afterwards.
        let state = self.state.borrow();
        if state.is_current(of) {
            *self.lane(class).outlet() = Arc::downgrade(outlet);
        }
    }

    /// Puts a batch into the queues of its classes; a run of one class at once.
    pub(crate) fn push(&self, batch: Vec<Envelope>) {
        let mut left = batch.into_iter().peekable();
        while let Some(class) = left.peek().map(|next| next.message.class()) {
            let run = std::iter::from_fn(|| left.next_if(|e| e.message.class() == class));
            let dropped = self.lane(class).push(run);
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

    /// The message format in use with it.
    pub(crate) fn version(&self) -> Option<u8> {
        self.state.borrow().current.as_ref().map(|c| c.version)
    }

    /// How many changes of certificates, of both sides, the connection knows of.
    pub(crate) fn renewals(&self) -> Option<u64> {
        self.state.borrow().current.as_ref().map(Current::renewals)
    }

    /// Wants a connection that was made after so many changes of our certificate.
    pub(crate) fn renew(&self, own_renewals: u64) {
        self.state.send_if_modified(|state| {
            let changes = own_renewals > state.own_renewals;
            state.own_renewals = state.own_renewals.max(own_renewals);
            changes
        });
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
            state.close_current(NO_PEER);
        });
    }

    /// Whether it is none any more. Nothing that it says counts then.
    pub(crate) fn is_removed(&self) -> bool {
        self.state.borrow().removed
    }

    /// Returns when it is none any more.
    pub(crate) async fn removed(&self) {
        let mut state = self.state.subscribe();
        let removed = state.wait_for(|state| state.removed).await;
        debug_assert!(removed.is_ok(), "the peer holds its sender");
    }

    /// Puts a new connection to use, unless the one in use stays; says which.
    pub(crate) fn adopt(&self, newcomer: Current) -> bool {
        self.state.send_if_modified(|state| {
            let stays = state
                .current
                .as_ref()
                .is_some_and(|c| c.outlasts(&newcomer));
            // The peer may have moved while its connection came up.
            let is_elsewhere = newcomer
                .dialled_at
                .as_ref()
                .is_some_and(|a| *a != state.address);
            if stays || is_elsewhere || state.removed {
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
            let in_use = state.is_current(ended);
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
    fn is_current(&self, connection: &Connection) -> bool {
        let current = self.current.as_ref();
        current.is_some_and(|c| c.connection.stable_id() == connection.stable_id())
    }

    /// Whether a connection is to be dialled.
    fn wants_connection(&self) -> bool {
        let current = self.current.as_ref();
        current.is_none_or(|current| current.own_renewals < self.own_renewals)
    }

    fn close_current(&mut self, reason: &str) {
        if let Some(current) = self.current.take() {
            let code = CloseCode::Moved.code();
            current.connection.close(code, reason.as_bytes());
        }
    }
}

/// Dials whenever a connection is wanted, until the peer is removed.
pub(crate) async fn keep(shared: Arc<Shared>, peer: Arc<Peer>) {
    let mut state = peer.state.subscribe();
    let mut backoff = Backoff::new(&shared.config);
    loop {
        let waiting = Instant::now();
        let address = match state
            .wait_for(|state| state.removed || state.wants_connection())
            .await
        {
            Ok(state) if !state.removed => state.address.clone(),
            _ => return,
        };
        backoff.reset_after(waiting.elapsed());
        // Whatever changes the situation ends the dial or the pause after it.
        let changed = |state: &PeerState| {
            state.removed || !state.wants_connection() || state.address != address
        };
        let credentials = shared.credentials();
        let dialled = tokio::select! {
            dialled = dial(&shared, &peer, &credentials, &address, backoff.attempt()) => dialled,
            _ = state.wait_for(changed) => continue,
        };
        match dialled {
            Ok(connection) => {
                let begun = Instant::now();
                let dialled = Dialled {
                    node: peer.id,
                    address: address.clone(),
                };
                let ended = follow(&shared, dialled, &credentials, connection);
                tokio::select! {
                    _ = ended => {}
                    // Another one is dialled while this one is still in use.
                    _ = state.wait_for(|state| state.own_renewals > credentials.renewals) => {}
                }
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

/// Runs a connection that we dialled; the receiver hears of its end.
fn follow(
    shared: &Arc<Shared>,
    dialled: Dialled,
    credentials: &Credentials,
    connection: Connection,
) -> oneshot::Receiver<()> {
    let (end, ended) = oneshot::channel();
    let (task, renewals) = (Arc::clone(shared), credentials.renewals);
    shared.spawn(async move {
        link::run(&task, connection, Some(dialled), renewals).await;
        drop(end);
    });
    ended
}

async fn dial(
    shared: &Shared,
    peer: &Peer,
    credentials: &Credentials,
    address: &str,
    attempt: u32,
) -> Result<Connection, String> {
    metrics::counter!("raft_transport_dials_total").increment(1);
    let address = resolve(shared, address, attempt).await?;
    let connecting = shared
        .endpoint
        .connect_with(credentials.dialling.clone(), address, SERVER_NAME)
        .map_err(|error| error.to_string())?;
    let limit = shared.config.handshake_timeout;
    match tokio::time::timeout(limit, connecting).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => {
            shared
                .refusals
                .record_handshake(Direction::Outgoing, Some(peer.id), address, &error);
            Err(printable_end(&error))
        }
        Err(_) => {
            count_handshake_failure(Direction::Outgoing, FailureReason::Timeout);
            Err(format!("no answer from {address} within {limit:?}"))
        }
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
