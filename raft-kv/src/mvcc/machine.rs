//! What the commands of the log do to the state.

use bytes::Bytes;
use raft_core::StorageError;
use raft_storage_rocks::machine::{Application, Changes, Moment, RocksMachine};

use super::apply::Executor;
use super::view::{FAMILIES, revision_at};
use crate::command::Command;

/// Applies committed entries to the store that [`super::MvccStore`] reads.
pub type MvccMachine = RocksMachine<Mvcc>;

/// The key-value store as an application of the log.
#[derive(Debug)]
pub struct Mvcc;

impl Application for Mvcc {
    fn format(&self) -> &'static str {
        "raft-kv 1"
    }

    fn families(&self) -> &'static [&'static str] {
        &FAMILIES
    }

    fn check_version(&self, command: &[u8]) -> Result<(), String> {
        Command::check_version(command).map_err(|unknown| {
            format!("{unknown}; start this member with a newer version of raft-kv")
        })
    }

    fn apply(
        &self,
        before: &Moment<'_>,
        commands: &[Bytes],
        changes: &mut Changes<'_>,
    ) -> Result<Vec<Bytes>, StorageError> {
        let mut executor = Executor::new(before, revision_at(before)?);
        let mut responses = Vec::with_capacity(commands.len());
        for command in commands {
            responses.push(executor.apply_encoded(command)?.encode().into());
        }
        executor.write_to(changes)?;
        Ok(responses)
    }
}
