//! Reading what is saved of a group's vote.

use raft_core::{GroupId, Incarnation, LogId, SavedVote, StableState, StorageError};
use rocksdb::{DB, ErrorKind};

use crate::keys::{IDENTITY, STATE, StateKey, family};
use crate::read::Reader;
use crate::record::{self, Kind, LaterVoteBody, LaterVoteMarkBody, RecordError, VoteMarkBody};

/// The vote of one group, as it is on the disk.
pub(crate) struct VoteReader<'a> {
    pub(crate) db: &'a DB,
    pub(crate) group: GroupId,
    /// The life that the store was made for. Records of its votes do not name it.
    pub(crate) first_life: Incarnation,
}

/// What is left in place of a vote.
enum Trace {
    /// A vote of this life was saved, or of one that cannot be told.
    Of(Option<Incarnation>, String),
    /// None ever was.
    Nothing,
}

impl VoteReader<'_> {
    /// Term and vote, or what is left of them.
    pub(crate) fn load(&self) -> Result<StableState, StorageError> {
        let key = StateKey::Vote.of(self.group);
        match self.db.get_cf(family(self.db, STATE), key) {
            Ok(Some(record)) => match self.vote_in(&key, &record) {
                Ok(vote) => Ok(StableState::Saved(vote)),
                Err(error) => self.lost(format!("the vote record of {}: {error}", self.group)),
            },
            Ok(None) => Ok(match self.trace_of_a_vote()? {
                Trace::Of(incarnation, reason) => StableState::Lost {
                    incarnation,
                    reason,
                },
                Trace::Nothing => StableState::Empty,
            }),
            Err(error) if error.kind() == ErrorKind::Corruption => self.lost(error.into_string()),
            Err(error) => Err(StorageError::io("reading the vote", error)),
        }
    }

    /// What shows that a vote was saved here although there is none.
    fn trace_of_a_vote(&self) -> Result<Trace, StorageError> {
        let mark = self.mark()?;
        if !matches!(mark, Trace::Nothing) {
            return Ok(mark);
        }
        // A log has terms, so its replica had one too.
        let bounds = Reader::new(self.db, self.group).bounds();
        Ok(match bounds {
            Ok(bounds) if bounds.last == LogId::ZERO => Trace::Nothing,
            Ok(bounds) => {
                let reason = format!("the log reaches {}, but there is no term", bounds.last);
                Trace::Of(None, reason)
            }
            Err(StorageError::Corrupt { what, reason }) => {
                Trace::Of(None, format!("{what}: {reason}"))
            }
            Err(error) => return Err(error),
        })
    }

    /// The mark that each saved vote leaves. That something stands there says
    /// enough, whatever its state; whose vote it was, only an undamaged one says.
    fn mark(&self) -> Result<Trace, StorageError> {
        let key = StateKey::VoteMark.of(self.group);
        match self.db.get_cf(family(self.db, IDENTITY), key) {
            Ok(None) => Ok(Trace::Nothing),
            Ok(Some(record)) => {
                let reason = "a vote was saved here, and its record is gone".to_owned();
                Ok(Trace::Of(self.life_in_mark(&key, &record).ok(), reason))
            }
            Err(error) if error.kind() == ErrorKind::Corruption => {
                let reason = format!("whether a vote was saved is damaged: {error}");
                Ok(Trace::Of(None, reason))
            }
            Err(error) => Err(StorageError::io("reading the vote", error)),
        }
    }

    fn life_in_mark(&self, key: &[u8], record: &[u8]) -> Result<Incarnation, RecordError> {
        match record::decode::<VoteMarkBody>(key, record) {
            Err(RecordError::Kind { found, .. }) if found == Kind::LaterVoteMark as u8 => {
                record::decode::<LaterVoteMarkBody>(key, record).map(|mark| mark.0)
            }
            mark => mark.map(|_| self.first_life),
        }
    }

    fn vote_in(&self, key: &[u8], record: &[u8]) -> Result<SavedVote, RecordError> {
        match record::decode(key, record) {
            Err(RecordError::Kind { found, .. }) if found == Kind::LaterVote as u8 => {
                let later: LaterVoteBody = record::decode(key, record)?;
                Ok(SavedVote {
                    incarnation: later.incarnation,
                    hard_state: later.hard_state,
                })
            }
            hard_state => Ok(SavedVote {
                incarnation: self.first_life,
                hard_state: hard_state?,
            }),
        }
    }

    /// The vote is damaged; the mark may say whose it was.
    fn lost(&self, reason: String) -> Result<StableState, StorageError> {
        let incarnation = match self.mark()? {
            Trace::Of(incarnation, _) => incarnation,
            Trace::Nothing => None,
        };
        Ok(StableState::Lost {
            incarnation,
            reason,
        })
    }
}
