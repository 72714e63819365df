//! A network of queues between the endpoints of one test, and flaws that it may have.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use bytes::Bytes;
use raft_core::message::{AppendEntries, Heartbeat};
use raft_core::testing::conformance::network::NetworkHarness;
use raft_core::{
    Envelope, GroupId, Inbox, MemberInfo, Message, MessageClass, Network, NetworkError, NodeId,
    Snapshot, SnapshotHeader, SnapshotReader, StorageError, async_trait,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

/// How a network breaks its contract.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Flaw {
    /// 1: waits for room.
    Blocks,
    /// 1: drops without a word.
    CountsNothing,
    /// 2: keeps all that waits.
    Unbounded,
    /// 3: has one queue for everything.
    Unordered,
    /// 4: flips a bit now and then.
    Alters,
    /// 5: believes who a message says it is from.
    Forges,
    /// 6: dials where a peer was first.
    StaysWhereItWas,
    /// 7: delivers to whoever is registered.
    MixesGroups,
    /// 8: says a chunk again after a break.
    RepeatsAChunk,
    /// 8: takes a break for the end.
    EndsEarly,
    /// 9: leaves the reader alone when the sender is gone.
    Hangs,
    /// 9: lets two snapshots of a group go on.
    KeepsTheFirst,
    /// 9: waits for a link as long as it takes.
    WaitsForEver,
    /// 9: goes on reading when the transport has stopped.
    OutlivesItsTransport,
    /// 9: takes the next snapshot of a group for the rest of the one before.
    GoesOnForAnyone,
    /// 10: reads all at once, and delivers later.
    SaysNothing,
}

/// Messages of a class that may wait for a peer.
const MOST: usize = 50;
/// How long a snapshot waits for its link.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often who waits looks again.
const LOOK: Duration = Duration::from_millis(1);

type Inboxes = BTreeMap<GroupId, Arc<dyn Inbox>>;

/// All endpoints by their address, and which links are cut.
#[derive(Default)]
struct Switch {
    endpoints: BTreeMap<u64, (NodeId, Inboxes)>,
    cut: BTreeSet<(NodeId, NodeId)>,
    /// Cancels the latest snapshot of each pair and group.
    sending: BTreeMap<Sending, oneshot::Sender<()>>,
    /// What is left of a snapshot that was given up, and how many chunks it got.
    half: BTreeMap<Sending, (Chunks, usize)>,
    places: u64,
}

/// From whom, to whom, and the group.
type Sending = (NodeId, NodeId, GroupId);
type Chunks = mpsc::Sender<Option<Bytes>>;

pub(crate) struct Wires {
    switch: Arc<Mutex<Switch>>,
    places: BTreeMap<NodeId, u64>,
    flaw: Option<Flaw>,
}

impl Wires {
    pub(crate) fn with(flaw: Option<Flaw>) -> Self {
        Self {
            switch: Arc::default(),
            places: BTreeMap::new(),
            flaw,
        }
    }
}

#[async_trait]
impl NetworkHarness for Wires {
    type Network = Wire;

    async fn start(&mut self, node: NodeId) -> Arc<Wire> {
        let place = {
            let mut switch = self.switch.lock().unwrap();
            switch.places += 1;
            let place = switch.places;
            switch.endpoints.insert(place, (node, BTreeMap::new()));
            place
        };
        self.places.insert(node, place);
        let wire = Arc::new(Wire {
            switch: Arc::clone(&self.switch),
            flaw: self.flaw,
            node,
            place,
            state: Mutex::default(),
        });
        tokio::spawn(carry(Arc::downgrade(&wire)));
        wire
    }

    fn info(&self, node: NodeId) -> MemberInfo {
        MemberInfo {
            address: self.places[&node].to_string(),
            ..MemberInfo::default()
        }
    }

    async fn sever(&mut self, one: NodeId, other: NodeId) -> bool {
        let mut switch = self.switch.lock().unwrap();
        switch.cut.extend([(one, other), (other, one)]);
        true
    }

    async fn heal(&mut self, _one: NodeId, _other: NodeId) {
        self.switch.lock().unwrap().cut.clear();
    }

    fn most_waiting(&self) -> usize {
        MOST * 60_000
    }

    fn dropped(&self, network: &Wire) -> Option<u64> {
        Some(network.lock().dropped)
    }

    fn patience(&self) -> u32 {
        // A thread that waits needs no more to show.
        if self.flaw == Some(Flaw::Blocks) {
            100
        } else {
            3000
        }
    }

    async fn pass_time(&self) {
        sleep(Duration::from_millis(5)).await;
    }
}

#[derive(Default)]
struct State {
    peers: BTreeMap<NodeId, u64>,
    /// What waits, most urgent first.
    queues: BTreeMap<(NodeId, MessageClass), VecDeque<Envelope>>,
    carried: u64,
    dropped: u64,
}

pub(crate) struct Wire {
    switch: Arc<Mutex<Switch>>,
    flaw: Option<Flaw>,
    node: NodeId,
    place: u64,
    state: Mutex<State>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        let mut switch = self.switch.lock().unwrap();
        switch.endpoints.remove(&self.place);
        if !self.has(Flaw::OutlivesItsTransport) {
            switch.sending.retain(|(_, to, _), _| *to != self.node);
        }
    }
}

impl Wire {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The inbox for a group at a peer, if it can be reached.
    fn route(&self, to: NodeId, group: GroupId) -> Option<Arc<dyn Inbox>> {
        let place = *self.lock().peers.get(&to)?;
        let switch = self.switch.lock().unwrap();
        if switch.cut.contains(&(self.node, to)) {
            return None;
        }
        let (_, inboxes) = switch.endpoints.get(&place)?;
        let any = self.has(Flaw::MixesGroups).then(|| inboxes.values().next());
        any.flatten().or_else(|| inboxes.get(&group)).cloned()
    }

    fn is_cut(&self, to: NodeId) -> bool {
        self.switch.lock().unwrap().cut.contains(&(self.node, to))
    }

    /// Delivers one message, if there is one that gets through; else answers false.
    fn carry_one(&self) -> bool {
        let mut state = self.lock();
        let waiting = state.queues.iter();
        let mut waiting = waiting.filter(|((to, _), queue)| !queue.is_empty() && !self.is_cut(*to));
        let Some(&key) = waiting.next().map(|(key, _)| key) else {
            return false;
        };
        let queue = state.queues.get_mut(&key);
        let Some(mut envelope) = queue.and_then(VecDeque::pop_front) else {
            return false;
        };
        state.carried += 1;
        if self.has(Flaw::Alters) && state.carried.is_multiple_of(10) {
            alter(&mut envelope.message);
        }
        drop(state);
        let is_honest = envelope.from.node == self.node || self.has(Flaw::Forges);
        let is_for_it = envelope.to.node == key.0 || self.has(Flaw::Forges);
        if let Some(inbox) = self
            .route(key.0, envelope.group)
            .filter(|_| is_honest && is_for_it)
        {
            inbox.deliver(vec![envelope]);
        }
        true
    }
}

fn alter(message: &mut Message) {
    match message {
        Message::Heartbeat(Heartbeat { round, .. }) => *round ^= 1 << 40,
        Message::AppendEntries(AppendEntries { session, .. }) => *session ^= 1,
        _ => {}
    }
}

/// Carries what waits as long as the endpoint is there.
async fn carry(wire: Weak<Wire>) {
    while let Some(wire) = wire.upgrade() {
        let carried = wire.carry_one();
        drop(wire);
        match carried {
            true => tokio::task::yield_now().await,
            // Time may pass meanwhile, also where it stands still while somebody is busy.
            false => sleep(LOOK).await,
        }
    }
}

#[async_trait]
impl Network for Wire {
    fn send(&self, to: NodeId, batch: Vec<Envelope>) {
        for envelope in batch {
            let class = match self.has(Flaw::Unordered) {
                true => MessageClass::Append,
                false => envelope.message.class(),
            };
            let is_full = || {
                let mut state = self.lock();
                let queue = state.queues.entry((to, class)).or_default();
                queue.len() >= MOST && self.flaw != Some(Flaw::Unbounded)
            };
            while is_full() {
                if self.has(Flaw::Blocks) {
                    std::thread::sleep(LOOK);
                    continue;
                }
                let mut state = self.lock();
                state.queues.entry((to, class)).or_default().pop_front();
                state.dropped += u64::from(!self.has(Flaw::CountsNothing));
            }
            let mut state = self.lock();
            state
                .queues
                .entry((to, class))
                .or_default()
                .push_back(envelope);
        }
    }

    fn set_peers(&self, _group: GroupId, peers: Vec<(NodeId, MemberInfo)>) {
        let mut state = self.lock();
        for (node, info) in peers {
            let place = info.address.parse().unwrap();
            let known = state.peers.entry(node).or_insert(place);
            if !self.has(Flaw::StaysWhereItWas) {
                *known = place;
            }
        }
    }

    fn register(&self, group: GroupId, inbox: Arc<dyn Inbox>) {
        let mut switch = self.switch.lock().unwrap();
        let endpoint = switch.endpoints.get_mut(&self.place);
        endpoint.unwrap().1.insert(group, inbox);
    }

    async fn send_snapshot(
        &self,
        header: SnapshotHeader,
        snapshot: Snapshot,
    ) -> Result<(), NetworkError> {
        let peer = header.to.node;
        let unreachable = |reason: &str| NetworkError::Unreachable {
            peer,
            reason: reason.into(),
        };
        let inbox = self.route(peer, header.group);
        let inbox = inbox.ok_or_else(|| unreachable("no way there"))?;
        let key = (self.node, peer, header.group);
        let half = self.switch.lock().unwrap().half.remove(&key);
        if let Some((chunks, given)) = half {
            let mut source = snapshot.reader;
            for _ in 0..given {
                source.next_chunk().await?;
            }
            return self.give_chunks(key, source, chunks).await;
        }
        let (chunks, incoming) = mpsc::channel(2);
        let (cancel, cancelled) = oneshot::channel();
        let earlier = self.switch.lock().unwrap().sending.insert(key, cancel);
        if let Some(earlier) = earlier {
            match self.has(Flaw::KeepsTheFirst) || self.has(Flaw::GoesOnForAnyone) {
                true => std::mem::forget(earlier),
                false => drop(earlier),
            }
        }
        let flaw = self.flaw;
        let reader = Box::new(Incoming {
            chunks: incoming,
            cancelled,
            flaw,
        });
        let meta = snapshot.meta;
        let receiving =
            tokio::spawn(async move { inbox.deliver_snapshot(header, meta, reader).await });
        self.give_chunks(key, snapshot.reader, chunks).await?;
        receiving
            .await
            .unwrap_or_else(|_| Err(unreachable("it stopped")))
    }
}

impl Wire {
    async fn give_chunks(
        &self,
        key: Sending,
        mut source: Box<dyn SnapshotReader>,
        chunks: Chunks,
    ) -> Result<(), NetworkError> {
        let peer = key.1;
        let mut giving = Giving {
            wire: self,
            key,
            chunks,
            given: 0,
            is_over: false,
        };
        let mut read_ahead = VecDeque::new();
        while self.has(Flaw::SaysNothing) {
            match source.next_chunk().await? {
                Some(chunk) => read_ahead.push_back(chunk),
                None => break,
            }
        }
        loop {
            let chunk = match read_ahead.pop_front() {
                Some(chunk) => Some(chunk),
                None => source.next_chunk().await?,
            };
            let broke = self.wait_for_link(peer).await?;
            if broke && self.has(Flaw::EndsEarly) {
                drop(giving.chunks.send(None).await);
                return Ok(());
            }
            if broke && self.has(Flaw::RepeatsAChunk) {
                drop(giving.chunks.send(chunk.clone()).await);
            }
            let is_last = chunk.is_none();
            let gone = giving.chunks.send(chunk).await.is_err();
            giving.given += 1;
            giving.is_over = is_last || gone;
            if giving.is_over {
                return Ok(());
            }
        }
    }

    /// Waits until the link is whole. Answers whether it was not.
    async fn wait_for_link(&self, peer: NodeId) -> Result<bool, NetworkError> {
        let since = Instant::now();
        let mut broke = false;
        while self.is_cut(peer) {
            broke = true;
            if since.elapsed() > PATIENCE && !self.has(Flaw::WaitsForEver) {
                let reason = "the link stays cut".into();
                return Err(NetworkError::Unreachable { peer, reason });
            }
            sleep(LOOK).await;
        }
        Ok(broke)
    }
}

/// A snapshot on its way; what is given up by half may be kept for whoever comes next.
struct Giving<'a> {
    wire: &'a Wire,
    key: Sending,
    chunks: Chunks,
    given: usize,
    is_over: bool,
}

impl Drop for Giving<'_> {
    fn drop(&mut self) {
        if self.wire.has(Flaw::GoesOnForAnyone) && !self.is_over {
            let half = (self.chunks.clone(), self.given);
            self.wire.switch.lock().unwrap().half.insert(self.key, half);
        }
    }
}

/// The receiver's end of a snapshot.
struct Incoming {
    chunks: mpsc::Receiver<Option<Bytes>>,
    cancelled: oneshot::Receiver<()>,
    flaw: Option<Flaw>,
}

#[async_trait]
impl SnapshotReader for Incoming {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        let failed = |reason| Err(StorageError::io("receiving a snapshot", reason));
        tokio::select! {
            biased;
            _ = &mut self.cancelled => failed("its sender began another"),
            chunk = self.chunks.recv() => match chunk {
                Some(chunk) => Ok(chunk),
                None if self.flaw == Some(Flaw::Hangs) => std::future::pending().await,
                None => failed("its sender gave up"),
            },
        }
    }
}
