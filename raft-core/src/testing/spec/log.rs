//! A log as the rules see it: terms, contents told apart, memberships.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::membership::Membership;
use crate::types::{LogId, LogIndex, Term};

/// One entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Item {
    pub(crate) term: Term,
    /// Tells contents apart.
    pub(crate) content: u64,
    /// The entry begins a leadership and carries nothing.
    pub(crate) is_blank: bool,
    /// The membership that it brings, if it does.
    pub(crate) membership: Option<Arc<Membership>>,
}

/// A log from its first entry on. What a replica has purged, or got as a snapshot, is
/// part of it all the same: it is what its state stands for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// Term, and a digest of everything up to here.
    entries: Vec<(Term, u64)>,
    memberships: Vec<(LogIndex, Arc<Membership>)>,
    /// The membership before the first entry, if it is known.
    founders: Arc<Membership>,
}

impl Log {
    /// A log without entries, in force `founders`.
    pub(crate) fn founded_by(founders: Arc<Membership>) -> Self {
        Self {
            founders,
            ..Self::default()
        }
    }

    /// The position of its last entry.
    pub(crate) fn last_index(&self) -> LogIndex {
        LogIndex::new(self.entries.len() as u64)
    }

    /// Identity of its last entry.
    pub(crate) fn last(&self) -> LogId {
        let term = self
            .entries
            .last()
            .map_or(Term::default(), |(term, _)| *term);
        LogId {
            term,
            index: self.last_index(),
        }
    }

    /// The term at `index`; that of the place before the first entry is 0.
    pub(crate) fn term_at(&self, index: LogIndex) -> Option<Term> {
        match index.previous() {
            None => Some(Term::default()),
            Some(before) => Some(self.entries.get(place(before))?.0),
        }
    }

    /// Tells apart all that lies up to `index`.
    pub(crate) fn digest_at(&self, index: LogIndex) -> Option<u64> {
        match index.previous() {
            None => Some(0),
            Some(before) => Some(self.entries.get(place(before))?.1),
        }
    }

    /// Whether it holds this entry.
    pub(crate) fn contains(&self, id: LogId) -> bool {
        self.term_at(id.index) == Some(id.term)
    }

    /// Whether both hold the same up to `index`.
    pub(crate) fn agrees(&self, other: &Self, index: LogIndex) -> bool {
        let own = self.digest_at(index);
        own.is_some() && own == other.digest_at(index)
    }

    /// The membership in force, and the entry that brought it.
    pub(crate) fn membership(&self) -> (LogIndex, &Arc<Membership>) {
        let latest = self.memberships.last();
        latest.map_or((LogIndex::ZERO, &self.founders), |(at, m)| (*at, m))
    }

    /// The membership in force at `commit`, and those that may follow it.
    pub(crate) fn memberships_from(
        &self,
        commit: LogIndex,
    ) -> impl Iterator<Item = &Arc<Membership>> {
        let later = self.memberships.partition_point(|(at, _)| *at <= commit);
        let founders = (later == 0).then_some(&self.founders);
        let logged = &self.memberships[later.saturating_sub(1)..];
        founders.into_iter().chain(logged.iter().map(|(_, m)| m))
    }

    /// Appends an entry.
    pub(crate) fn push(&mut self, item: &Item) {
        let before = self.entries.last().map_or(0, |(_, digest)| *digest);
        let digest = digest_after(before, item);
        self.entries.push((item.term, digest));
        if let Some(membership) = &item.membership {
            let index = self.last_index();
            self.memberships.push((index, Arc::clone(membership)));
        }
    }

    /// Forgets what lies from `from` on.
    pub(crate) fn cut(&mut self, from: LogIndex) {
        self.entries
            .truncate(place(from.previous().unwrap_or_default()));
        self.memberships.retain(|(index, _)| *index < from);
    }

    /// What lies up to `index`.
    pub(crate) fn prefix(&self, index: LogIndex) -> Self {
        let mut prefix = self.clone();
        prefix.cut(index.next());
        prefix
    }

    /// Takes over from `other` what it lacks up to `index`; both agree in what it has.
    pub(crate) fn extend(&mut self, other: &Self, index: LogIndex) {
        let own = self.last_index();
        let range = place(own)..place(index);
        self.entries.extend_from_slice(&other.entries[range]);
        let new = other.memberships.iter();
        let new = new.filter(|(at, _)| *at > own && *at <= index);
        self.memberships.extend(new.cloned());
    }
}

/// Two logs are one state if they hold the same.
impl Hash for Log {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.last_index().hash(state);
        self.digest_at(self.last_index()).hash(state);
    }
}

/// So many entries lie up to `index`.
fn place(index: LogIndex) -> usize {
    usize::try_from(index.get()).unwrap_or(usize::MAX)
}

/// The digest of a log that ends in `item`, from the digest before it.
fn digest_after(before: u64, item: &Item) -> u64 {
    let words = [item.term.get(), item.content, u64::from(item.is_blank)];
    words.into_iter().fold(before, |digest, word| {
        let mixed = (digest.rotate_left(29) ^ word).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ (mixed >> 32)
    })
}
