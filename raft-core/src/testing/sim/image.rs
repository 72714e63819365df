//! What a log holds, with a digest at each index that covers everything up to it.
//!
//! Equal digests at an index mean equal logs up to it, payloads included. This
//! is what lets the checkers compare whole logs in one step.

use std::sync::Arc;

use super::report::Violation;
use crate::entry::{Entry, EntryMeta, LogSlice, Payload};
use crate::membership::Membership;
use crate::types::{LogId, LogIndex, Term};

/// A log from index 1 on. What was purged, or replaced by a snapshot, cannot be
/// read any more, but is kept for the checkers: it is what the state machine holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogImage {
    entries: Vec<Entry>,
    digests: Vec<u64>,
    memberships: Vec<(LogIndex, Arc<Membership>)>,
    purged: LogId,
}

impl LogImage {
    /// Identity of the last entry.
    pub(crate) fn last(&self) -> LogId {
        self.entries
            .last()
            .map_or(LogId::ZERO, |entry| entry.log_id)
    }

    /// The entry at `index`.
    pub(crate) fn entry(&self, index: LogIndex) -> Option<&Entry> {
        self.entries.get(position(index)?)
    }

    /// Whether this log holds exactly this entry; all hold the one before the first.
    pub(crate) fn contains(&self, id: LogId) -> bool {
        id == LogId::ZERO || self.entry(id.index).is_some_and(|entry| entry.log_id == id)
    }

    /// The digest of everything up to `index`; nothing if the log does not reach there.
    pub(crate) fn digest_at(&self, index: LogIndex) -> Option<u64> {
        match position(index) {
            None => Some(0),
            Some(place) => self.digests.get(place).copied(),
        }
    }

    /// The digest of the whole log.
    pub(crate) fn digest(&self) -> u64 {
        self.digests.last().copied().unwrap_or(0)
    }

    /// The last entry that cannot be read any more.
    pub(crate) const fn purged(&self) -> LogId {
        self.purged
    }

    fn readable(&self) -> &[Entry] {
        let start = usize::try_from(self.purged.index.get()).unwrap_or(usize::MAX);
        &self.entries[start.min(self.entries.len())..]
    }

    /// The entries above `index`.
    pub(crate) fn after(&self, index: LogIndex) -> &[Entry] {
        let start = usize::try_from(index.get()).unwrap_or(usize::MAX);
        &self.entries[start.min(self.entries.len())..]
    }

    /// Identity and kind of every entry.
    pub(crate) fn metas(&self) -> Vec<EntryMeta> {
        self.readable().iter().map(EntryMeta::from).collect()
    }

    /// The memberships that can be read.
    pub(crate) fn memberships(&self) -> Vec<(LogIndex, Arc<Membership>)> {
        let readable = |(index, _): &&(LogIndex, _)| *index > self.purged.index;
        self.memberships.iter().filter(readable).cloned().collect()
    }

    /// The positions of all memberships, readable or not.
    pub(crate) fn membership_positions(&self) -> impl Iterator<Item = LogIndex> + '_ {
        self.memberships.iter().map(|(index, _)| *index)
    }

    /// The term of the latest membership up to `index`, and whether it is joint.
    pub(crate) fn membership_before(&self, index: LogIndex) -> Option<(Term, bool)> {
        let in_force = self.memberships.partition_point(|(i, _)| *i <= index);
        let (index, membership) = self.memberships[..in_force].last()?;
        Some((self.entry(*index)?.term(), membership.is_joint()))
    }

    /// The membership that the log says is in force at `index`, if it says so.
    pub(crate) fn membership_at(&self, index: LogIndex) -> Option<&Arc<Membership>> {
        let in_force = self.memberships.partition_point(|(i, _)| *i <= index);
        self.memberships[..in_force]
            .last()
            .map(|(_, membership)| membership)
    }

    /// Forgets what lies up to `up_to`, as far as reading goes.
    pub(crate) fn purge(&mut self, up_to: LogId) {
        self.purged = self.purged.max(up_to);
    }

    /// Starts anew after the last entry of `snapshot`.
    pub(crate) fn reset(&mut self, snapshot: &Self) {
        *self = snapshot.clone();
        self.purged = self.last();
    }

    /// This log up to `index`.
    pub(crate) fn prefix(&self, index: LogIndex) -> Self {
        let length = usize::try_from(index.get()).unwrap_or(usize::MAX);
        let length = length.min(self.entries.len());
        Self {
            entries: self.entries[..length].to_vec(),
            digests: self.digests[..length].to_vec(),
            memberships: self
                .memberships
                .iter()
                .filter(|(position, _)| *position <= index)
                .cloned()
                .collect(),
            purged: LogId::ZERO,
        }
    }

    /// Cuts the log at `truncate_from`, then appends `entries`.
    pub(crate) fn write(
        &mut self,
        truncate_from: Option<LogIndex>,
        entries: &LogSlice,
    ) -> Result<(), Violation> {
        if let Some(place) = truncate_from.and_then(position) {
            if place >= self.entries.len() {
                let (from, last) = (truncate_from.unwrap_or_default(), self.last());
                let reason =
                    format!("what begins at {from} is to be cut, behind the end at {last}");
                return Err(Violation::new("persist in order", reason));
            }
            self.entries.truncate(place);
            self.digests.truncate(place);
            let last = self.last().index;
            self.memberships.retain(|(index, _)| *index <= last);
        }
        for entry in entries.entries() {
            let last = self.last();
            if entry.index() != last.index.next() || entry.term() < last.term {
                let reason = format!("{} is to be written after {last}", entry.log_id);
                return Err(Violation::new("persist in order", reason));
            }
            if let Payload::Membership(membership) = &entry.payload {
                let membership = Arc::new(membership.as_ref().clone());
                self.memberships.push((entry.index(), membership));
            }
            self.digests.push(digest_after(self.digest(), entry));
            self.entries.push(entry.clone());
        }
        Ok(())
    }

    /// The entries from `first` to `last`, until `max_bytes` are exceeded.
    pub(crate) fn read(&self, first: LogIndex, last: LogIndex, max_bytes: usize) -> LogSlice {
        let (Some(from), Some(to)) = (position(first), position(last)) else {
            return LogSlice::empty();
        };
        if first <= self.purged.index {
            return LogSlice::empty();
        }
        let mut bytes = 0;
        let mut entries = Vec::new();
        for entry in self.entries.iter().take(to + 1).skip(from) {
            bytes += entry.size();
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        LogSlice::new(entries).expect("the image is a run")
    }
}

fn position(index: LogIndex) -> Option<usize> {
    let before = index.previous()?;
    usize::try_from(before.get()).ok()
}

/// The digest of a log that ends in `entry`, from the digest before it.
pub(crate) fn digest_after(before: u64, entry: &Entry) -> u64 {
    let place = mix(mix(before, entry.term().get()), entry.index().get());
    match &entry.payload {
        Payload::Blank => mix(place, 1),
        Payload::Command { request, data } => {
            let request = mix(mix(mix(place, 2), request.boot), request.sequence);
            mix_bytes(request, data)
        }
        Payload::Membership(membership) => {
            mix_bytes(mix(place, 3), format!("{membership:?}").as_bytes())
        }
    }
}

/// Folds one number into a digest.
pub(crate) const fn mix(digest: u64, number: u64) -> u64 {
    let mixed = (digest.rotate_left(23) ^ number).wrapping_mul(0x9fb2_1c65_1e98_df25);
    mixed ^ (mixed >> 29)
}

fn mix_bytes(digest: u64, bytes: &[u8]) -> u64 {
    bytes
        .chunks(8)
        .fold(mix(digest, bytes.len() as u64), |digest, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            mix(digest, u64::from_le_bytes(word))
        })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::types::RequestId;

    /// A log of commands with these terms; the payload tells `flavour`s apart.
    pub(crate) fn image(terms: &[u64], flavour: u64) -> LogImage {
        let entries = terms
            .iter()
            .zip(1..)
            .map(|(&term, index)| {
                let request = RequestId {
                    boot: flavour,
                    sequence: index,
                };
                Entry::command(LogId::new(term, index), request, Default::default())
            })
            .collect();
        let mut image = LogImage::default();
        image.write(None, &LogSlice::new(entries).unwrap()).unwrap();
        image
    }

    #[test]
    fn digests_tell_payloads_apart() {
        assert_eq!(image(&[1, 1], 5).digest(), image(&[1, 1], 5).digest());
        assert_ne!(image(&[1, 1], 5).digest(), image(&[1, 1], 6).digest());
    }

    #[test]
    fn a_digest_covers_everything_before_it() {
        let (short, long) = (image(&[1, 2], 5), image(&[1, 2, 2], 5));
        assert_eq!(long.digest_at(LogIndex::new(2)), Some(short.digest()));
        assert_eq!(short.digest_at(LogIndex::new(3)), None);
    }

    #[test]
    fn a_cut_takes_memberships_back() {
        let mut log = image(&[1], 5);
        let change = |index, size| Entry {
            log_id: LogId::new(1, index),
            payload: Payload::Membership(Box::new(Membership::of_ids(1..=size))),
        };
        let changes = LogSlice::new(vec![change(2, 3), change(3, 4)]).unwrap();
        log.write(None, &changes).unwrap();
        let voters = |log: &LogImage, at| {
            let membership = log.membership_at(LogIndex::new(at));
            membership.map(|membership| membership.voters().len())
        };
        assert_eq!(
            [1, 2, 3].map(|at| voters(&log, at)),
            [None, Some(3), Some(4)]
        );
        log.write(Some(LogIndex::new(3)), &LogSlice::empty())
            .unwrap();
        assert_eq!(voters(&log, 9), Some(3));
        assert_eq!(voters(&log.prefix(LogIndex::new(1)), 9), None);
    }

    #[test]
    fn a_gap_is_refused() {
        let mut log = image(&[1], 5);
        let gap = LogSlice::new(vec![Entry::blank(LogId::new(1, 3))]).unwrap();
        assert!(log.write(None, &gap).is_err());
    }

    #[test]
    fn a_cut_forgets_the_entry_it_names_and_what_follows() {
        let mut log = image(&[1, 1, 1], 5);
        log.write(Some(LogIndex::new(2)), &LogSlice::empty())
            .unwrap();
        assert_eq!(log.last(), LogId::new(1, 1));
    }
}
