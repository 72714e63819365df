//! Term and vote of one group, and the life of the node whose they are.

use std::sync::Arc;

use async_trait::async_trait;
use raft_core::{GroupId, Incarnation, SavedVote, StableState, StableStore, StorageError};
use rocksdb::DB;

use crate::change::Change;
use crate::keys::StateKey;
use crate::record::{self, LaterVoteBody, LaterVoteMarkBody, VoteMarkBody};
use crate::vote::VoteReader;
use crate::writer::Writer;

/// A [`StableStore`] in a [`RocksStore`](crate::RocksStore).
pub struct RocksStableStore {
    db: Arc<DB>,
    writer: Arc<Writer>,
    group: GroupId,
    /// The life that the store was made for. Records of its votes do not name it.
    first_life: Incarnation,
}

impl RocksStableStore {
    pub(crate) const fn new(
        db: Arc<DB>,
        writer: Arc<Writer>,
        group: GroupId,
        first_life: Incarnation,
    ) -> Self {
        Self {
            db,
            writer,
            group,
            first_life,
        }
    }

    /// The records of vote and mark.
    fn records(&self, vote: SavedVote) -> (Vec<u8>, Vec<u8>) {
        let (incarnation, hard_state) = (vote.incarnation, vote.hard_state);
        let vote_key = StateKey::Vote.of(self.group);
        let mark_key = StateKey::VoteMark.of(self.group);
        if incarnation == self.first_life {
            let mark = record::encode(&mark_key, &VoteMarkBody);
            return (record::encode(&vote_key, &hard_state), mark);
        }
        let body = LaterVoteBody {
            incarnation,
            hard_state,
        };
        let mark = record::encode(&mark_key, &LaterVoteMarkBody(incarnation));
        (record::encode(&vote_key, &body), mark)
    }
}

#[async_trait]
impl StableStore for RocksStableStore {
    /// Reads inline: it is asked once at start, and the block is small.
    async fn load(&self) -> Result<StableState, StorageError> {
        let reader = VoteReader {
            db: &self.db,
            group: self.group,
            first_life: self.first_life,
        };
        reader.load()
    }

    async fn save(&self, vote: SavedVote) -> Result<(), StorageError> {
        let group = self.group;
        let (vote, mark) = self.records(vote);
        let change = Change::Vote { group, vote, mark };
        self.writer.write(change).await
    }
}
