//! One stream of a snapshot that comes in: finds its transfer, feeds it, replies.

use std::sync::Arc;

use quinn::{RecvStream, SendStream};

use super::intake::Taken;
use super::transfer::{Transfer, refusal};
use super::{FRAME_LIMIT, describe};
use crate::frame::{FrameKind, FrameReader};
use crate::link::{Link, encode_frame};
use crate::shared::Shared;
use crate::wire::{self, SnapshotBegin, SnapshotHave, SnapshotReply};

/// So much is acknowledged at once, unless it is the last.
pub(super) const ACKNOWLEDGED_BYTES: usize = 256 * 1024;
const ACKNOWLEDGED_CHUNKS: u64 = 32;

/// Reads a stream as far as it is of use, and replies if all is said.
pub(crate) async fn receive(
    shared: Arc<Shared>,
    link: Arc<Link>,
    replies: SendStream,
    stream: RecvStream,
) {
    let mut incoming = Incoming {
        frames: FrameReader::new(stream, FRAME_LIMIT),
        replies,
        acknowledged: 0,
    };
    let reply = match incoming.begin(&shared, &link).await {
        Ok(transfer) => incoming.feed(transfer).await,
        Err(reason) => {
            tracing::info!(peer = %link.peer.id, reason, "a snapshot's stream was refused");
            Some(refusal(&reason))
        }
    };
    if let Some(reply) = reply
        && let Err(reason) = incoming.reply(&reply).await
    {
        tracing::debug!(peer = %link.peer.id, reason, "the reply to a snapshot was lost");
    }
}

/// A stream being read.
struct Incoming {
    frames: FrameReader<RecvStream>,
    replies: SendStream,
    /// The chunks that the sender was told of.
    acknowledged: u64,
}

impl Incoming {
    /// Reads what the stream is about, and finds the transfer it belongs to.
    async fn begin(&mut self, shared: &Arc<Shared>, link: &Link) -> Result<Arc<Transfer>, String> {
        let begin: SnapshotBegin = match self.frames.next().await {
            Ok(Some(frame)) if frame.kind == FrameKind::SnapshotBegin => {
                wire::decode(&frame.body).map_err(|error| error.to_string())?
            }
            Ok(_) => return Err("a snapshot must begin with what it is".into()),
            Err(error) => return Err(describe(&error)),
        };
        let header = begin.header();
        if header.from.node != link.peer.id {
            let (claimed, peer) = (header.from.node, link.peer.id);
            return Err(format!(
                "it is in the name of {claimed}, but comes from {peer}"
            ));
        }
        if header.to.node != shared.own.node() {
            return Err(format!("it is for {}, not for {}", header.to, shared.own));
        }
        shared.transfers.admit(shared, begin)
    }

    /// Feeds the transfer until its fate is known. Answers nothing if the
    /// stream ended before that.
    async fn feed(&mut self, transfer: Arc<Transfer>) -> Option<SnapshotReply> {
        let attached = transfer.attach();
        let transfer = &attached.transfer;
        let mut intake = tokio::select! {
            intake = transfer.intake.lock() => intake,
            () = attached.superseded() => return None,
        };
        self.acknowledge(intake.chunks()).await.ok()?;
        let (mut unacknowledged, mut has_more) = (0, true);
        loop {
            let taken = tokio::select! {
                biased;
                reply = transfer.reply() => return Some(reply),
                () = attached.superseded() => return None,
                taken = intake.take(&mut self.frames), if has_more => taken,
            };
            match taken {
                Taken::Chunk(bytes) => {
                    transfer.got_further();
                    unacknowledged += bytes;
                }
                Taken::End => transfer.is_whole(),
                Taken::Useless => {}
                Taken::GaveUp => {
                    transfer.give_up("its sender gave up");
                    return None;
                }
                Taken::Broken => return None,
            }
            has_more = matches!(taken, Taken::Chunk(_));
            let chunks = intake.chunks();
            let is_due = unacknowledged >= ACKNOWLEDGED_BYTES
                || chunks - self.acknowledged >= ACKNOWLEDGED_CHUNKS;
            if is_due || !has_more {
                unacknowledged = 0;
                self.acknowledge(chunks).await.ok()?;
            }
        }
    }

    /// Tells the sender how many chunks are here.
    async fn acknowledge(&mut self, chunks: u64) -> Result<(), String> {
        self.acknowledged = chunks;
        let have = SnapshotHave { chunks };
        let frame = encode_frame(FrameKind::SnapshotHave, &have, FRAME_LIMIT)?;
        let written = self.replies.write_chunk(frame).await;
        written.map_err(|error| error.to_string())
    }

    async fn reply(&mut self, reply: &SnapshotReply) -> Result<(), String> {
        let frame = encode_frame(FrameKind::SnapshotReply, reply, FRAME_LIMIT)?;
        let written = self.replies.write_chunk(frame).await;
        written.map_err(|error| error.to_string())?;
        self.replies.finish().map_err(|error| error.to_string())
    }
}
