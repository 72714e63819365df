//! A state machine that keeps the commands it applied, in order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::entry::{Entry, LogSlice, Payload};
use crate::error::StorageError;
use crate::membership::Membership;
use crate::snapshot::{Snapshot, SnapshotMeta, SnapshotReader};
use crate::state_machine::{AppliedState, StateMachine};
use crate::types::{LogId, LogIndex};

/// Largest chunk of a snapshot.
const CHUNK: usize = 1 << 20;

/// The list of all commands applied, oldest first. Answers a command with its
/// place in the list, counted from 1, as decimal text.
///
/// A clone is a handle to the same list, for queries. The list is gone with the
/// process, and is then rebuilt from the log.
#[derive(Clone, Debug, Default)]
pub struct CommandLog {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    applied: AppliedState,
    commands: Vec<Bytes>,
}

impl CommandLog {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// The commands applied so far, oldest first.
    pub fn commands(&self) -> Vec<Bytes> {
        self.lock().commands.clone()
    }

    /// The last entry applied.
    pub fn last_applied(&self) -> LogId {
        self.lock().applied.last_applied
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while applying stops the node; what it left may still be looked at.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn apply(&mut self, entry: Entry) -> Bytes {
        self.applied.last_applied = entry.log_id;
        match entry.payload {
            Payload::Blank => Bytes::new(),
            Payload::Membership(membership) => {
                self.applied.membership = Some(*membership);
                Bytes::new()
            }
            Payload::Command { data, .. } => {
                self.commands.push(data);
                Bytes::from(self.commands.len().to_string())
            }
        }
    }
}

#[async_trait]
impl StateMachine for CommandLog {
    async fn applied(&mut self) -> Result<AppliedState, StorageError> {
        Ok(self.lock().applied.clone())
    }

    async fn apply(&mut self, entries: LogSlice) -> Result<Vec<Bytes>, StorageError> {
        let mut state = self.lock();
        Ok(entries
            .into_entries()
            .into_iter()
            .map(|entry| state.apply(entry))
            .collect())
    }

    /// Memory leaves nothing behind.
    fn durable_applied(&self) -> LogIndex {
        LogIndex::ZERO
    }

    async fn snapshot(&mut self) -> Result<Snapshot, StorageError> {
        let state = self.lock();
        Ok(Snapshot {
            meta: SnapshotMeta {
                last_included: state.applied.last_applied,
                membership: state.applied.membership.clone().unwrap_or_default(),
            },
            reader: Box::new(Chunks::of(&state.commands)),
        })
    }

    async fn restore(
        &mut self,
        meta: SnapshotMeta,
        mut reader: Box<dyn SnapshotReader>,
    ) -> Result<(), StorageError> {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = reader.next_chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        let commands = decode(bytes.freeze())?;
        let membership = Some(meta.membership).filter(|m| *m != Membership::default());
        *self.lock() = State {
            applied: AppliedState {
                last_applied: meta.last_included,
                membership,
            },
            commands,
        };
        Ok(())
    }
}

/// Each command after its length, as eight bytes in big-endian order.
fn encode(commands: &[Bytes]) -> Bytes {
    let size = commands.iter().map(|command| 8 + command.len()).sum();
    let mut bytes = BytesMut::with_capacity(size);
    for command in commands {
        bytes.put_u64(command.len() as u64);
        bytes.put_slice(command);
    }
    bytes.freeze()
}

fn decode(mut bytes: Bytes) -> Result<Vec<Bytes>, StorageError> {
    let mut commands = Vec::new();
    while !bytes.is_empty() {
        let length = bytes.try_get_u64().ok();
        let length = length.and_then(|length| usize::try_from(length).ok());
        match length.filter(|&length| length <= bytes.len()) {
            Some(length) => commands.push(bytes.split_to(length)),
            None => {
                return Err(StorageError::Corrupt {
                    what: format!("the snapshot, at command {}", commands.len() + 1),
                    reason: "it ends in the middle".to_owned(),
                });
            }
        }
    }
    Ok(commands)
}

/// A snapshot in memory.
struct Chunks(VecDeque<Bytes>);

impl Chunks {
    fn of(commands: &[Bytes]) -> Self {
        let mut bytes = encode(commands);
        let mut chunks = VecDeque::new();
        while !bytes.is_empty() {
            chunks.push_back(bytes.split_to(CHUNK.min(bytes.len())));
        }
        Self(chunks)
    }
}

#[async_trait]
impl SnapshotReader for Chunks {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        Ok(self.0.pop_front())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_holds_every_command() {
        let commands = [
            Bytes::new(),
            Bytes::from("two"),
            Bytes::from(vec![3; 2 * CHUNK]),
        ];

        let chunks = Chunks::of(&commands).0;
        assert!(chunks.iter().all(|chunk| chunk.len() <= CHUNK));
        let whole: Vec<u8> = chunks.iter().flatten().copied().collect();

        assert_eq!(decode(whole.into()).unwrap(), commands);
    }

    #[test]
    fn a_snapshot_that_breaks_off_is_corrupt() {
        let bytes = encode(&[Bytes::from("one"), Bytes::from("two")]);

        for length in [1, 8, 9, 12, bytes.len() - 1] {
            assert!(decode(bytes.slice(..length)).is_err(), "cut at {length}");
        }
    }
}
