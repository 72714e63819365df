//! P12, the other side of it: an answer is to something that the leader of its term asked
//! of its sender. It names the session, and for a heartbeat the round; sessions and rounds
//! count anew in each leadership, so that the same numbers in another term say nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::Check;
use crate::message::{Envelope, Message};
use crate::testing::sim::report::Violation;
use crate::types::{ReplicaId, Term};

/// What leaders asked of whom.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    asked: BTreeMap<(ReplicaId, ReplicaId, Term), Asked>,
}

/// What one leadership asked of one follower.
#[derive(Debug, Default)]
struct Asked {
    sessions: BTreeSet<u64>,
    /// The latest round.
    round: u64,
}

impl Answers {
    /// A message leaves.
    pub(crate) fn sends(&mut self, envelope: &Envelope) -> Check {
        let (from, to, term) = (envelope.from, envelope.to, envelope.term);
        match &envelope.message {
            Message::AppendEntries(body) => {
                let asked = self.asked.entry((from, to, term)).or_default();
                asked.sessions.insert(body.session);
            }
            Message::Heartbeat(body) => {
                let asked = self.asked.entry((from, to, term)).or_default();
                asked.sessions.insert(body.session);
                asked.round = asked.round.max(body.round);
            }
            Message::AppendReply(body) => return self.answers(envelope, body.session, 0),
            Message::HeartbeatReply(body) => {
                return self.answers(envelope, body.session, body.round);
            }
            _ => {}
        }
        Ok(())
    }

    /// An answer names this session and this round; no session names nothing.
    fn answers(&self, envelope: &Envelope, session: u64, round: u64) -> Check {
        let (from, leader, term) = (envelope.from, envelope.to, envelope.term);
        let asked = self.asked.get(&(leader, from, term));
        let is_to_it =
            asked.is_some_and(|asked| asked.sessions.contains(&session) && round <= asked.round);
        match session == 0 || is_to_it {
            true => Ok(()),
            false => {
                let name = envelope.message.name();
                let reason = format!(
                    "{name} of {from} in {term} names session {session} and round {round}, which {leader} never asked it in that term"
                );
                Err(Violation::new("P12 replication bookkeeping", reason))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{AppendReply, AppendResult, Heartbeat, HeartbeatReply};
    use crate::types::{GroupId, LogId, LogIndex};

    fn envelope(from: u64, to: u64, term: u64, message: Message) -> Envelope {
        Envelope {
            group: GroupId::default(),
            from: ReplicaId::first(from),
            to: ReplicaId::first(to),
            term: Term::new(term),
            message,
        }
    }

    /// Node 1 began round 5 in term 3, in session 2 of node 2.
    fn asked() -> Answers {
        let mut answers = Answers::default();
        let heartbeat = Heartbeat {
            session: 2,
            round: 5,
            commit: LogIndex::ZERO,
        };
        let message = Message::Heartbeat(heartbeat);
        answers.sends(&envelope(1, 2, 3, message)).unwrap();
        answers
    }

    fn reply(term: u64, session: u64, round: u64) -> Check {
        let reply = HeartbeatReply {
            session,
            round,
            received: LogId::ZERO,
            durable: LogId::ZERO,
            promise: std::time::Duration::ZERO,
        };
        let message = Message::HeartbeatReply(reply);
        asked().sends(&envelope(2, 1, term, message))
    }

    #[test]
    fn an_answer_in_a_later_term_is_caught_unless_it_names_no_session() {
        reply(3, 2, 5).unwrap();
        assert!(reply(4, 2, 5).is_err());
        reply(4, 0, 0).unwrap();
    }

    #[test]
    fn an_answer_to_another_session_or_a_round_to_come_is_caught() {
        assert!(reply(3, 1, 5).is_err());
        assert!(reply(3, 2, 6).is_err());
        reply(3, 2, 4).unwrap();
    }

    #[test]
    fn an_append_is_answered_like_a_heartbeat() {
        let answer = |session| {
            let result = AppendResult::Rejected {
                previous: LogIndex::ZERO,
                hint: LogId::ZERO,
            };
            let message = Message::AppendReply(AppendReply { session, result });
            asked().sends(&envelope(2, 1, 3, message))
        };
        answer(2).unwrap();
        assert!(answer(7).is_err());
    }
}
