//! Term and vote of one group.

use std::sync::Arc;

use async_trait::async_trait;
use raft_core::{GroupId, HardState, LogId, StableState, StableStore, StorageError};
use rocksdb::{DB, ErrorKind};

use crate::keys::{IDENTITY, STATE, StateKey, family};
use crate::read::Reader;
use crate::record::{self, VoteMarkBody};
use crate::writer::{Job, Writer};

/// A [`StableStore`] in a [`RocksStore`](crate::RocksStore).
pub struct RocksStableStore {
    db: Arc<DB>,
    writer: Arc<Writer>,
    group: GroupId,
}

impl RocksStableStore {
    pub(crate) const fn new(db: Arc<DB>, writer: Arc<Writer>, group: GroupId) -> Self {
        Self { db, writer, group }
    }

    /// What shows that a vote was saved here although there is none.
    fn trace_of_a_vote(&self) -> Result<Option<String>, StorageError> {
        let mark = StateKey::VoteMark.of(self.group);
        let mark = self.db.get_cf(family(&self.db, IDENTITY), mark);
        // That something stands there says enough, whatever its state.
        match mark {
            Ok(None) => {}
            Ok(Some(_)) => return Ok(Some("a vote was saved here, and its record is gone".into())),
            Err(error) if error.kind() == ErrorKind::Corruption => {
                return Ok(Some(format!(
                    "whether a vote was saved is damaged: {error}"
                )));
            }
            Err(error) => return Err(StorageError::io("reading the vote", error)),
        }
        // A log has terms, so its replica had one too.
        let bounds = Reader::new(&self.db, self.group).bounds();
        Ok(match bounds {
            Ok(bounds) if bounds.last == LogId::ZERO => None,
            Ok(bounds) => Some(format!(
                "the log reaches {}, but there is no term",
                bounds.last
            )),
            Err(StorageError::Corrupt { what, reason }) => Some(format!("{what}: {reason}")),
            Err(error) => return Err(error),
        })
    }
}

#[async_trait]
impl StableStore for RocksStableStore {
    /// Reads inline: it is asked once at start, and the block is small.
    async fn load(&self) -> Result<StableState, StorageError> {
        let key = StateKey::Vote.of(self.group);
        let lost = |reason: String| Ok(StableState::Lost { reason });
        match self.db.get_cf(family(&self.db, STATE), key) {
            Ok(Some(record)) => match record::decode(&key, &record) {
                Ok(state) => Ok(StableState::Saved(state)),
                Err(error) => lost(format!("the vote record of {}: {error}", self.group)),
            },
            Ok(None) => match self.trace_of_a_vote()? {
                Some(reason) => lost(reason),
                None => Ok(StableState::Empty),
            },
            Err(error) if error.kind() == ErrorKind::Corruption => lost(error.into_string()),
            Err(error) => Err(StorageError::io("reading the vote", error)),
        }
    }

    async fn save(&self, state: HardState) -> Result<(), StorageError> {
        let group = self.group;
        let job = Job::new("saving the vote", move |db, batch| {
            let (vote, mark) = (StateKey::Vote.of(group), StateKey::VoteMark.of(group));
            batch.put_cf(family(db, STATE), vote, record::encode(&vote, &state));
            // In another column family than the vote: no one damaged file takes both.
            let record = record::encode(&mark, &VoteMarkBody);
            batch.put_cf(family(db, IDENTITY), mark, record);
            Ok(Box::new(|| ()))
        });
        self.writer.write(job).await
    }
}
