//! What replicas and clients do, in the words of the page.

use super::What;
use crate::protocol::{Event, Input, Persist};
use crate::testing::sim::workload::value_of;

/// What kind of happening a replica's own event is.
pub(crate) fn kind_of(event: &Event) -> What {
    match event {
        Event::PreVoteStarted { .. } | Event::ElectionStarted { .. } => What::Election,
        Event::BecameLeader { .. } => What::Leader,
        Event::SteppedDown { .. } => What::StepsDown,
        Event::Truncated { .. } => What::Truncation,
        Event::Purged { .. } => What::Purge,
        Event::SnapshotSending { .. }
        | Event::SnapshotInstalling { .. }
        | Event::SnapshotInstalled { .. } => What::Snapshot,
        Event::EntryDamaged { .. }
        | Event::EntryMended { .. }
        | Event::DamageIsCommitted { .. }
        | Event::DamageIsCut { .. } => What::Damage,
        Event::DiskHealth { .. } => What::Disk,
        Event::MembershipInForce { .. }
        | Event::AwaitsReadmission { .. }
        | Event::LaterLifeHeard { .. } => What::Membership,
        _ => What::Note,
    }
}

/// A write that begins.
pub(crate) fn persist(persist: &Persist) -> String {
    let mut words = format!("begins write {}", persist.token.0);
    if let Some(state) = persist.hard_state {
        let vote = state
            .voted_for
            .map_or("nobody".to_owned(), |v| v.to_string());
        words += &format!(", {} with a vote for {vote}", state.current_term);
    }
    if let Some(reset) = persist.reset {
        words += &format!(", the log anew after {reset}");
    }
    if let Some(cut) = persist.truncate_from {
        words += &format!(", cut from {cut}");
    }
    if let (Some(first), Some(last)) = (persist.entries.first(), persist.entries.last()) {
        words += &format!(", entries {first} to {last}");
    }
    words
}

/// A request of a client or an operator.
pub(crate) fn request(input: &Input) -> String {
    match input {
        Input::Propose(proposals) => {
            let values = proposals
                .iter()
                .map(|p| format!("{}", value_of(&p.command)));
            let (values, first) = (values.collect::<Vec<_>>(), proposals.first());
            let ticket = first.map_or(0, |proposal| proposal.ticket.0);
            format!(
                "is asked to write {} (from request {ticket} on)",
                values.join(", ")
            )
        }
        Input::Read {
            consistency,
            tickets,
        } => {
            let first = tickets.first().map_or(0, |ticket| ticket.0);
            let count = tickets.len();
            format!("is asked for {count} reads, {consistency:?} (from request {first} on)")
        }
        Input::TransferLeadership { to: Some(to), .. } => {
            format!("is asked to hand leadership over to {to}")
        }
        Input::TransferLeadership { to: None, .. } => "is asked to hand leadership over".into(),
        Input::ChangeMembership { change, .. } => format!("is asked for {:?}", change.steps()),
        Input::Checkpoint => "is asked for a checkpoint".into(),
        _ => "is asked for something".into(),
    }
}
