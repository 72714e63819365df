//! What the protocol says and holds, in the words of the specification.

use std::sync::Arc;

use crate::entry::{Entry, Payload};
use crate::hard_state::HardState;
use crate::message::{Absence, AppendResult, Envelope, Message};
use crate::protocol::RoleKind;
use crate::testing::sim::image::digest_after;
use crate::testing::spec::{Ballot, Fact, Item, Role};

/// What `envelope` says.
pub(super) fn fact_of(envelope: &Envelope) -> Fact {
    let to = envelope.to;
    match &envelope.message {
        Message::PreVoteReply(body) if body.granted => Fact::WouldVote {
            term: body.proposed_term,
            candidate: to,
        },
        Message::RequestVote(body) => Fact::Campaigns {
            last_log: body.last_log,
            takes_over: body.leadership_transfer,
        },
        Message::RequestVoteReply(body) if body.granted => Fact::Votes {
            term: body.vote_term,
            candidate: to,
        },
        Message::AppendEntries(body) => Fact::Leads {
            holds: body.entries.last().unwrap_or(body.previous),
            commit: body.commit,
        },
        Message::Heartbeat(body) => Fact::Leads {
            holds: Default::default(),
            commit: body.commit,
        },
        Message::Commit(body) => Fact::Leads {
            holds: Default::default(),
            commit: body.commit,
        },
        Message::TimeoutNow(_) => Fact::HandsOver { successor: to },
        Message::HeartbeatReply(body) => Fact::Holds {
            up_to: body.durable,
        },
        Message::AppendReply(body) => match body.result {
            AppendResult::Accepted { durable, .. } => Fact::Holds { up_to: durable },
            AppendResult::Rejected { .. } => Fact::Term,
        },
        Message::EntryAbsent(body) => match body.absence {
            Absence::Purged { up_to, .. } => Fact::Purged { up_to },
            _ => Fact::Term,
        },
        _ => Fact::Term,
    }
}

pub(super) fn item_of(entry: &Entry) -> Item {
    Item {
        term: entry.term(),
        content: digest_after(0, entry),
        is_blank: matches!(entry.payload, Payload::Blank),
        membership: match &entry.payload {
            Payload::Membership(membership) => Some(Arc::new(membership.as_ref().clone())),
            _ => None,
        },
    }
}

pub(super) const fn ballot_of(hard_state: HardState) -> Ballot {
    Ballot {
        term: hard_state.current_term,
        vote: hard_state.voted_for,
    }
}

pub(super) const fn role_of(role: RoleKind) -> Role {
    match role {
        RoleKind::Follower => Role::Follower,
        RoleKind::PreCandidate => Role::PreCandidate,
        RoleKind::Candidate => Role::Candidate,
        RoleKind::Leader => Role::Leader,
    }
}
