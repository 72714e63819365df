//! The way out of one class on one connection: a stream, and who writes to it.
//!
//! A task empties the queue into the stream. But to wake it takes as long as to write a
//! small message, and longer where a runtime has several threads, so whoever queues little
//! and finds the stream idle writes it at once. It waits for no peer: what finds no room in
//! the stream is left to the task. But quinn does its work on a connection under a lock, so
//! it may wait for a batch of datagrams that is being encrypted. Messages that come in a
//! burst are left to the task as well, which makes one frame of them.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use quinn::{SendStream, WriteError};
use raft_core::{Envelope, MessageClass, NodeId};
use tokio::sync::{Mutex, watch};

use crate::frame::{FrameBuilder, FrameKind};
use crate::peer::{class_name, count_dropped};
use crate::queue::BoundedQueue;
use crate::traffic::Traffic;
use crate::wire;

/// How much goes into one frame, if it consists of several messages. The receiver reads
/// one while the next is written: with longer ones, each side would wait for the other.
const FRAME_TARGET: usize = 64 * 1024;

/// One stream, shared by the task that writes to it and by whoever queues a message.
pub(crate) struct Outlet {
    peer: NodeId,
    class: MessageClass,
    max_frame: usize,
    /// Held while something is written. Empty before the stream is open, and after its end.
    pen: Mutex<Option<Pen>>,
}

/// A stream, and what is not yet written of the frames that were begun.
struct Pen {
    stream: SendStream,
    traffic: Traffic,
    unwritten: Vec<Bytes>,
}

impl Outlet {
    pub(crate) fn new(peer: NodeId, class: MessageClass, max_frame: usize) -> Self {
        Self {
            peer,
            class,
            max_frame,
            pen: Mutex::default(),
        }
    }

    /// Empties `queue` into `stream` until the connection is retired, and ends between two
    /// frames.
    pub(crate) async fn run(
        &self,
        stream: SendStream,
        queue: &BoundedQueue,
        mut retired: watch::Receiver<bool>,
    ) -> Result<(), WriteError> {
        prioritize(&stream, self.class);
        *self.pen.lock().await = Some(Pen {
            stream,
            traffic: Traffic::sent(self.class, self.peer),
            unwritten: Vec::new(),
        });
        let written = self.write(queue, &mut retired).await;
        *self.pen.lock().await = None;
        // A call may have been meant for whoever writes from now on.
        queue.call();
        written
    }

    async fn write(
        &self,
        queue: &BoundedQueue,
        retired: &mut watch::Receiver<bool>,
    ) -> Result<(), WriteError> {
        let is_retired = retired.clone();
        // Once for all frames: it takes its place in line only at the first.
        let retired = retired.wait_for(|retired| *retired);
        tokio::pin!(retired);
        loop {
            if let Some(pen) = self.pen.lock().await.as_mut() {
                pen.write_rest().await?;
                while !*is_retired.borrow()
                    && let Some(frames) = self.frames_of(queue)
                {
                    pen.begin(frames);
                    pen.write_rest().await?;
                }
            }
            let is_over = tokio::select! {
                biased;
                _ = &mut retired => true,
                () = queue.called() => false,
            };
            if is_over {
                return self.end().await;
            }
        }
    }

    /// Ends the stream when what somebody began is written; nobody begins more in between.
    async fn end(&self) -> Result<(), WriteError> {
        let mut place = self.pen.lock().await;
        if let Some(pen) = place.as_mut() {
            pen.write_rest().await?;
        }
        *place = None;
        Ok(())
    }

    /// Writes what `queue` holds, as far as that goes without waiting. Answers whether
    /// nothing is left to do.
    pub(crate) fn write_at_once(&self, queue: &BoundedQueue) -> bool {
        let Ok(mut place) = self.pen.try_lock() else {
            return false;
        };
        let Some(pen) = place.as_mut().filter(|pen| !pen.has_unwritten()) else {
            return false;
        };
        if let Some(frames) = self.frames_of(queue) {
            pen.begin(frames);
        }
        // Whoever comes after that look and before the pen is free calls the task.
        let is_written = pen.write_now();
        queue.pause_begins() && is_written
    }

    /// What waits, if anything does, as one frame; as one for each message if that would be
    /// too long.
    fn frames_of(&self, queue: &BoundedQueue) -> Option<Vec<Vec<Bytes>>> {
        let batch = queue.take(FRAME_TARGET);
        (!batch.is_empty()).then(|| self.frames(&batch))
    }

    fn frames(&self, batch: &[Envelope]) -> Vec<Vec<Bytes>> {
        match encode_messages(batch, self.max_frame) {
            Ok(frame) => vec![frame],
            Err(_) if batch.len() > 1 => batch.chunks(1).flat_map(|one| self.frames(one)).collect(),
            Err(reason) => {
                count_dropped(self.class, "too_large", 1);
                tracing::error!(
                    peer = %self.peer,
                    message = batch.first().map(|envelope| envelope.message.name()),
                    reason,
                    "a message cannot be sent"
                );
                Vec::new()
            }
        }
    }
}

impl Pen {
    fn has_unwritten(&self) -> bool {
        self.unwritten.iter().any(|part| !part.is_empty())
    }

    /// Takes frames, after those before were written.
    fn begin(&mut self, frames: Vec<Vec<Bytes>>) {
        self.unwritten.clear();
        for frame in frames {
            self.traffic.count(frame.iter().map(Bytes::len).sum());
            self.unwritten.extend(frame);
        }
    }

    async fn write_rest(&mut self) -> Result<(), WriteError> {
        while self.has_unwritten() {
            self.stream.write_chunks(&mut self.unwritten).await?;
        }
        Ok(())
    }

    /// Writes as much as there is room for; answers whether that was all. An error shows
    /// again when the task writes the rest.
    fn write_now(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        while self.has_unwritten() {
            let writing = pin!(self.stream.write_chunks(&mut self.unwritten));
            match writing.poll(&mut nobody) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) | Poll::Pending => return false,
            }
        }
        true
    }
}

fn encode_messages(batch: &[Envelope], limit: usize) -> Result<Vec<Bytes>, String> {
    let mut frame = FrameBuilder::new(FrameKind::Messages, 0);
    wire::encode_batch_in(batch, &mut frame).map_err(|error| error.to_string())?;
    frame
        .finish_parts(limit)
        .map_err(|error| format!("{error}; raise max_frame on all nodes"))
}

/// Gives a stream its class's place in line.
pub(crate) fn prioritize(stream: &SendStream, class: MessageClass) {
    let priority = match class {
        MessageClass::Control => 2,
        MessageClass::Append => 1,
        MessageClass::Snapshot => 0,
    };
    // Fails only on a stream that ended, which the next write will tell.
    if stream.set_priority(priority).is_err() {
        tracing::debug!(class = class_name(class), "a stream ended early");
    }
}
