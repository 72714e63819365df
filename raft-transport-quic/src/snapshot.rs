//! A snapshot on a stream of its own.
//!
//! ```text
//! sender     open (header, meta)  chunk*  end (chunks, bytes)
//! receiver                                                     reply
//! chunk      crc32 of the data, big-endian | data, at most 1 MiB
//! ```
//!
//! The receiver reads one chunk when its state machine asks for one, so the
//! stream's window is all the memory a slow receiver costs. It may reply
//! early, when it does not want the snapshot. A stream that ends without the
//! end marker is a broken one, never a short snapshot.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use quinn::{Connection, RecvStream, SendStream, VarInt, WriteError};
use raft_core::{
    MessageClass, NetworkError, NodeId, Snapshot, SnapshotHeader, SnapshotReader, StorageError,
    async_trait,
};

use crate::frame::{Frame, FrameBuilder, FrameKind, FrameReader};
use crate::link::{Link, count_frame, encode_frame, prioritize};
use crate::shared::Shared;
use crate::wire::{self, SnapshotEnd, SnapshotOpen, SnapshotReply};

/// Most bytes of data in one chunk.
const MAX_CHUNK: usize = 1024 * 1024;
const CHECKSUM_LEN: usize = 4;
/// Chunks with their checksum; the meta must fit too.
const FRAME_LIMIT: usize = MAX_CHUNK + CHECKSUM_LEN;
const MAX_REASON: usize = 512;
const DOING: &str = "receiving a snapshot";
const ABANDONED: VarInt = VarInt::from_u32(1);

/// Streams a snapshot to its receiver and waits until it is installed.
pub(crate) async fn send(
    shared: &Shared,
    header: SnapshotHeader,
    snapshot: Snapshot,
) -> Result<(), NetworkError> {
    let peer = header.to.node;
    let connection = connect(shared, peer).await?;
    let (mut stream, replies) = connection.open_bi().await.map_err(|e| broke(peer, e))?;
    prioritize(&stream, MessageClass::Snapshot);
    let mut reply = std::pin::pin!(read_reply(peer, replies));
    // A reply before the end means that the rest is not wanted.
    let written = tokio::select! {
        biased;
        early = &mut reply => return early,
        written = write(peer, &mut stream, header, snapshot) => written,
    };
    if written.is_err() {
        // It may have ended already, which is as good.
        stream.reset(ABANDONED).ok();
    }
    match written? {
        Written::Whole | Written::Stopped => reply.await,
    }
}

/// How far writing got.
enum Written {
    /// To the end.
    Whole,
    /// The receiver asked to stop; its reply says why.
    Stopped,
}

async fn connect(shared: &Shared, peer: NodeId) -> Result<Connection, NetworkError> {
    let unreachable = |reason: String| NetworkError::Unreachable { peer, reason };
    let known = shared
        .peer(peer)
        .ok_or_else(|| unreachable("it is not a peer".into()))?;
    let limit = shared.config.handshake_timeout;
    tokio::time::timeout(limit, known.connection())
        .await
        .map_err(|_| unreachable(format!("no connection within {limit:?}")))?
        .ok_or_else(|| unreachable("it is no longer a peer".into()))
}

async fn write(
    peer: NodeId,
    stream: &mut SendStream,
    header: SnapshotHeader,
    snapshot: Snapshot,
) -> Result<Written, NetworkError> {
    let Snapshot { meta, mut reader } = snapshot;
    let too_large = |reason| NetworkError::Refused { reason };
    let open = SnapshotOpen::new(header, meta);
    let open = encode_frame(FrameKind::SnapshotOpen, &open, FRAME_LIMIT).map_err(too_large)?;
    let mut end = SnapshotEnd::default();
    if let Some(stopped) = put(peer, stream, &mut [open]).await? {
        return Ok(stopped);
    }
    while let Some(mut chunk) = reader.next_chunk().await? {
        while !chunk.is_empty() {
            let data = chunk.split_to(chunk.len().min(MAX_CHUNK));
            end.chunks += 1;
            end.bytes += data.len() as u64;
            if let Some(stopped) = put(peer, stream, &mut chunk_frame(data)).await? {
                return Ok(stopped);
            }
        }
    }
    let end = encode_frame(FrameKind::SnapshotEnd, &end, FRAME_LIMIT).map_err(too_large)?;
    if let Some(stopped) = put(peer, stream, &mut [end]).await? {
        return Ok(stopped);
    }
    stream.finish().map_err(|error| broke(peer, error))?;
    Ok(Written::Whole)
}

/// A chunk in two parts, so that the data is not copied.
fn chunk_frame(data: Bytes) -> [Bytes; 2] {
    let mut head = FrameBuilder::new(FrameKind::SnapshotChunk, CHECKSUM_LEN);
    let checksum = crc32fast::hash(&data);
    head.body().extend_from_slice(&checksum.to_be_bytes());
    let head = head
        .finish_before(data.len(), FRAME_LIMIT)
        .expect("chunks are split to fit");
    [head, data]
}

async fn put(
    peer: NodeId,
    stream: &mut SendStream,
    parts: &mut [Bytes],
) -> Result<Option<Written>, NetworkError> {
    count_frame("sent", parts.iter().map(Bytes::len).sum());
    match stream.write_all_chunks(parts).await {
        Ok(()) => Ok(None),
        Err(WriteError::Stopped(_)) => Ok(Some(Written::Stopped)),
        Err(error) => Err(broke(peer, error)),
    }
}

async fn read_reply(peer: NodeId, stream: RecvStream) -> Result<(), NetworkError> {
    let mut frames = FrameReader::new(stream, FRAME_LIMIT);
    let frame = match frames.next().await {
        Ok(Some(frame)) if frame.kind == FrameKind::SnapshotReply => frame,
        Ok(_) => return Err(broke(peer, "it ended without a reply")),
        Err(error) => return Err(broke(peer, describe(&error))),
    };
    match wire::decode(&frame.body) {
        Ok(SnapshotReply::Installed) => Ok(()),
        Ok(SnapshotReply::Refused(reason)) => Err(NetworkError::Refused { reason }),
        Err(error) => Err(broke(peer, error)),
    }
}

fn broke(peer: NodeId, error: impl std::fmt::Display) -> NetworkError {
    NetworkError::Unreachable {
        peer,
        reason: format!("the snapshot's stream broke: {error}"),
    }
}

/// Takes one snapshot from a peer, and replies.
pub(crate) async fn receive(
    shared: Arc<Shared>,
    link: Arc<Link>,
    mut reply_stream: SendStream,
    stream: RecvStream,
) {
    let reply = match install(&shared, &link, FrameReader::new(stream, FRAME_LIMIT)).await {
        Ok(()) => SnapshotReply::Installed,
        Err(reason) => {
            tracing::info!(peer = %link.peer.id, reason, "snapshot refused");
            SnapshotReply::Refused(reason.chars().take(MAX_REASON).collect())
        }
    };
    let sent = async {
        let frame = encode_frame(FrameKind::SnapshotReply, &reply, FRAME_LIMIT)?;
        let written = reply_stream.write_chunk(frame).await;
        written.map_err(|error| error.to_string())?;
        reply_stream.finish().map_err(|error| error.to_string())
    };
    if let Err(reason) = sent.await {
        tracing::debug!(peer = %link.peer.id, reason, "the reply to a snapshot was lost");
    }
}

async fn install(
    shared: &Shared,
    link: &Link,
    mut frames: FrameReader<RecvStream>,
) -> Result<(), String> {
    let open: SnapshotOpen = match frames.next().await {
        Ok(Some(frame)) if frame.kind == FrameKind::SnapshotOpen => {
            wire::decode(&frame.body).map_err(|error| error.to_string())?
        }
        Ok(_) => return Err("a snapshot must begin with what it is".into()),
        Err(error) => return Err(describe(&error)),
    };
    let header = open.header();
    if header.from.node != link.peer.id {
        let (claimed, peer) = (header.from.node, link.peer.id);
        return Err(format!(
            "it is in the name of {claimed}, but comes from {peer}"
        ));
    }
    if header.to.node != shared.own.node() {
        return Err(format!("it is for {}, not for {}", header.to, shared.own));
    }
    let inbox = shared
        .inbox(header.group)
        .ok_or_else(|| format!("group {} is not on this node", header.group))?;
    let reader = ChunkReader {
        frames,
        received: SnapshotEnd::default(),
        ended: false,
    };
    inbox
        .deliver_snapshot(header, open.meta, Box::new(reader))
        .await
        .map_err(|error| match error {
            NetworkError::Refused { reason } => reason,
            other => describe(&other),
        })
}

/// The chunks of a snapshot as they come in.
struct ChunkReader {
    frames: FrameReader<RecvStream>,
    received: SnapshotEnd,
    ended: bool,
}

#[async_trait]
impl SnapshotReader for ChunkReader {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        if self.ended {
            return Ok(None);
        }
        let frame = self
            .frames
            .next()
            .await
            .map_err(|error| StorageError::io(DOING, error))?;
        match frame {
            Some(frame) if frame.kind == FrameKind::SnapshotChunk => self.accept(frame).map(Some),
            Some(frame) if frame.kind == FrameKind::SnapshotEnd => {
                self.check_end(&frame)?;
                self.ended = true;
                Ok(None)
            }
            Some(frame) => Err(StorageError::io(DOING, format!("a {:?} frame", frame.kind))),
            None => Err(StorageError::io(DOING, "it ended without its end marker")),
        }
    }
}

impl ChunkReader {
    fn accept(&mut self, frame: Frame) -> Result<Bytes, StorageError> {
        let mut data = frame.body;
        if data.len() < CHECKSUM_LEN {
            return Err(self.corrupt("shorter than its checksum".into()));
        }
        let (expected, found) = (data.get_u32(), crc32fast::hash(&data));
        if expected != found {
            return Err(self.corrupt(format!("checksum {found:08x}, expected {expected:08x}")));
        }
        count_frame("received", data.len());
        self.received.chunks += 1;
        self.received.bytes += data.len() as u64;
        Ok(data)
    }

    fn check_end(&self, frame: &Frame) -> Result<(), StorageError> {
        let announced: SnapshotEnd =
            wire::decode(&frame.body).map_err(|error| StorageError::io(DOING, error))?;
        let received = self.received;
        if announced != received {
            return Err(self.corrupt(format!("{announced:?} were sent, {received:?} arrived")));
        }
        Ok(())
    }

    fn corrupt(&self, reason: String) -> StorageError {
        StorageError::Corrupt {
            what: format!("chunk {} of a snapshot", self.received.chunks),
            reason,
        }
    }
}

/// An error with its causes, for a peer that gets only text.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
