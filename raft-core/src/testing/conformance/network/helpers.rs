//! What the suite says, who listens, and how it waits.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};

use async_trait::async_trait;
use bytes::Bytes;

use super::{GROUP, NetworkHarness, ONE, TWO};
use crate::entry::{Entry, LogSlice};
use crate::error::StorageError;
use crate::membership::Membership;
use crate::message::{AppendEntries, Envelope, Heartbeat, Message, MessageClass};
use crate::network::{Inbox, NetworkError, SnapshotHeader};
use crate::snapshot::{Snapshot, SnapshotMeta, SnapshotReader};
use crate::types::{LogId, LogIndex, NodeId, ReplicaId, RequestId, Term};

/// Waits until `holds`, or panics with the duty.
pub(super) async fn until(
    harness: &impl NetworkHarness,
    duty: &str,
    what: &str,
    mut holds: impl FnMut() -> bool,
) {
    for _ in 0..harness.patience() {
        if holds() {
            return;
        }
        harness.pass_time().await;
    }
    panic!("{duty}: waited in vain for {what}");
}

/// Goes on with `background` until `check` is done.
pub(super) async fn meanwhile<C: Future>(
    background: &mut (impl Future + Unpin),
    check: C,
) -> C::Output {
    let (mut check, mut is_over) = (pin!(check), false);
    poll_fn(|context| {
        if !is_over {
            is_over = std::pin::Pin::new(&mut *background)
                .poll(context)
                .is_ready();
        }
        check.as_mut().poll(context)
    })
    .await
}

pub(super) fn envelope(from: NodeId, to: NodeId, round: u64) -> Envelope {
    Envelope {
        group: GROUP,
        from: ReplicaId::first(from.get()),
        to: ReplicaId::first(to.get()),
        term: Term::new(1),
        message: Message::Heartbeat(Heartbeat {
            session: 1,
            round,
            commit: LogIndex::ZERO,
        }),
    }
}

/// An urgent message from the first to the second node.
pub(super) fn heartbeat(round: u64) -> Envelope {
    envelope(ONE, TWO, round)
}

/// An entry of this size from the first to the second node.
pub(super) fn append(index: u64, size: usize) -> Envelope {
    let request = RequestId {
        boot: 1,
        sequence: index,
    };
    let data = (0..size as u64).map(|at| (at.wrapping_mul(index) >> 3).to_le_bytes()[0]);
    let entry = Entry::command(LogId::new(1, index), request, data.collect());
    let append = AppendEntries {
        session: 1,
        previous: LogId::new(1, index - 1),
        entries: LogSlice::new(vec![entry]).expect("one entry is a run"),
        commit: LogIndex::ZERO,
    };
    Envelope {
        message: Message::AppendEntries(append),
        ..heartbeat(0)
    }
}

/// Something that is let through so many times.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<(usize, Option<Waker>)>,
}

impl Gate {
    pub(super) fn open(&self, times: usize) {
        let mut state = self.state.lock().expect("no holder panics");
        state.0 = state.0.saturating_add(times);
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }

    /// Lets one pass that waits. Whoever comes later waits in its turn.
    pub(super) fn let_one_pass(&self) {
        let is_awaited = {
            let state = self.state.lock().expect("no holder panics");
            state.0 == 0 && state.1.is_some()
        };
        if is_awaited {
            self.open(1);
        }
    }

    async fn pass(&self) {
        poll_fn(|context| {
            let mut state = self.state.lock().expect("no holder panics");
            if state.0 == 0 {
                state.1 = Some(context.waker().clone());
                return Poll::Pending;
            }
            state.0 -= 1;
            Poll::Ready(())
        })
        .await;
    }
}

/// How a stream of a snapshot ended at its receiver.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ended {
    AtItsEnd,
    WithAnError,
    /// Nobody read on: the transport dropped it.
    Dropped,
}

/// What came of one snapshot.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) header: SnapshotHeader,
    pub(super) last: LogId,
    pub(super) bytes: Vec<u8>,
    pub(super) chunks: usize,
    pub(super) ended: Option<Ended>,
}

#[derive(Default)]
struct Received {
    messages: Vec<Envelope>,
    streams: Vec<Stream>,
}

/// An inbox that remembers.
pub(super) struct Recorder {
    received: Mutex<Received>,
    /// Lets each chunk be read.
    pub(super) pace: Gate,
}

impl Default for Recorder {
    fn default() -> Self {
        let pace = Gate::default();
        pace.open(usize::MAX);
        Self {
            received: Mutex::default(),
            pace,
        }
    }
}

impl Recorder {
    /// One that reads a chunk only when its gate lets it.
    pub(super) fn slow() -> Self {
        Self {
            received: Mutex::default(),
            pace: Gate::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Received> {
        self.received.lock().expect("no holder panics")
    }

    pub(super) fn messages(&self) -> Vec<Envelope> {
        self.lock().messages.clone()
    }

    pub(super) fn copies(&self, message: &Envelope) -> usize {
        let received = self.lock();
        received
            .messages
            .iter()
            .filter(|got| *got == message)
            .count()
    }

    pub(super) fn got(&self, message: &Envelope) -> bool {
        self.lock().messages.contains(message)
    }

    pub(super) fn of_class(&self, class: MessageClass) -> usize {
        let received = self.lock();
        let of_class = received
            .messages
            .iter()
            .filter(|m| m.message.class() == class);
        of_class.count()
    }

    /// How many of a class came before this message.
    pub(super) fn of_class_before(&self, class: MessageClass, message: &Envelope) -> usize {
        let received = self.lock();
        let before = received.messages.iter().take_while(|got| *got != message);
        before.filter(|got| got.message.class() == class).count()
    }

    pub(super) fn streams(&self) -> Vec<Stream> {
        self.lock().streams.clone()
    }
}

#[async_trait]
impl Inbox for Recorder {
    fn deliver(&self, batch: Vec<Envelope>) {
        self.lock().messages.extend(batch);
    }

    async fn deliver_snapshot(
        &self,
        header: SnapshotHeader,
        meta: SnapshotMeta,
        mut reader: Box<dyn SnapshotReader>,
    ) -> Result<(), NetworkError> {
        let number = {
            let mut received = self.lock();
            received.streams.push(Stream {
                header,
                last: meta.last_included,
                bytes: Vec::new(),
                chunks: 0,
                ended: None,
            });
            received.streams.len() - 1
        };
        let mut ending = Ending {
            recorder: self,
            number,
            ended: Ended::Dropped,
        };
        loop {
            self.pace.pass().await;
            match reader.next_chunk().await {
                Ok(Some(chunk)) => {
                    let stream = &mut self.lock().streams[number];
                    stream.bytes.extend_from_slice(&chunk);
                    stream.chunks += 1;
                }
                Ok(None) => {
                    ending.ended = Ended::AtItsEnd;
                    return Ok(());
                }
                Err(error) => {
                    ending.ended = Ended::WithAnError;
                    return Err(error.into());
                }
            }
        }
    }
}

/// Writes down how a stream ended, also if it is dropped.
struct Ending<'a> {
    recorder: &'a Recorder,
    number: usize,
    ended: Ended,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.recorder.lock().streams[self.number].ended = Some(self.ended);
    }
}

/// Chunks of a source, and what a transport does with it.
#[derive(Default)]
pub(super) struct Watch {
    /// Lets each chunk be given.
    pub(super) pace: Gate,
    signs: Mutex<usize>,
}

impl Watch {
    /// How often the source was asked or told.
    pub(super) fn signs(&self) -> usize {
        *self.signs.lock().expect("no holder panics")
    }

    fn note(&self) {
        *self.signs.lock().expect("no holder panics") += 1;
    }
}

/// Bytes of a chunk.
const CHUNK: usize = 200_000;

/// The end of the snapshot that all but one check send.
pub(super) const LAST: LogId = LogId::new(1, 9);

/// All bytes of a snapshot of so many chunks.
pub(super) fn whole(chunks: usize) -> Vec<u8> {
    bytes_of(0, chunks)
}

/// Those of the snapshot with this number: they differ from the first byte on.
pub(super) fn bytes_of(number: u8, chunks: usize) -> Vec<u8> {
    (0..chunks).flat_map(|place| chunk(number, place)).collect()
}

fn chunk(number: u8, place: usize) -> Vec<u8> {
    let byte = |at: usize| (at / 7 + place * 31).to_le_bytes()[0] ^ number;
    (0..CHUNK).map(byte).collect()
}

struct Source {
    number: u8,
    left: std::ops::Range<usize>,
    watch: Arc<Watch>,
}

#[async_trait]
impl SnapshotReader for Source {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        let Some(place) = self.left.clone().next() else {
            return Ok(None);
        };
        self.watch.pace.pass().await;
        self.watch.note();
        self.left.start = place + 1;
        Ok(Some(chunk(self.number, place).into()))
    }

    fn progressed(&mut self) {
        self.watch.note();
    }
}

/// A snapshot of so many chunks, which come as `watch` lets them.
pub(super) fn snapshot(chunks: usize, watch: &Arc<Watch>) -> Snapshot {
    another_snapshot(0, LAST, chunks, watch)
}

/// One with other bytes, up to this entry.
pub(super) fn another_snapshot(
    number: u8,
    last_included: LogId,
    chunks: usize,
    watch: &Arc<Watch>,
) -> Snapshot {
    Snapshot {
        meta: SnapshotMeta {
            last_included,
            membership: Membership::of_ids([1, 2]),
        },
        reader: Box::new(Source {
            number,
            left: 0..chunks,
            watch: Arc::clone(watch),
        }),
    }
}

pub(super) fn header() -> SnapshotHeader {
    SnapshotHeader {
        group: GROUP,
        from: ReplicaId::first(ONE.get()),
        to: ReplicaId::first(TWO.get()),
        term: Term::new(1),
    }
}
