//! A snapshot on a stream of its own, and over more streams if one breaks.
//!
//! ```text
//! sender     begin (transfer, acknowledged, header, meta)
//! receiver                                                have (chunks)
//! sender     chunk*  end (chunks, bytes)
//! receiver           have (chunks)*                       reply
//! chunk      crc32 of the chunk's number and the data, big-endian | data, at most 1 MiB
//! ```
//!
//! # Resumption
//!
//! The sender keeps what the receiver has not acknowledged, so nobody has to
//! read a snapshot twice: any reader can be resumed. When the stream breaks,
//! the sender opens another on the next connection and names the transfer
//! again; the receiver answers with the number of chunks it holds, and the
//! sender goes on from there. That a chunk's number is in its checksum makes
//! one that is skipped or repeated a damaged one.
//!
//! Both sides wait for the next connection for
//! [`snapshot_patience`](crate::QuicConfig::snapshot_patience), counted from
//! the first break after the last chunk that got across. The receiver's state
//! machine goes on waiting for its next chunk meanwhile.
//!
//! A receiver goes on only with the transfer it knows: from the same node, of
//! the same sender's start, with the same header and the same meta
//! ([`admission`]). It gives a half-read one up when a leader of a later term
//! begins another, when the sender begins another or says that it gave up, when
//! the patience is over, or when the node stops.
//!
//! # Rate
//!
//! All snapshots that a node sends share its
//! [`snapshot_rate`](crate::QuicConfig::snapshot_rate) ([`pace`]). What is sent again
//! after a break counts again.
//!
//! Each transfer takes a [`snapshot_share`](crate::QuicConfig::snapshot_share) of what
//! path and nodes carry, and rests in between ([`turns`]).
//!
//! # Memory
//!
//! | where | at most |
//! |---|---|
//! | sender, for each transfer | 4 MiB not acknowledged, and one chunk more |
//! | receiver, for each group | the stream's window of 2 MiB, and two chunks |
//!
//! The receiver takes chunks off the stream as its state machine asks for
//! them. It may reply early, when it does not want the snapshot. A stream that
//! ends without the end marker is never a short snapshot.

mod admission;
mod chunk;
mod intake;
mod pace;
mod receive;
mod send;
mod source;
mod transfer;
mod turns;
mod window;

use quinn::VarInt;

pub(crate) use pace::Pace;
pub(crate) use receive::receive;
pub(crate) use send::send;
pub(crate) use transfer::Transfers;

/// Chunks with their checksum; the meta must fit too.
const FRAME_LIMIT: usize = chunk::MAX_CHUNK + chunk::CHECKSUM_LEN;
const DOING: &str = "receiving a snapshot";
/// How a sender ends a stream that it will not go on with.
const ABANDONED: VarInt = VarInt::from_u32(1);

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
