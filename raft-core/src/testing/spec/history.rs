//! What was ever said, and what followed from it.

use std::collections::{BTreeMap, BTreeSet};

use super::log::Log;
use crate::types::{LogId, LogIndex, ReplicaId, Term};

/// The past of a group, as far as anything depends on it.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct History {
    /// Who campaigned in which term, with a log that ended where.
    pub(crate) campaigns: BTreeMap<(Term, ReplicaId), LogId>,
    /// Whose campaigns others may have heard of.
    pub(crate) asked: BTreeSet<(Term, ReplicaId)>,
    /// Durable votes.
    pub(crate) votes: BTreeMap<(Term, ReplicaId), ReplicaId>,
    /// (term, voter, candidate): votes that were given, durable or not yet.
    pub(crate) given: BTreeSet<(Term, ReplicaId, ReplicaId)>,
    /// Votes that were told to who got them.
    pub(crate) told: BTreeSet<(Term, ReplicaId)>,
    /// (term, voter, candidate): asked, it would have voted for it in that term.
    pub(crate) would_have_voted: BTreeSet<(Term, ReplicaId, ReplicaId)>,
    /// The same, and it said so.
    pub(crate) would_vote: BTreeSet<(Term, ReplicaId, ReplicaId)>,
    /// Asked by the leader of that term to take over.
    pub(crate) successors: BTreeSet<(Term, ReplicaId)>,
    /// Who led which term, and the log it had in it, which only grows.
    pub(crate) leaders: BTreeMap<Term, Leadership>,
    /// (term, replica): it told the term's leader to hold so much of its log durably.
    pub(crate) held: BTreeMap<(Term, ReplicaId), LogIndex>,
    /// Somebody said that it purged its log up to here.
    pub(crate) purged: LogIndex,
    /// The highest term that was ever said.
    pub(crate) highest_term: Term,
    /// What is committed.
    pub(crate) committed: Log,
    /// How much of it the leader of each term knew.
    pub(crate) committed_in: BTreeMap<Term, LogIndex>,
}

/// The leadership of one term.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Leadership {
    pub(crate) replica: ReplicaId,
    /// Its first own entry.
    pub(crate) first: LogIndex,
    pub(crate) log: Log,
}
