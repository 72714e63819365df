//! The chunks of a snapshot as they come in, and the reader that they go to.

use bytes::Bytes;
use quinn::{ReadError, RecvStream};
use raft_core::{MessageClass, NodeId, SnapshotReader, StorageError, async_trait};
use tokio::sync::{mpsc, watch};

use super::transfer::State;
use super::{DOING, chunk};
use crate::frame::{Frame, FrameError, FrameKind, FrameReader};
use crate::traffic::Traffic;
use crate::wire::{self, SnapshotEnd};

/// What goes to the reader.
pub(super) enum Piece {
    Chunk(Bytes),
    End,
    /// What came is not this snapshot.
    Fault(StorageError),
}

/// Where one stream after another puts what it brings.
pub(super) struct Intake {
    /// Holds one piece: more is not taken off the stream.
    pieces: mpsc::Sender<Piece>,
    received: SnapshotEnd,
    is_whole: bool,
    traffic: Traffic,
}

/// What came of reading a stream.
pub(super) enum Taken {
    /// A chunk of so many bytes.
    Chunk(usize),
    /// The end, after all chunks.
    End,
    /// Nothing more that is of use comes on this stream, nor on another one.
    Useless,
    /// The sender gave up.
    GaveUp,
    /// The connection is lost; the sender may go on over another.
    Broken,
}

/// An intake, and the reader at its other end.
pub(super) fn open(from: NodeId, state: watch::Receiver<State>) -> (Intake, ChunkReader) {
    let (pieces, incoming) = mpsc::channel(1);
    let intake = Intake {
        pieces,
        received: SnapshotEnd::default(),
        is_whole: false,
        traffic: Traffic::received(MessageClass::Snapshot, from),
    };
    let reader = ChunkReader {
        pieces: incoming,
        state,
        has_ended: false,
    };
    (intake, reader)
}

impl Intake {
    /// How many chunks have gone to the reader.
    pub(super) const fn chunks(&self) -> u64 {
        self.received.chunks
    }

    /// Takes the next piece off `frames` when the reader has room for it.
    /// Dropping the future loses nothing.
    pub(super) async fn take(&mut self, frames: &mut FrameReader<RecvStream>) -> Taken {
        let Ok(room) = self.pieces.reserve().await else {
            // Whoever reads has enough, and says so in the reply.
            return Taken::Useless;
        };
        // From here to the end nothing waits, so each piece is counted and sent.
        let piece = match frames.next().await {
            Ok(Some(frame)) => piece_of(&frame, self.received),
            Ok(None) | Err(FrameError::Truncated { .. }) => return Taken::GaveUp,
            Err(FrameError::Io(error)) => match lost_connection(&error) {
                true => return Taken::Broken,
                false => return Taken::GaveUp,
            },
            Err(error) => Piece::Fault(StorageError::io(DOING, error)),
        };
        let taken = match &piece {
            Piece::Chunk(data) => {
                self.traffic.count(data.len());
                self.received.chunks += 1;
                self.received.bytes += data.len() as u64;
                Taken::Chunk(data.len())
            }
            Piece::End => Taken::End,
            Piece::Fault(_) => Taken::Useless,
        };
        // The end comes once on each stream, and goes to the reader once.
        let is_repeated = self.is_whole && matches!(taken, Taken::End);
        self.is_whole |= matches!(taken, Taken::End);
        if !is_repeated {
            room.send(piece);
        }
        taken
    }
}

/// What a frame is, after all that was received so far.
fn piece_of(frame: &Frame, received: SnapshotEnd) -> Piece {
    let corrupt = |reason| {
        let what = format!("chunk {} of a snapshot", received.chunks);
        Piece::Fault(StorageError::Corrupt { what, reason })
    };
    match frame.kind {
        FrameKind::SnapshotChunk => match chunk::decode(received.chunks, frame.body.clone()) {
            Ok(data) => Piece::Chunk(data),
            Err(reason) => corrupt(reason),
        },
        FrameKind::SnapshotEnd => match wire::decode::<SnapshotEnd>(&frame.body) {
            Ok(announced) if announced == received => Piece::End,
            Ok(announced) => corrupt(format!("{announced:?} were sent, {received:?} arrived")),
            Err(error) => Piece::Fault(StorageError::io(DOING, error)),
        },
        kind => Piece::Fault(StorageError::io(DOING, format!("a {kind:?} frame"))),
    }
}

/// Whether a stream ended with its connection, and not by its sender's will.
fn lost_connection(error: &std::io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    matches!(cause, Some(ReadError::ConnectionLost(_)))
}

/// The chunks of a snapshot, for whoever installs it.
pub(super) struct ChunkReader {
    pieces: mpsc::Receiver<Piece>,
    state: watch::Receiver<State>,
    has_ended: bool,
}

#[async_trait]
impl SnapshotReader for ChunkReader {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        let Self {
            pieces,
            state,
            has_ended,
        } = self;
        if *has_ended {
            return Ok(None);
        }
        let given_up = async {
            // Cannot fail before `pieces` ends too.
            drop(state.wait_for(|state| state.given_up.is_some()).await);
        };
        // What came before it was given up still counts: it may be the end.
        let piece = tokio::select! {
            biased;
            piece = pieces.recv() => piece,
            () = given_up => None,
        };
        match piece {
            Some(Piece::Chunk(data)) => Ok(Some(data)),
            Some(Piece::End) => {
                *has_ended = true;
                Ok(None)
            }
            Some(Piece::Fault(error)) => Err(error),
            None => {
                let reason = state.borrow().given_up;
                let reason = reason.unwrap_or("it ended without its end marker");
                Err(StorageError::io(DOING, reason))
            }
        }
    }
}
