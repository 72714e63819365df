//! What a sender keeps of a snapshot: the chunks that its receiver may lack.

use std::collections::VecDeque;

use bytes::Bytes;

use super::chunk::{self, MAX_CHUNK};
use crate::wire::SnapshotEnd;

/// From so many bytes on, nothing more is read before something is acknowledged.
pub(super) const MAX_BYTES: usize = 4 * 1024 * 1024;
/// The same for chunks, so that small ones do not cost more than they hold.
const MAX_CHUNKS: usize = 1024;

/// Chunks in their order, from the first one that is not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Window {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    /// How many chunks the receiver was heard to hold.
    acknowledged: u64,
    /// How many of `chunks` were written to the present stream.
    written: usize,
    /// All that was read so far.
    read: SnapshotEnd,
    is_read: bool,
    is_end_written: bool,
}

/// What is to be written next.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// A chunk, as a frame.
    Chunk([Bytes; 2]),
    /// All chunks were written.
    End(SnapshotEnd),
}

impl Window {
    pub(super) const fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Whether the next chunk may be read.
    pub(super) fn has_room(&self) -> bool {
        !self.is_read && self.bytes < MAX_BYTES && self.chunks.len() < MAX_CHUNKS
    }

    /// Takes in what was read: the next data, or nothing at the end.
    pub(super) fn push(&mut self, data: Option<Bytes>) {
        let Some(mut data) = data else {
            self.is_read = true;
            return;
        };
        while !data.is_empty() {
            let chunk = data.split_to(data.len().min(MAX_CHUNK));
            self.read.chunks += 1;
            self.read.bytes += chunk.len() as u64;
            self.bytes += chunk.len();
            self.chunks.push_back(chunk);
        }
    }

    /// Lets go what the receiver holds. Answers how many bytes more that is than before.
    pub(super) fn acknowledge(&mut self, held: u64) -> Result<usize, String> {
        let (known, read) = (self.acknowledged, self.read.chunks);
        if !(known..=read).contains(&held) {
            return Err(format!(
                "the receiver claims {held} chunks, between {known} and {read} are possible"
            ));
        }
        let further = self.chunks.drain(..usize_of(held - known));
        let bytes = further.map(|chunk| chunk.len()).sum();
        self.bytes -= bytes;
        self.written = self.written.saturating_sub(usize_of(held - known));
        self.acknowledged = held;
        Ok(bytes)
    }

    /// A new stream begins with the first chunk that is not acknowledged.
    pub(super) const fn rewind(&mut self) {
        self.written = 0;
        self.is_end_written = false;
    }

    /// Whether a chunk is to be written next.
    pub(super) fn has_chunk(&self) -> bool {
        self.written < self.chunks.len()
    }

    /// What to write next, if there is something.
    pub(super) fn next(&mut self) -> Option<Next> {
        if let Some(data) = self.chunks.get(self.written) {
            let number = self.acknowledged + self.written as u64;
            self.written += 1;
            return Some(Next::Chunk(chunk::encode(number, data.clone())));
        }
        let is_due = self.is_read && !self.is_end_written;
        self.is_end_written |= is_due;
        is_due.then_some(Next::End(self.read))
    }
}

/// A number of chunks in the window.
fn usize_of(chunks: u64) -> usize {
    usize::try_from(chunks).expect("a window holds few chunks")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(chunks: u8) -> Window {
        let mut window = Window::default();
        for number in 0..chunks {
            window.push(Some(vec![number; 10].into()));
        }
        window
    }

    fn chunk(number: u8) -> Next {
        Next::Chunk(chunk::encode(number.into(), vec![number; 10].into()))
    }

    #[test]
    fn a_new_stream_begins_where_the_receiver_stands() {
        let mut window = window(4);
        for number in 0..4 {
            assert_eq!(window.next(), Some(chunk(number)));
        }
        assert_eq!(window.acknowledge(1), Ok(10));
        assert_eq!(window.next(), None);

        assert_eq!(window.acknowledge(2), Ok(10));
        window.rewind();

        assert_eq!(window.next(), Some(chunk(2)));
        assert_eq!(window.next(), Some(chunk(3)));
        assert_eq!(window.next(), None);
    }

    #[test]
    fn the_end_follows_all_chunks_once_on_each_stream() {
        let mut window = window(1);
        window.push(None);
        let end = SnapshotEnd {
            chunks: 1,
            bytes: 10,
        };

        for _ in 0..2 {
            assert_eq!(window.next(), Some(chunk(0)));
            assert_eq!(window.next(), Some(Next::End(end)));
            assert_eq!(window.next(), None);
            window.rewind();
        }
        assert_eq!(window.acknowledge(1), Ok(10));
        assert_eq!(window.next(), Some(Next::End(end)));
    }

    #[test]
    fn a_receiver_cannot_forget_chunks_nor_hold_some_that_were_not_read() {
        let mut window = window(4);
        assert_eq!(window.acknowledge(2), Ok(20));
        assert_eq!(window.acknowledge(2), Ok(0));

        assert!(window.acknowledge(1).is_err());
        assert!(window.acknowledge(5).is_err());
    }

    #[test]
    fn nothing_is_read_while_too_much_is_not_acknowledged() {
        let mut large = Window::default();
        while large.has_room() {
            large.push(Some(vec![0; MAX_CHUNK].into()));
        }
        assert_eq!(large.bytes, MAX_BYTES);
        let mut small = Window::default();
        while small.has_room() {
            small.push(Some(Bytes::from_static(b"x")));
        }
        assert_eq!(small.chunks.len(), MAX_CHUNKS);

        assert_eq!(large.acknowledge(1), Ok(MAX_CHUNK));
        assert!(large.has_room());
    }

    #[test]
    fn what_is_larger_than_a_chunk_is_cut() {
        let mut window = Window::default();

        window.push(Some(vec![0; 2 * MAX_CHUNK + 1].into()));

        assert_eq!(window.chunks.len(), 3);
        assert_eq!(window.read.bytes, 2 * MAX_CHUNK as u64 + 1);
    }
}
