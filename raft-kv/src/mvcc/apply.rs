//! Executes commands one after the other on what earlier ones left behind.
//!
//! Everything here is a function of the state and the command: no clock, no
//! configuration, no randomness. A refused command leaves no trace.

use raft_core::StorageError;
use raft_storage_rocks::machine::{Changes, Moment, RecordTooLong};

use super::check::{NO_LIMIT, check};
use super::error::QueryError;
use super::keys::Revision;
use super::range;
use super::record::{Change, Lifetime};
use super::view::{Live, Pending, View, put_revision};
use crate::command::{Command, CommandResult, Outcome, Response};
use crate::model::{
    Bytes, DeleteRange, DeleteRangeResult, KvError, Put, PutResult, Range, RangeResult,
};

/// Runs requests against one base, keeping what they change.
pub(super) struct Executor<'a> {
    base: &'a Moment<'a>,
    pending: Pending,
    /// The store's revision before the request in progress.
    revision: i64,
    /// How many changes that request has made.
    changes: u64,
}

impl<'a> Executor<'a> {
    pub(super) fn new(base: &'a Moment<'a>, revision: i64) -> Self {
        Self {
            base,
            pending: Pending::default(),
            revision,
            changes: 0,
        }
    }

    /// Runs an encoded command of a version that is known. One that makes no sense is
    /// refused: every member decodes it alike, whatever version of the program it runs.
    pub(super) fn apply_encoded(&mut self, bytes: &[u8]) -> Result<Response, StorageError> {
        match Command::decode(bytes) {
            Ok(command) => self.apply(&command),
            Err(error) => {
                tracing::error!(%error, "a command makes no sense and is refused: a bug");
                Ok(Response::Refused {
                    error: KvError::MalformedCommand(error.to_string()),
                    revision: self.revision,
                })
            }
        }
    }

    /// Runs one command: wholly, or not at all.
    pub(super) fn apply(&mut self, command: &Command) -> Result<Response, StorageError> {
        let checked = check(command, NO_LIMIT).map_err(QueryError::from);
        match checked.and_then(|()| self.run(command)) {
            Ok(result) => {
                self.revision = self.newest();
                self.changes = 0;
                Ok(Response::Ok(Outcome {
                    revision: self.revision,
                    result,
                }))
            }
            Err(QueryError::Refused(error)) => {
                self.pending.roll_back(self.revision + 1);
                self.changes = 0;
                Ok(Response::Refused {
                    error,
                    revision: self.revision,
                })
            }
            Err(QueryError::Storage(error)) => Err(error),
        }
    }

    fn run(&mut self, command: &Command) -> Result<CommandResult, QueryError> {
        Ok(match command {
            Command::Put(put) => CommandResult::Put(self.put(put)?),
            Command::DeleteRange(delete) => CommandResult::DeleteRange(self.delete_range(delete)?),
            Command::Txn(txn) => CommandResult::Txn(self.txn(txn)?),
        })
    }

    /// The revision that reads see: that of the request in progress once it changed something.
    pub(super) fn newest(&self) -> i64 {
        match self.changes {
            0 => self.revision,
            _ => self.revision + 1,
        }
    }

    /// Hands over what the requests changed.
    pub(super) fn write_to(&self, changes: &mut Changes<'_>) -> Result<(), RecordTooLong> {
        self.pending.write_to(changes)?;
        put_revision(changes, self.newest())
    }

    pub(super) fn view(&self) -> View<'_> {
        View {
            base: self.base,
            pending: &self.pending,
        }
    }

    pub(super) fn range(&self, range: &Range) -> Result<RangeResult, QueryError> {
        range::range(&self.view(), self.newest(), range)
    }

    pub(super) fn put(&mut self, put: &Put) -> Result<PutResult, QueryError> {
        let before = self.view().find(&put.key, self.newest())?;
        let previous = match &before {
            Some(live) if put.ignore_value || put.prev_kv => {
                Some(self.view().with_value(live.clone())?)
            }
            _ => None,
        };
        let value = match &previous {
            Some(kv) if put.ignore_value => kv.value.clone(),
            None if put.ignore_value => return Err(KvError::KeyNotFound.into()),
            _ => put.value.clone(),
        };
        self.write(&put.key, before, value);
        Ok(PutResult {
            prev_kv: previous.filter(|_| put.prev_kv),
        })
    }

    pub(super) fn delete_range(
        &mut self,
        delete: &DeleteRange,
    ) -> Result<DeleteRangeResult, QueryError> {
        let doomed = self.live_keys(delete)?;
        let mut result = DeleteRangeResult::default();
        for live in doomed {
            let key = live.key.clone();
            if delete.prev_kv {
                result.prev_kvs.push(self.view().with_value(live)?);
            }
            self.record(Change { key, written: None });
            result.deleted += 1;
        }
        Ok(result)
    }

    fn live_keys(&self, delete: &DeleteRange) -> Result<Vec<Live>, StorageError> {
        let mut keys = Vec::new();
        self.view()
            .walk(&delete.keys, self.newest(), |live| keys.push(live))?;
        Ok(keys)
    }

    fn write(&mut self, key: &[u8], before: Option<Live>, value: Bytes) {
        let lifetime = match before {
            Some(live) => Lifetime {
                version: live.lifetime.version + 1,
                ..live.lifetime
            },
            None => Lifetime {
                create_revision: self.revision + 1,
                version: 1,
            },
        };
        self.record(Change {
            key: key.to_vec(),
            written: Some((lifetime, value)),
        });
    }

    fn record(&mut self, change: Change) {
        let revision = Revision {
            main: self.revision + 1,
            sub: self.changes,
        };
        self.pending.insert(revision, change);
        self.changes += 1;
    }
}
