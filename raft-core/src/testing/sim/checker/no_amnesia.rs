//! P14: a replica whose durable state was lost never votes or acknowledges under its
//! old name; its node goes on as another one, or as none.

use std::collections::BTreeSet;

use super::Check;
use crate::message::{AppendResult, Envelope, Message};
use crate::testing::sim::report::Violation;
use crate::types::{LogId, ReplicaId};

/// The replicas that are no more.
#[derive(Debug, Default)]
pub(crate) struct NoAmnesia {
    lost: BTreeSet<ReplicaId>,
}

impl NoAmnesia {
    /// What `replica` had durable is gone, its vote at least.
    pub(crate) fn lost(&mut self, replica: ReplicaId) {
        self.lost.insert(replica);
    }

    /// Somebody sends a message.
    pub(crate) fn sends(&self, envelope: &Envelope) -> Check {
        let from = envelope.from;
        match binds(&envelope.message) && self.lost.contains(&from) {
            true => {
                let name = envelope.message.name();
                let reason = format!("{name} of {from}, whose durable state was lost");
                Err(Violation::new("P14 no amnesiac voter", reason))
            }
            false => Ok(()),
        }
    }
}

/// Whether a quorum may count it.
fn binds(message: &Message) -> bool {
    match message {
        Message::RequestVote(_) => true,
        Message::RequestVoteReply(reply) => reply.granted,
        Message::AppendReply(reply) => matches!(
            reply.result,
            AppendResult::Accepted { durable, .. } if durable > LogId::ZERO
        ),
        Message::HeartbeatReply(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{AppendReply, Commit, RequestVoteReply};
    use crate::types::{GroupId, LogIndex, Term};

    fn says(message: Message) -> Check {
        let mut checker = NoAmnesia::default();
        checker.lost(ReplicaId::first(2));
        let envelope = |from| Envelope {
            group: GroupId::default(),
            from: ReplicaId::first(from),
            to: ReplicaId::first(1),
            term: Term::new(3),
            message: message.clone(),
        };
        checker.sends(&envelope(3)).unwrap();
        checker.sends(&envelope(2))
    }

    #[test]
    fn a_vote_of_who_lost_its_vote_is_caught() {
        let vote = |granted| {
            Message::RequestVoteReply(RequestVoteReply {
                vote_term: Term::new(3),
                granted,
            })
        };
        assert!(says(vote(true)).is_err());
        says(vote(false)).unwrap();
    }

    #[test]
    fn an_acknowledgement_of_who_lost_its_log_is_caught() {
        let accepted = |index| {
            let id = LogId::new(index, index);
            let result = AppendResult::Accepted {
                received: id,
                durable: id,
            };
            Message::AppendReply(AppendReply { session: 1, result })
        };
        assert!(says(accepted(1)).is_err());
        says(accepted(0)).unwrap();
    }

    #[test]
    fn what_nobody_counts_may_be_said() {
        let commit = LogIndex::new(1);
        says(Message::Commit(Commit { commit })).unwrap();
    }
}
