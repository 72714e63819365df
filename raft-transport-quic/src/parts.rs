//! A batch written into a frame, in which large commands stay where they lie.

use std::io::{self, Write};

use bytes::Bytes;
use raft_core::{Entry, Envelope, Message, Payload};

use crate::frame::FrameBuilder;
use crate::in_place::SHARED_FROM;
use crate::queue::size_of_envelope;

/// Writes into a frame. What is one of the batch's large commands becomes a part of it.
pub(crate) struct PartsWriter<'a> {
    /// The next one last.
    large: Vec<&'a Bytes>,
    frame: &'a mut FrameBuilder,
}

impl<'a> PartsWriter<'a> {
    pub(crate) fn new(batch: &'a [Envelope], frame: &'a mut FrameBuilder) -> Self {
        let large = large_commands(batch);
        let size: usize = batch.iter().map(size_of_envelope).sum();
        let elsewhere: usize = large.iter().map(|command| command.len()).sum();
        frame.body().reserve(size.saturating_sub(elsewhere));
        Self { large, frame }
    }
}

impl Write for PartsWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Bytes of the same place and length are the same bytes, whoever wrote
        // them: a mistake here could only cost a copy.
        match self.large.pop_if(|next| std::ptr::eq(&next[..], bytes)) {
            Some(command) => self.frame.share(command.clone()),
            None => self.frame.body().extend_from_slice(bytes),
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The commands of a batch that are not copied, the first to be encoded last.
fn large_commands(batch: &[Envelope]) -> Vec<&Bytes> {
    let is_large = |data: &&Bytes| data.len() >= SHARED_FROM;
    let mut large = Vec::new();
    for envelope in batch {
        match &envelope.message {
            Message::AppendEntries(append) if append.entries.size() >= SHARED_FROM => {
                let commands = append.entries.entries().iter().filter_map(command);
                large.extend(commands.filter(is_large));
            }
            Message::Propose(propose) => {
                let commands = propose.commands.iter().map(|(_, data)| data);
                large.extend(commands.filter(is_large));
            }
            Message::FetchedEntry(fetched) => {
                large.extend(command(&fetched.entry).filter(is_large));
            }
            _ => {}
        }
    }
    large.reverse();
    large
}

fn command(entry: &Entry) -> Option<&Bytes> {
    match &entry.payload {
        Payload::Command { data, .. } => Some(data),
        Payload::Blank | Payload::Membership(_) => None,
    }
}
