//! P10: no message claims more than its sender's durable state (Raft §5, "before
//! responding to RPCs").
//!
//! A message about an earlier term may have waited for the disk while its
//! sender moved on and cut its log; what it claims must have been durable once.

use std::collections::BTreeSet;

use super::Check;
use crate::hard_state::HardState;
use crate::message::{Absence, AppendResult, Envelope, Message};
use crate::testing::sim::image::LogImage;
use crate::testing::sim::report::Violation;
use crate::types::{LogId, ReplicaId};

/// What a sender's disk holds when a message leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DurableState<'disk> {
    /// Term and vote.
    pub(crate) hard_state: HardState,
    /// The log.
    pub(crate) log: &'disk LogImage,
    /// What the state machine durably holds; a snapshot is durable before the log follows.
    pub(crate) state: LogId,
    /// Every entry that ever was durable there.
    pub(crate) ever: &'disk BTreeSet<LogId>,
}

/// `envelope` leaves a sender that has `durable` on disk.
pub(crate) fn sends(envelope: &Envelope, durable: DurableState<'_>) -> Check {
    let claim = match &envelope.message {
        _ if envelope.term > durable.hard_state.current_term => Some(format!(
            "its term {}, durable is {}",
            envelope.term, durable.hard_state.current_term
        )),
        Message::RequestVoteReply(reply) if reply.granted => {
            vote_claim(envelope, durable, envelope.to)
        }
        Message::RequestVote(_) => vote_claim(envelope, durable, envelope.from),
        Message::AppendReply(reply) => match reply.result {
            AppendResult::Accepted { durable: id, .. } => entry_claim(envelope, durable, id),
            AppendResult::Rejected { .. } => None,
        },
        Message::HeartbeatReply(reply) => entry_claim(envelope, durable, reply.durable),
        Message::EntryAbsent(answer) if answer.absence == Absence::NotHeld => {
            absence_claim(envelope, durable, answer.log_id)
        }
        _ => None,
    };
    match claim {
        None => Ok(()),
        Some(claim) => {
            let (name, from) = (envelope.message.name(), envelope.from);
            let reason = format!("{name} of {from} to {} claims {claim}", envelope.to);
            Err(Violation::new("P10 durable before ack", reason))
        }
    }
}

/// What is wrong with a vote for `candidate` in the envelope's term, if anything.
fn vote_claim(
    envelope: &Envelope,
    durable: DurableState<'_>,
    candidate: ReplicaId,
) -> Option<String> {
    let has_moved_on = durable.hard_state.current_term > envelope.term;
    let holds = has_moved_on || durable.hard_state.voted_for == Some(candidate);
    (!holds).then(|| {
        format!(
            "a vote for {candidate} in {}, durable is {:?}",
            envelope.term, durable.hard_state
        )
    })
}

/// What is wrong with calling `id` durable, if anything.
fn entry_claim(envelope: &Envelope, durable: DurableState<'_>, id: LogId) -> Option<String> {
    let has_moved_on = durable.hard_state.current_term > envelope.term;
    let is_in_state = id.index < durable.state.index || id == durable.state;
    let holds =
        is_in_state || durable.log.contains(id) || (has_moved_on && durable.ever.contains(&id));
    (!holds).then(|| format!("{id} durable, the disk ends at {}", durable.log.last()))
}

/// What is wrong with saying that `id` is not on disk, if anything.
fn absence_claim(envelope: &Envelope, durable: DurableState<'_>, id: LogId) -> Option<String> {
    let has_moved_on = durable.hard_state.current_term > envelope.term;
    let holds = !has_moved_on && durable.log.contains(id);
    holds.then(|| format!("not to hold {id}, the disk does"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{AppendReply, EntryAbsent, RequestVote, RequestVoteReply};
    use crate::testing::sim::image::tests::image;
    use crate::types::{GroupId, Term};

    fn message(term: u64, message: Message) -> Envelope {
        Envelope {
            group: GroupId::new(0),
            from: ReplicaId::first(1),
            to: ReplicaId::first(2),
            term: Term::new(term),
            message,
        }
    }

    fn accepted(id: LogId) -> Message {
        let result = AppendResult::Accepted {
            received: id,
            durable: id,
        };
        Message::AppendReply(AppendReply { session: 1, result })
    }

    fn granted(term: u64) -> Message {
        Message::RequestVoteReply(RequestVoteReply {
            vote_term: Term::new(term),
            granted: true,
        })
    }

    /// Sends from a disk with this term, vote and log.
    fn from_disk(envelope: &Envelope, term: u64, vote: Option<u64>, terms: &[u64]) -> Check {
        let durable = DurableState {
            hard_state: HardState {
                current_term: Term::new(term),
                voted_for: vote.map(ReplicaId::first),
            },
            log: &image(terms, 5),
            state: LogId::ZERO,
            ever: &BTreeSet::from([LogId::new(2, 9)]),
        };
        sends(envelope, durable)
    }

    #[test]
    fn a_term_ahead_of_the_disk_is_caught() {
        let envelope = message(3, accepted(LogId::ZERO));
        assert!(from_disk(&envelope, 2, None, &[]).is_err());
        from_disk(&envelope, 3, None, &[]).unwrap();
    }

    #[test]
    fn a_vote_that_is_not_on_disk_is_caught() {
        assert!(from_disk(&message(3, granted(3)), 3, None, &[]).is_err());
        assert!(from_disk(&message(3, granted(3)), 3, Some(7), &[]).is_err());
        from_disk(&message(3, granted(3)), 3, Some(2), &[]).unwrap();
    }

    #[test]
    fn a_campaign_before_the_own_vote_is_on_disk_is_caught() {
        let campaign = message(
            3,
            Message::RequestVote(RequestVote {
                last_log: LogId::ZERO,
                leadership_transfer: false,
            }),
        );
        assert!(from_disk(&campaign, 3, None, &[]).is_err());
        from_disk(&campaign, 3, Some(1), &[]).unwrap();
    }

    #[test]
    fn an_entry_that_is_not_on_disk_is_caught() {
        let envelope = message(3, accepted(LogId::new(3, 2)));
        assert!(from_disk(&envelope, 3, None, &[1]).is_err());
        assert!(from_disk(&envelope, 3, None, &[1, 2]).is_err());
        from_disk(&envelope, 3, None, &[1, 3]).unwrap();
    }

    #[test]
    fn an_entry_that_is_on_disk_and_called_absent_is_caught() {
        let absence = Absence::NotHeld;
        let log_id = LogId::new(2, 2);
        let envelope = message(3, Message::EntryAbsent(EntryAbsent { log_id, absence }));
        assert!(from_disk(&envelope, 3, None, &[1, 2]).is_err());
        from_disk(&envelope, 3, None, &[1, 1]).unwrap();
        from_disk(&envelope, 4, None, &[1, 2]).unwrap();
    }

    #[test]
    fn an_answer_to_an_earlier_term_may_name_what_was_cut_since() {
        let envelope = message(3, accepted(LogId::new(2, 9)));
        from_disk(&envelope, 4, None, &[1]).unwrap();
        assert!(from_disk(&envelope, 3, None, &[1]).is_err());
    }
}
