//! A step of a replica: what it was about, and what came of it.

use std::time::Duration;

use crate::message::Message;
use crate::protocol::{self, Input, Output, Persist, Status};
use crate::time::Timestamp;
use crate::types::{ReplicaId, Term};

/// What a step was about, as far as it has to do with what was allowed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cause {
    /// Speaks as the leader of this term.
    pub(super) leader: Option<(ReplicaId, Term)>,
    /// A candidate asks, whom nobody asked to take over.
    plain_candidate: Option<ReplicaId>,
}

/// A step of a replica, and what came of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<'step> {
    pub(crate) now: Timestamp,
    pub(crate) patience: Duration,
    pub(crate) causes: &'step [Cause],
    pub(crate) status: &'step Status,
    pub(crate) outputs: &'step [Output],
}

impl Cause {
    /// What `input` is about.
    pub(crate) fn of(input: &Input) -> Self {
        match input {
            Input::Message(envelope) => {
                let speaks = matches!(
                    envelope.message,
                    Message::AppendEntries(_) | Message::Heartbeat(_)
                );
                Self {
                    leader: speaks.then_some((envelope.from, envelope.term)),
                    plain_candidate: match &envelope.message {
                        Message::RequestVote(body) if !body.leadership_transfer => {
                            Some(envelope.from)
                        }
                        _ => None,
                    },
                }
            }
            Input::SnapshotOffered(offer) => Self {
                leader: Some((offer.from, offer.term)),
                plain_candidate: None,
            },
            _ => Self::default(),
        }
    }
}

impl Step<'_> {
    pub(super) const fn id(&self) -> ReplicaId {
        self.status.replica
    }

    pub(super) fn events(&self) -> impl Iterator<Item = &protocol::Event> {
        self.outputs.iter().filter_map(|output| match output {
            Output::Event(event) => Some(event),
            _ => None,
        })
    }

    pub(super) fn persists(&self) -> impl Iterator<Item = &Persist> {
        self.outputs.iter().filter_map(|output| match output {
            Output::Persist(persist) => Some(persist),
            _ => None,
        })
    }

    /// Whether all that happened is that candidates asked.
    pub(super) fn is_plain_candidacy(&self) -> bool {
        let is_plain = |cause: &Cause| cause.plain_candidate.is_some();
        !self.causes.is_empty() && self.causes.iter().all(is_plain)
    }

    /// Whether `candidate` asked as one that nobody asked to take over.
    pub(super) fn is_asked_by(&self, candidate: ReplicaId) -> bool {
        let mut causes = self.causes.iter();
        causes.any(|cause| cause.plain_candidate == Some(candidate))
    }

    pub(super) fn changes_log_and_role(&self) -> bool {
        let is_turn = |event: &protocol::Event| {
            matches!(
                event,
                protocol::Event::SteppedDown { .. }
                    | protocol::Event::ElectionStarted { .. }
                    | protocol::Event::BecameLeader { .. }
            )
        };
        let ballot = self.persists().any(|persist| persist.hard_state.is_some());
        let changes_log =
            |persist: &Persist| persist.truncate_from.is_some() || !persist.entries.is_empty();
        self.persists().any(changes_log) && (ballot || self.events().any(is_turn))
    }

    /// Whether it took no notice of what came.
    pub(super) fn took_no_notice(&self) -> bool {
        self.outputs.iter().any(|output| {
            matches!(
                output,
                Output::RefuseSnapshot { .. }
                    | Output::Event(protocol::Event::MessageDropped { .. })
            )
        })
    }
}
