//! The least that carries envelopes and snapshots over any pair of streams.

use bytes::{Buf, Bytes};
use raft_core::{Envelope, async_trait};
use raft_transport_quic::frame::{Frame, FrameBuilder, FrameKind, FrameReader};
use raft_transport_quic::wire;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;

use crate::load;
use crate::snapshot::Source;
use crate::way::{Asker, Carrier};

const LIMIT: usize = 16 << 20;

/// Writes a frame that comes in two parts, without copying them if it can.
#[async_trait]
pub(crate) trait Write: Send + 'static {
    async fn write(&mut self, parts: [Bytes; 2]);
}

/// Any stream of the system, or TLS on one.
pub(crate) struct Plain<W>(pub(crate) W);

#[async_trait]
impl<W: AsyncWrite + Send + Unpin + 'static> Write for Plain<W> {
    async fn write(&mut self, parts: [Bytes; 2]) {
        let [head, body] = parts;
        let mut whole = head.chain(body);
        self.0
            .write_all_buf(&mut whole)
            .await
            .expect("a peer reads");
        self.0.flush().await.expect("a peer reads");
    }
}

#[async_trait]
impl Write for quinn::SendStream {
    async fn write(&mut self, mut parts: [Bytes; 2]) {
        self.write_all_chunks(&mut parts)
            .await
            .expect("a peer reads");
    }
}

pub(crate) fn reader<R: AsyncRead + Unpin>(source: R) -> FrameReader<R> {
    FrameReader::new(source, LIMIT)
}

fn messages(batch: &[Envelope]) -> [Bytes; 2] {
    let mut frame = FrameBuilder::new(FrameKind::Messages, 0);
    wire::encode_batch_in(batch, &mut frame).expect("envelopes can be encoded");
    [frame.finish(LIMIT).expect("it is small"), Bytes::new()]
}

async fn next<R: AsyncRead + Unpin>(frames: &mut FrameReader<R>) -> Option<Frame> {
    frames.next().await.expect("a peer writes frames")
}

/// The asking end of a pair of streams.
pub(crate) struct Streams<W, R> {
    pub(crate) writer: W,
    pub(crate) frames: FrameReader<R>,
}

#[async_trait]
impl<W: Write, R: AsyncRead + Send + Unpin> Asker for Streams<W, R> {
    async fn send(&mut self, batch: Vec<Envelope>) {
        self.writer.write(messages(&batch)).await;
    }

    async fn receive(&mut self) -> Vec<Envelope> {
        let frame = next(&mut self.frames).await.expect("the peer answers");
        wire::decode_batch_of(&frame.body).expect("what it wrote itself")
    }
}

/// The sending end of a pair of streams for snapshots.
#[async_trait]
impl<W: Write, R: AsyncRead + Send + Unpin> Carrier for Mutex<Streams<W, R>> {
    async fn carry(&self, mut source: Source) {
        let mut streams = self.lock().await;
        while let Some(data) = source.next() {
            let head = FrameBuilder::new(FrameKind::SnapshotChunk, 0);
            let head = head.finish_before(data.len(), LIMIT).expect("it is small");
            streams.writer.write([head, data]).await;
        }
        let end = FrameBuilder::new(FrameKind::SnapshotEnd, 0);
        let end = end.finish(LIMIT).expect("it is empty");
        streams.writer.write([end, Bytes::new()]).await;
        let reply = next(&mut streams.frames).await.expect("the peer answers");
        assert_eq!(reply.kind, FrameKind::SnapshotReply);
    }
}

/// The answering end of either pair.
pub(crate) async fn serve<W: Write, R: AsyncRead + Unpin>(streams: Streams<W, R>) {
    let Streams {
        mut writer,
        mut frames,
    } = streams;
    // The bench is over when the stream breaks.
    while let Ok(Some(frame)) = frames.next().await {
        match frame.kind {
            FrameKind::Messages => {
                let batch = wire::decode_batch_of(&frame.body).expect("what it wrote itself");
                writer.write(messages(&load::answer(batch))).await;
            }
            FrameKind::SnapshotEnd => {
                let reply = FrameBuilder::new(FrameKind::SnapshotReply, 0);
                let reply = reply.finish(LIMIT).expect("it is empty");
                writer.write([reply, Bytes::new()]).await;
            }
            _ => {}
        }
    }
}
