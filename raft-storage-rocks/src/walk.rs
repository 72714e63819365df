//! Which run governs an index, walking up a log.

use raft_core::{GroupId, LogIndex, StorageError};
use rocksdb::{DB, DBRawIteratorWithThreadMode, ErrorKind};

use crate::keys::{META, index_of, log_key};
use crate::read::DOING;
use crate::run::Run;
use crate::unreadable::Unreadable;

/// A walk over the metadata of one group.
pub(crate) struct Walk<'a> {
    rows: DBRawIteratorWithThreadMode<'a, DB>,
    group: GroupId,
    stretch: Option<Stretch>,
    unreadable: &'a Unreadable,
}

/// Indices that are governed by the same run.
#[derive(Debug)]
pub(crate) struct Stretch {
    /// Where the run begins. Damage may hide where that is; then it is the index
    /// that was asked for.
    pub(crate) first: LogIndex,
    /// The last index before the next run.
    pub(crate) last: LogIndex,
    pub(crate) governing: Governing,
}

/// What governs a stretch.
#[derive(Debug)]
pub(crate) enum Governing {
    Run(Run),
    Damaged(String),
    Nothing,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        rows: DBRawIteratorWithThreadMode<'a, DB>,
        group: GroupId,
        unreadable: &'a Unreadable,
    ) -> Self {
        Self {
            rows,
            group,
            stretch: None,
            unreadable,
        }
    }

    /// The stretch in which `index` lies.
    pub(crate) fn at(&mut self, index: LogIndex) -> Result<&Stretch, StorageError> {
        let known = self.stretch.take();
        let known = known.filter(|known| known.first <= index && index <= known.last);
        let stretch = match known {
            Some(known) => known,
            None => self.find(index)?,
        };
        Ok(self.stretch.insert(stretch))
    }

    fn find(&mut self, index: LogIndex) -> Result<Stretch, StorageError> {
        let key = log_key(self.group, index);
        // After a stretch the iterator stands at the next run.
        if self.rows.key() != Some(&key) {
            self.rows.seek_for_prev(key);
        }
        let (first, governing) = match self.row()? {
            Row::At(first, record) => match Run::decode(self.group, first, record) {
                Ok(run) => (first, Governing::Run(run)),
                Err(error) => (first, Governing::Damaged(error.to_string())),
            },
            Row::End => (index, Governing::Nothing),
            Row::Damaged(reason) => (index, Governing::Damaged(reason)),
        };
        let last = match &governing {
            // Where the next run begins is not known: ask for each index anew.
            _ if !self.rows.valid() => index,
            Governing::Nothing => index,
            Governing::Run(_) | Governing::Damaged(_) => {
                self.rows.next();
                match self.row()? {
                    Row::At(next, _) => next.previous().unwrap_or(next),
                    Row::End => LogIndex::new(u64::MAX),
                    Row::Damaged(_) => index,
                }
            }
        };
        Ok(Stretch {
            first,
            last,
            governing,
        })
    }

    /// What the iterator stands at.
    fn row(&self) -> Result<Row<'_>, StorageError> {
        if let Some((key, record)) = self.rows.item() {
            return Ok(match index_of(self.group, key) {
                Some(first) => Row::At(first, record),
                None => Row::End,
            });
        }
        match self.rows.status() {
            Ok(()) => Ok(Row::End),
            Err(error) if error.kind() == ErrorKind::Corruption => {
                self.unreadable.note(META);
                Ok(Row::Damaged(error.into_string()))
            }
            Err(error) => Err(StorageError::io(DOING, error)),
        }
    }
}

enum Row<'a> {
    At(LogIndex, &'a [u8]),
    /// Another group's key, or none at all.
    End,
    Damaged(String),
}
