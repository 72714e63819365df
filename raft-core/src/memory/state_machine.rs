//! A state machine that remembers the commands it applied.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::entry::{LogSlice, Payload};
use crate::error::StorageError;
use crate::membership::Membership;
use crate::snapshot::{Snapshot, SnapshotMeta, SnapshotReader};
use crate::state_machine::{AppliedState, StateMachine};
use crate::types::{LogId, LogIndex};

/// A [`StateMachine`] whose state is the list of applied commands. It answers
/// each command with how many commands there are, as eight big-endian bytes.
/// Clones share the list.
#[derive(Clone, Debug, Default)]
pub struct MemoryStateMachine {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    applied: LogId,
    membership: Option<Membership>,
    commands: Vec<Bytes>,
}

impl MemoryStateMachine {
    /// A state machine without commands.
    pub fn new() -> Self {
        Self::default()
    }

    /// The commands applied so far, in order.
    pub fn commands(&self) -> Vec<Bytes> {
        self.lock().commands.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

#[async_trait]
impl StateMachine for MemoryStateMachine {
    async fn applied(&mut self) -> Result<AppliedState, StorageError> {
        let state = self.lock();
        Ok(AppliedState {
            last_applied: state.applied,
            membership: state.membership.clone(),
        })
    }

    async fn apply(&mut self, entries: LogSlice) -> Result<Vec<Bytes>, StorageError> {
        let mut state = self.lock();
        let mut responses = Vec::with_capacity(entries.len());
        for entry in entries.entries() {
            state.applied = entry.log_id;
            responses.push(match &entry.payload {
                Payload::Blank => Bytes::new(),
                Payload::Membership(membership) => {
                    state.membership = Some(membership.as_ref().clone());
                    Bytes::new()
                }
                Payload::Command { data, .. } => {
                    state.commands.push(data.clone());
                    let count = state.commands.len() as u64;
                    Bytes::copy_from_slice(&count.to_be_bytes())
                }
            });
        }
        Ok(responses)
    }

    fn durable_applied(&self) -> LogIndex {
        self.lock().applied.index
    }

    async fn snapshot(&mut self) -> Result<Snapshot, StorageError> {
        let state = self.lock().clone();
        let membership = state.membership.unwrap_or_default();
        let meta = SnapshotMeta {
            last_included: state.applied,
            membership,
        };
        Ok(Snapshot {
            meta,
            reader: Box::new(Commands {
                left: state.commands.into_iter(),
            }),
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
        let membership = Some(meta.membership);
        *self.lock() = State {
            applied: meta.last_included,
            membership,
            commands,
        };
        Ok(())
    }
}

/// Commands as chunks: each behind its length.
struct Commands {
    left: std::vec::IntoIter<Bytes>,
}

#[async_trait]
impl SnapshotReader for Commands {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        Ok(self.left.next().map(|command| {
            let mut chunk = BytesMut::with_capacity(8 + command.len());
            chunk.put_u64(command.len() as u64);
            chunk.put(command);
            chunk.freeze()
        }))
    }
}

fn decode(mut bytes: Bytes) -> Result<Vec<Bytes>, StorageError> {
    let torn = || StorageError::Corrupt {
        what: "a snapshot of commands".into(),
        reason: "it ends within a command".into(),
    };
    let mut commands = Vec::new();
    while bytes.has_remaining() {
        let length = bytes.try_get_u64().map_err(|_| torn())?;
        let length = usize::try_from(length).map_err(|_| torn())?;
        if length > bytes.remaining() {
            return Err(torn());
        }
        commands.push(bytes.split_to(length));
    }
    Ok(commands)
}
