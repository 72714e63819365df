//! What can be asked for: one change of a log or of a vote.

use std::sync::Arc;

use raft_core::{AppendBatch, GroupId, LogId, LogSlice};

use crate::group::Group;

/// One thing to write.
pub(crate) enum Change {
    Append(Arc<Group>, AppendBatch),
    Purge(Arc<Group>, LogId),
    Reset(Arc<Group>, LogId),
    Repair(Arc<Group>, LogSlice),
    /// The records of a vote and of its mark.
    Vote {
        group: GroupId,
        vote: Vec<u8>,
        mark: Vec<u8>,
    },
}

/// What changes can be about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Thing {
    /// The log of a group.
    Log(GroupId),
    /// Its term and vote.
    Vote(GroupId),
}

impl Change {
    /// What it does, for errors.
    pub(crate) const fn doing(&self) -> &'static str {
        match self {
            Self::Append(..) => "appending entries",
            Self::Purge(..) => "purging the log",
            Self::Reset(..) => "resetting the log",
            Self::Repair(..) => "mending entries",
            Self::Vote { .. } => "saving the vote",
        }
    }

    /// What it changes: the changes of one thing take effect in their order.
    pub(crate) fn thing(&self) -> Thing {
        match self {
            Self::Append(group, _)
            | Self::Purge(group, _)
            | Self::Reset(group, _)
            | Self::Repair(group, _) => Thing::Log(group.id),
            Self::Vote { group, .. } => Thing::Vote(*group),
        }
    }

    /// About how much it writes.
    pub(crate) const fn bytes(&self) -> usize {
        match self {
            Self::Append(_, batch) => batch.entries.size(),
            Self::Repair(_, entries) => entries.size(),
            Self::Purge(..) | Self::Reset(..) | Self::Vote { .. } => 0,
        }
    }

    /// Whether it reads, so that what was handed in before must be durable first: a
    /// cut alone needs the term of the entry that it leaves at the end.
    pub(crate) const fn reads(&self) -> bool {
        match self {
            Self::Append(_, batch) => batch.entries.is_empty(),
            Self::Repair(..) => true,
            Self::Purge(..) | Self::Reset(..) | Self::Vote { .. } => false,
        }
    }
}
