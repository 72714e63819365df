//! What all replicas of a user's state machine must agree on: the entries, the
//! answer to each, and the state after each that anybody looked at.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use super::super::checker::Check;
use super::super::report::Violation;
use super::replica::DETERMINISTIC;
use crate::entry::{Entry, LogSlice, Payload};
use crate::membership::Membership;
use crate::state_machine::AppliedState;
use crate::types::{LogId, LogIndex, NodeId};

/// Bytes shown on both sides of the first difference.
const EXCERPT: usize = 24;

/// Who answered, or held a state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Who {
    Node(NodeId),
    /// A replica that applies the log from its beginning and never crashes.
    Twin,
    /// Another of the kind.
    OtherTwin,
    /// A place that a snapshot of this node is restored in, to look at it.
    CopyOf(NodeId),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(id) => write!(f, "{id}"),
            Self::Twin => f.write_str("a replica that never crashed"),
            Self::OtherTwin => f.write_str("another one"),
            Self::CopyOf(id) => write!(f, "a copy of {id}"),
        }
    }
}

/// The committed entries of a run, and who said what about them first.
#[derive(Debug, Default)]
pub(super) struct History {
    entries: Vec<Entry>,
    memberships: Vec<(LogIndex, Membership)>,
    /// With the duty that it breaks if it is wrong.
    answers: BTreeMap<LogIndex, (Who, Bytes, &'static str)>,
    states: BTreeMap<LogIndex, (Who, Vec<u8>)>,
}

impl History {
    /// Takes in what is committed; `translate` makes the user's commands of ours.
    pub(super) fn learn(&mut self, entries: &LogSlice, translate: impl Fn(&[u8]) -> Bytes) {
        for entry in entries.entries() {
            if entry.index() != self.last().next() {
                continue;
            }
            let mut entry = entry.clone();
            match &mut entry.payload {
                Payload::Blank => {}
                Payload::Command { data, .. } => *data = translate(data),
                Payload::Membership(membership) => {
                    let known = (entry.log_id.index, membership.as_ref().clone());
                    self.memberships.push(known);
                }
            }
            self.entries.push(entry);
        }
    }

    /// The same entries, about which nobody has said anything.
    pub(super) fn untold(&self) -> Self {
        Self {
            entries: self.entries.clone(),
            memberships: self.memberships.clone(),
            ..Self::default()
        }
    }

    /// The last entry that anybody applied.
    pub(super) fn last(&self) -> LogIndex {
        self.entries.last().map(Entry::index).unwrap_or_default()
    }

    /// The entries behind `after` up to `last`.
    pub(super) fn slice(&self, after: LogIndex, last: LogIndex) -> LogSlice {
        let place = |index: LogIndex| usize::try_from(index.get()).expect("a run is short");
        let entries = self.entries[place(after)..place(last)].to_vec();
        LogSlice::new(entries).expect("it was learnt in order")
    }

    /// Where a state machine stands that applied up to `index`. Without a membership
    /// if no entry brought one: a snapshot may have, and may not.
    pub(super) fn standing(&self, index: LogIndex) -> AppliedState {
        let before = index.previous().map(LogIndex::get).unwrap_or_default();
        let entry = usize::try_from(before)
            .ok()
            .filter(|_| index > LogIndex::ZERO)
            .and_then(|place| self.entries.get(place));
        let brought = self.memberships.iter().rev().find(|(at, _)| *at <= index);
        AppliedState {
            last_applied: entry.map_or(LogId::ZERO, |entry| entry.log_id),
            membership: brought.map(|(_, membership)| membership.clone()),
        }
    }

    /// `who` answered the entry at `index` so: everybody does.
    pub(super) fn answered(
        &mut self,
        index: LogIndex,
        who: Who,
        answer: Bytes,
        duty: &'static str,
    ) -> Check {
        let answers = self.answers.entry(index);
        let (first, known, firsts_duty) = answers.or_insert((who, answer.clone(), duty));
        if *known == answer {
            return Ok(());
        }
        // Whichever is wrong: one that was given right after a restart is to blame.
        let duty = match duty == DETERMINISTIC {
            true => *firsts_duty,
            false => duty,
        };
        let reason = format!(
            "the answer to the entry at {index}: {}",
            difference((*first, known), (who, &answer))
        );
        Err(Violation::new(duty, reason))
    }

    /// Whether anybody's state at `index` is known.
    pub(super) fn knows_state(&self, index: LogIndex) -> bool {
        self.states.contains_key(&index)
    }

    /// `who` holds this after `index`: everybody does.
    pub(super) fn holds(
        &mut self,
        index: LogIndex,
        who: Who,
        state: Vec<u8>,
        duty: &'static str,
    ) -> Check {
        let Some((first, known)) = self.states.get(&index) else {
            self.states.insert(index, (who, state));
            return Ok(());
        };
        if *known == state {
            return Ok(());
        }
        let reason = format!(
            "the state at {index}: {}",
            difference((*first, known), (who, &state))
        );
        Err(Violation::new(duty, reason))
    }
}

/// Two replicas and where what they hold parts.
fn difference((one, held): (Who, &[u8]), (other, found): (Who, &[u8])) -> String {
    let pairs = held.iter().zip(found);
    let at = pairs.take_while(|(one, other)| one == other).count();
    let excerpt = |bytes: &[u8]| {
        let start = at.saturating_sub(EXCERPT / 2);
        let end = (at + EXCERPT / 2).min(bytes.len());
        bytes[start.min(end)..end].escape_ascii().to_string()
    };
    let one_more = if one == other { " before" } else { "" };
    format!(
        "{one} has \"{}\"{one_more}, {other} has \"{}\"; they part at byte {at} of {} and {}",
        excerpt(held),
        excerpt(found),
        held.len(),
        found.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_both_and_the_place() {
        let mut history = History::default();
        let (index, id) = (LogIndex::new(5), NodeId::new);
        let mut held = |node: Who, state: &[u8]| history.holds(index, node, state.into(), "duty 1");
        held(Who::Node(id(1)), b"abcdef").unwrap();
        held(Who::Node(id(2)), b"abcdef").unwrap();

        let violation = held(Who::Node(id(3)), b"abcxef").unwrap_err();

        let n = |number| NodeId::new(number).to_string();
        let expected = format!(
            "the state at i5: {} has \"abcdef\", {} has \"abcxef\"; they part at byte 3 of 6 and 6",
            n(1),
            n(3)
        );
        assert_eq!(violation.reason, expected);
    }
}
