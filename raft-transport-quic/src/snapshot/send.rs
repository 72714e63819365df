//! The sender of a snapshot: one stream after another, until it is across.

use bytes::Bytes;
use quinn::{Connection, RecvStream, SendStream, WriteError};
use raft_core::{MessageClass, NetworkError, NodeId, Snapshot, SnapshotHeader};
use tokio::time::{Instant, sleep_until};

use super::pace::Pace;
use super::source::Source;
use super::turns::Turns;
use super::window::{Next, Window};
use super::{ABANDONED, FRAME_LIMIT, describe};
use crate::frame::{Frame, FrameError, FrameKind, FrameReader};
use crate::link::encode_frame;
use crate::outlet::prioritize;
use crate::shared::Shared;
use crate::traffic::Traffic;
use crate::wire::{self, SnapshotBegin, SnapshotHave, SnapshotReply};

/// Streams a snapshot to its receiver and waits until it is installed.
pub(crate) async fn send(
    shared: &Shared,
    header: SnapshotHeader,
    snapshot: Snapshot,
) -> Result<(), NetworkError> {
    let Snapshot { meta, reader } = snapshot;
    let mut transfer = Outgoing {
        peer: header.to.node,
        begin: SnapshotBegin::new(shared.next_transfer(), header, meta),
        source: Source::Idle(reader),
        window: Window::default(),
        turns: Turns::new(shared.config.snapshot_share),
        has_begun: false,
        broken_since: None,
        traffic: Traffic::sent(MessageClass::Snapshot, header.to.node),
    };
    transfer.run(shared).await
}

/// One transfer, over all its streams.
struct Outgoing {
    peer: NodeId,
    begin: SnapshotBegin,
    source: Source,
    window: Window,
    turns: Turns,
    /// The receiver answered once.
    has_begun: bool,
    /// The first break after the last chunk that got across.
    broken_since: Option<Instant>,
    traffic: Traffic,
}

/// Why a stream ended without the receiver's reply.
enum Ended {
    /// Another one may go on.
    Broken(String),
    /// Another one would be of no use.
    Failed(NetworkError),
}

/// A stream being written.
struct Stream {
    connection: Connection,
    sending: SendStream,
    replies: FrameReader<RecvStream>,
    /// A frame in parts, as far as it is not written.
    unwritten: [Bytes; 2],
    /// The receiver said where it stands.
    is_answered: bool,
    /// The receiver reads no more; its reply says why.
    is_stopped: bool,
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A stream that is dropped would end as if it were complete. If it is
        // complete, or its connection is gone, this does nothing.
        self.sending.reset(ABANDONED).ok();
    }
}

impl Outgoing {
    async fn run(&mut self, shared: &Shared) -> Result<(), NetworkError> {
        let mut pause = shared.config.backoff_min;
        loop {
            let held = self.window.acknowledged();
            let reason = match self.stream(shared).await {
                Ok(reply) => return reply,
                Err(Ended::Failed(error)) => return Err(error),
                Err(Ended::Broken(reason)) => reason,
            };
            let since = *self.broken_since.get_or_insert_with(Instant::now);
            if !self.has_begun || since.elapsed() >= shared.config.snapshot_patience {
                return Err(unreachable(self.peer, reason));
            }
            if self.window.acknowledged() > held {
                pause = shared.config.backoff_min;
            }
            let chunks = self.window.acknowledged();
            tracing::info!(peer = %self.peer, chunks, reason, "a snapshot waits to go on");
            metrics::counter!("raft_transport_snapshot_breaks_total").increment(1);
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(shared.config.backoff_max);
        }
    }

    /// Goes as far as one stream carries it.
    async fn stream(&mut self, shared: &Shared) -> Result<Result<(), NetworkError>, Ended> {
        let connection = self.connect(shared).await?;
        let (sending, replies) = connection.open_bi().await.map_err(broken)?;
        prioritize(&sending, MessageClass::Snapshot);
        self.begin.acknowledged = self.window.acknowledged();
        let begin = encode_frame(FrameKind::SnapshotBegin, &self.begin, FRAME_LIMIT)
            .map_err(|reason| Ended::Failed(NetworkError::Refused { reason }))?;
        let mut stream = Stream {
            connection,
            sending,
            replies: FrameReader::new(replies, FRAME_LIMIT),
            unwritten: [begin, Bytes::new()],
            is_answered: false,
            is_stopped: false,
        };
        loop {
            self.fill(&mut stream, &shared.snapshot_pace)?;
            let has_unwritten = !stream.is_stopped && stream.has_unwritten();
            let is_paced = stream.may_write_chunks() && !shared.snapshot_pace.is_ready();
            let rests_until = self.turns.rests_until(Instant::now());
            let may_read = stream.is_answered && !stream.is_stopped && self.window.has_room();
            tokio::select! {
                biased;
                frame = stream.replies.next() => {
                    if let Some(reply) = self.hear(&mut stream, frame)? {
                        return Ok(reply);
                    }
                }
                written = stream.sending.write_chunks(&mut stream.unwritten), if has_unwritten => {
                    stream.wrote(written.map(|_| ()))?;
                }
                () = shared.snapshot_pace.ready(), if is_paced => {}
                () = sleep_until(rests_until.unwrap_or_else(Instant::now)), if rests_until.is_some() => {}
                data = self.source.next(), if may_read => match data {
                    Ok(data) => self.window.push(data),
                    Err(error) => return Err(Ended::Failed(error.into())),
                },
            }
        }
    }

    async fn connect(&mut self, shared: &Shared) -> Result<Connection, Ended> {
        let failed = |reason: &str| Ended::Failed(unreachable(self.peer, reason.into()));
        let known = shared
            .peer(self.peer)
            .ok_or_else(|| failed("it is not a peer"))?;
        let limit = match self.broken_since {
            Some(since) => shared
                .config
                .snapshot_patience
                .saturating_sub(since.elapsed()),
            None => shared.config.handshake_timeout,
        };
        tokio::time::timeout(limit, known.connection())
            .await
            .map_err(|_| Ended::Broken(format!("no connection within {limit:?}")))?
            .ok_or_else(|| failed("it is no longer a peer"))
    }

    /// Makes the next frame ready, if there is one and nothing else to write.
    fn fill(&mut self, stream: &mut Stream, pace: &Pace) -> Result<(), Ended> {
        let now = Instant::now();
        // The end is small, and what it follows is on its way.
        let is_its_turn = !self.window.has_chunk() || self.turns.may_send(now);
        if !stream.may_write_chunks() || !pace.is_ready() || !is_its_turn {
            return Ok(());
        }
        stream.unwritten = match self.window.next() {
            None => return Ok(()),
            Some(Next::Chunk(parts)) => {
                self.turns.sent(parts[1].len(), now);
                parts
            }
            Some(Next::End(end)) => {
                let end = encode_frame(FrameKind::SnapshotEnd, &end, FRAME_LIMIT)
                    .map_err(|reason| Ended::Failed(NetworkError::Refused { reason }))?;
                [end, Bytes::new()]
            }
        };
        let bytes = stream.unwritten.iter().map(Bytes::len).sum();
        pace.sent(bytes);
        self.traffic.count(bytes);
        Ok(())
    }

    /// Takes in what the receiver says; answers with its reply.
    fn hear(
        &mut self,
        stream: &mut Stream,
        frame: Result<Option<Frame>, FrameError>,
    ) -> Result<Option<Result<(), NetworkError>>, Ended> {
        let nonsense = |reason: String| {
            Ended::Failed(unreachable(
                self.peer,
                format!("it answered nonsense: {reason}"),
            ))
        };
        let frame = match frame {
            Ok(Some(frame)) => frame,
            Ok(None) => return Err(broken("it ended without a reply")),
            Err(error @ (FrameError::Io(_) | FrameError::Truncated { .. })) => {
                return Err(broken(describe(&error)));
            }
            Err(error) => return Err(nonsense(error.to_string())),
        };
        match frame.kind {
            FrameKind::SnapshotHave => {
                let have: SnapshotHave =
                    wire::decode(&frame.body).map_err(|e| nonsense(e.to_string()))?;
                let further = self.window.acknowledge(have.chunks).map_err(nonsense)?;
                let round_trip = stream.connection.rtt();
                self.turns.taken_in(further, Instant::now(), round_trip);
                if further > 0 {
                    self.broken_since = None;
                    self.source.progressed();
                }
                if !stream.is_answered {
                    stream.is_answered = true;
                    self.has_begun = true;
                    self.window.rewind();
                    self.turns.begin_anew();
                }
                Ok(None)
            }
            FrameKind::SnapshotReply => {
                let reply = wire::decode(&frame.body).map_err(|e| nonsense(e.to_string()))?;
                Ok(Some(match reply {
                    SnapshotReply::Installed => Ok(()),
                    SnapshotReply::Refused(reason) => Err(NetworkError::Refused { reason }),
                }))
            }
            other => Err(nonsense(format!("a {other:?} frame"))),
        }
    }
}

impl Stream {
    /// Whether it is the next frame's turn.
    fn may_write_chunks(&self) -> bool {
        self.is_answered && !self.is_stopped && !self.has_unwritten()
    }

    fn has_unwritten(&self) -> bool {
        self.unwritten.iter().any(|part| !part.is_empty())
    }

    fn wrote(&mut self, written: Result<(), WriteError>) -> Result<(), Ended> {
        match written {
            Ok(()) => Ok(()),
            Err(WriteError::Stopped(_)) => {
                self.is_stopped = true;
                Ok(())
            }
            Err(error) => Err(broken(error)),
        }
    }
}

fn broken(error: impl std::fmt::Display) -> Ended {
    Ended::Broken(format!("the snapshot's stream broke: {error}"))
}

const fn unreachable(peer: NodeId, reason: String) -> NetworkError {
    NetworkError::Unreachable { peer, reason }
}
