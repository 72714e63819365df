//! A step of a replica: what it was about, and what came of it.

use std::time::Duration;

use crate::message::Message;
use crate::protocol::{self, Input, Output, Persist, Status};
use crate::time::Timestamp;
use crate::types::{LogId, ReplicaId, Term};

/// What a step was about, as far as it has to do with what was allowed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cause {
    /// Who told it, and the term it told.
    told: Option<(ReplicaId, Term)>,
    /// Speaks as the leader of this term.
    pub(super) leader: Option<(ReplicaId, Term)>,
    /// Offers a snapshot.
    is_offer: bool,
    /// Asks whether it would be elected in this term, with such a log.
    pre_vote: Option<(ReplicaId, Term, LogId)>,
    /// A candidate asks.
    candidate: Option<ReplicaId>,
    /// Nobody asked it to take over.
    is_plain: bool,
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
                let told = (envelope.from, envelope.term);
                Self {
                    told: Some(told),
                    leader: speaks.then_some(told),
                    is_offer: false,
                    pre_vote: match &envelope.message {
                        Message::PreVote(body) => {
                            Some((envelope.from, body.proposed_term, body.last_log))
                        }
                        _ => None,
                    },
                    candidate: matches!(envelope.message, Message::RequestVote(_))
                        .then_some(envelope.from),
                    is_plain: matches!(
                        &envelope.message,
                        Message::RequestVote(body) if !body.leadership_transfer
                    ),
                }
            }
            Input::SnapshotOffered(offer) => Self {
                told: Some((offer.from, offer.term)),
                leader: Some((offer.from, offer.term)),
                is_offer: true,
                ..Self::default()
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

    /// Whether nobody but candidates that nobody asked to take over can have told it of
    /// `term`.
    pub(super) fn is_told_by_candidates(&self, term: Term) -> bool {
        let tells = |cause: &&Cause| cause.told.is_some_and(|(_, told)| told >= term);
        let mut tellers = self.causes.iter().filter(tells).peekable();
        tellers.peek().is_some() && tellers.all(|cause| cause.is_plain)
    }

    /// Who asked whether it would be elected, in which term, with which log.
    pub(super) fn pre_votes(&self) -> impl Iterator<Item = (ReplicaId, Term, LogId)> {
        self.causes.iter().filter_map(|cause| cause.pre_vote)
    }

    /// Whether `candidate` asked for a vote in `term` only as one that nobody asked to take
    /// over. It may have asked in other terms, too.
    pub(super) fn is_asked_by(&self, candidate: ReplicaId, term: Term) -> bool {
        let asks = |cause: &&Cause| {
            cause.candidate == Some(candidate) && cause.told == Some((candidate, term))
        };
        let mut requests = self.causes.iter().filter(asks).peekable();
        requests.peek().is_some() && requests.all(|cause| cause.is_plain)
    }

    /// Who asked for a vote in a term that the step went beyond, and whether nobody asked
    /// it to take over.
    pub(super) fn passed_candidates(&self) -> impl Iterator<Item = (ReplicaId, Term, bool)> {
        let reached = self.status.term();
        self.causes.iter().filter_map(move |cause| {
            let (candidate, (_, term)) = (cause.candidate?, cause.told?);
            (term < reached).then_some((candidate, term, cause.is_plain))
        })
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

    /// The leader of `term`, if it spoke and was listened to.
    pub(super) fn heard_leader(&self, term: Term) -> Option<ReplicaId> {
        let mut causes = self
            .causes
            .iter()
            .filter(|cause| !self.took_no_notice_of(cause));
        causes.find_map(|cause| cause.leader.filter(|led| led.1 == term).map(|led| led.0))
    }

    fn took_no_notice_of(&self, cause: &Cause) -> bool {
        self.outputs.iter().any(|output| match output {
            Output::RefuseSnapshot { .. } => cause.is_offer,
            Output::Event(protocol::Event::MessageDropped { from, .. }) => {
                cause.told.is_some_and(|(teller, _)| teller == *from)
            }
            _ => false,
        })
    }
}
