//! Term and vote of one group.

use std::sync::Arc;

use async_trait::async_trait;
use raft_core::{GroupId, HardState, StableState, StableStore, StorageError};
use rocksdb::{DB, Direction, IteratorMode, WriteBatch};

use crate::keys::{META, STATE, StateKey, entry_key, index_of};
use crate::record::{self, Kind};
use crate::writer::Writer;

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

    fn get(&self, key: StateKey) -> Result<Option<Vec<u8>>, StorageError> {
        let family = self
            .db
            .cf_handle(STATE)
            .expect("opened with all column families");
        self.db
            .get_cf(family, key.of(self.group))
            .map_err(|error| StorageError::io("reading the vote", error))
    }

    /// Whether the group's log holds an entry: then it once had a term, too.
    fn has_entries(&self) -> Result<bool, StorageError> {
        let family = self
            .db
            .cf_handle(META)
            .expect("opened with all column families");
        let start = entry_key(self.group, raft_core::LogIndex::ZERO);
        let mode = IteratorMode::From(&start, Direction::Forward);
        let first = self.db.iterator_cf(family, mode).next().transpose();
        let first = first.map_err(|error| StorageError::io("reading the vote", error))?;
        Ok(first.is_some_and(|(key, _)| index_of(self.group, &key).is_some()))
    }
}

#[async_trait]
impl StableStore for RocksStableStore {
    async fn load(&self) -> Result<StableState, StorageError> {
        let lost = |reason: &str| {
            Ok(StableState::Lost {
                reason: reason.to_owned(),
            })
        };
        let Some(record) = self.get(StateKey::Vote)? else {
            if self.get(StateKey::VoteMark)?.is_some() {
                return lost("a vote was saved here, and its record is gone");
            }
            if self.has_entries()? {
                return lost("there are entries, but no term");
            }
            return Ok(StableState::Empty);
        };
        match record::decode(&StateKey::Vote.of(self.group), Kind::Vote, &record) {
            Ok(state) => Ok(StableState::Saved(state)),
            Err(reason) => lost(&format!("the vote record is damaged: {reason}")),
        }
    }

    async fn save(&self, state: HardState) -> Result<(), StorageError> {
        let group = self.group;
        let change = Box::new(move |db: &DB, batch: &mut WriteBatch| {
            let family = db
                .cf_handle(STATE)
                .expect("opened with all column families");
            let (vote, mark) = (StateKey::Vote.of(group), StateKey::VoteMark.of(group));
            batch.put_cf(family, vote, record::encode(&vote, Kind::Vote, &state));
            batch.put_cf(family, mark, record::encode(&mark, Kind::VoteMark, &()));
            Ok(())
        });
        self.writer
            .write("saving the vote", change, Box::new(|| ()))
            .await
    }
}
