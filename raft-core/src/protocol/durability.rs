//! What waits for which persist token.
//!
//! A message that claims something durable stays here until the claim is true
//! (Raft §5, "before responding to RPCs"). Completions carry tokens, not
//! positions: the late completion of a write that was truncated meanwhile
//! proves nothing about the entry that took its place.

use std::collections::VecDeque;

use crate::hard_state::HardState;
use crate::message::{AppendResult, Envelope, Message};
use crate::protocol::output::PersistToken;
use crate::time::Timestamp;
use crate::types::LogIndex;

/// Most messages held back. A disk that hangs would else let them pile up for as
/// long; a message that is dropped is one lost on the way, which Raft repairs.
const MAX_HELD_BACK: usize = 4096;

/// Persist requests under way and the messages behind them.
#[derive(Clone, Debug)]
pub(super) struct Durability {
    last_token: PersistToken,
    /// The last request that changes term or vote, while it is not done.
    unsaved_hard_state: Option<PersistToken>,
    under_way: VecDeque<UnderWay>,
    durable: HardState,
    held_back: VecDeque<(PersistToken, Envelope)>,
    /// Payload in the messages held back.
    held_bytes: usize,
}

#[derive(Clone, Debug)]
struct UnderWay {
    token: PersistToken,
    hard_state: Option<HardState>,
    /// The last index durable once this is, unless truncated meanwhile.
    last_index: LogIndex,
    /// When it was asked for.
    at: Timestamp,
}

/// What a completion made true.
#[derive(Clone, Debug)]
pub(super) struct Completed {
    /// The log is durable up to here.
    pub(super) durable_index: LogIndex,
    /// Messages that may go now.
    pub(super) released: Vec<Envelope>,
}

impl Durability {
    pub(super) const fn new(durable: HardState) -> Self {
        Self {
            last_token: PersistToken(0),
            unsaved_hard_state: None,
            under_way: VecDeque::new(),
            durable,
            held_back: VecDeque::new(),
            held_bytes: 0,
        }
    }

    /// The log was cut or replaced: what lies above `kept_up_to` is new from now on.
    pub(super) fn cut(&mut self, kept_up_to: LogIndex) {
        for request in &mut self.under_way {
            request.last_index = request.last_index.min(kept_up_to);
        }
    }

    /// Notes a request; afterwards the log ends at `last_index`.
    pub(super) fn begin(
        &mut self,
        at: Timestamp,
        hard_state: Option<HardState>,
        last_index: LogIndex,
    ) -> PersistToken {
        self.last_token = PersistToken(self.last_token.0 + 1);
        let token = self.last_token;
        if hard_state.is_some() {
            self.unsaved_hard_state = Some(token);
        }
        self.under_way.push_back(UnderWay {
            token,
            hard_state,
            last_index,
            at,
        });
        token
    }

    /// The request `token` and all before it are durable. Nothing for a token
    /// that was never given out or is done already.
    pub(super) fn complete(&mut self, token: PersistToken) -> Option<Completed> {
        if token > self.last_token {
            return None;
        }
        self.unsaved_hard_state.take_if(|waits| *waits <= token);
        let mut durable_index = None;
        while self
            .under_way
            .front()
            .is_some_and(|request| request.token <= token)
        {
            let request = self.under_way.pop_front().expect("front was just seen");
            durable_index = durable_index.max(Some(request.last_index));
            self.durable = request.hard_state.unwrap_or(self.durable);
        }
        let mut released = Vec::new();
        while self
            .held_back
            .front()
            .is_some_and(|(waits_for, _)| *waits_for <= token)
        {
            if let Some((_, envelope)) = self.held_back.pop_front() {
                self.held_bytes -= envelope.message.payload_bytes();
                released.push(envelope);
            }
        }
        Some(Completed {
            durable_index: durable_index?,
            released,
        })
    }

    /// What a message that claims our term and vote has to wait for, if they are not
    /// durable. `staged` says that they changed and their request is yet to begin.
    pub(super) fn awaited(&self, staged: bool) -> Option<PersistToken> {
        if staged {
            return Some(PersistToken(self.last_token.0 + 1));
        }
        self.unsaved_hard_state
    }

    /// Keeps a message until request `token` is done.
    pub(super) fn hold(&mut self, token: PersistToken, envelope: Envelope) {
        if self.held_back.len() < MAX_HELD_BACK {
            self.held_bytes += envelope.message.payload_bytes();
            self.held_back.push_back((token, envelope));
        }
    }

    /// The entry at `index` is found damaged: what waits to call it durable is not sent.
    pub(super) fn drop_claims_from(&mut self, index: LogIndex) {
        self.held_back
            .retain(|(_, envelope)| called_durable(&envelope.message) < index);
    }

    /// Payload in the messages that wait for the disk, in bytes.
    pub(super) const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Since when the oldest unfinished request waits.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.under_way.front().map(|request| request.at)
    }

    /// Term and vote as a crash would leave them.
    pub(super) const fn durable_hard_state(&self) -> HardState {
        self.durable
    }
}

/// Up to where a message says that its sender's log is durable; zero if it does not say.
/// None of them has a payload.
const fn called_durable(message: &Message) -> LogIndex {
    match message {
        Message::AppendReply(reply) => match reply.result {
            AppendResult::Accepted { durable, .. } => durable.index,
            AppendResult::Rejected { .. } => LogIndex::ZERO,
        },
        Message::HeartbeatReply(reply) => reply.durable.index,
        _ => LogIndex::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{AppendReply, Commit};
    use crate::types::{GroupId, LogId, ReplicaId, Term};

    const fn at(index: u64) -> LogIndex {
        LogIndex::new(index)
    }

    #[test]
    fn completion_of_a_write_that_was_truncated_meanwhile_does_not_cover_its_successor() {
        let mut durability = Durability::new(HardState::default());
        let first = durability.begin(Timestamp::ZERO, None, at(10));
        durability.cut(at(9));
        let second = durability.begin(Timestamp::ZERO, None, at(10));

        assert_eq!(durability.complete(first).unwrap().durable_index, at(9));
        assert_eq!(durability.complete(second).unwrap().durable_index, at(10));
    }

    #[test]
    fn a_completion_covers_all_requests_before_it() {
        let mut durability = Durability::new(HardState::default());
        durability.begin(Timestamp::ZERO, None, at(3));
        let last = durability.begin(Timestamp::ZERO, None, at(5));

        assert_eq!(durability.complete(last).unwrap().durable_index, at(5));
        assert!(durability.complete(last).is_none());
    }

    #[test]
    fn a_token_never_given_out_completes_nothing() {
        let mut durability = Durability::new(HardState::default());
        durability.begin(Timestamp::ZERO, None, at(3));

        assert!(durability.complete(PersistToken(9)).is_none());
    }

    #[test]
    fn what_waits_to_call_a_damaged_entry_durable_is_not_sent() {
        let mut durability = Durability::new(HardState::default());
        let token = durability.begin(Timestamp::ZERO, Some(HardState::default()), at(0));
        for index in [2, 3, 4] {
            let id = LogId::new(1, index);
            let result = AppendResult::Accepted {
                received: id,
                durable: id,
            };
            let message = Message::AppendReply(AppendReply { session: 1, result });
            durability.hold(token, envelope(message));
        }

        durability.drop_claims_from(at(3));

        let released = durability.complete(token).unwrap().released;
        let durable: Vec<_> = released
            .iter()
            .map(|e| called_durable(&e.message))
            .collect();
        assert_eq!(durable, [at(2)]);
    }

    fn envelope(message: Message) -> Envelope {
        Envelope {
            group: GroupId::default(),
            from: ReplicaId::first(1),
            to: ReplicaId::first(2),
            term: Term::default(),
            message,
        }
    }

    #[test]
    fn a_disk_that_hangs_does_not_let_messages_pile_up() {
        let mut durability = Durability::new(HardState::default());
        durability.begin(Timestamp::ZERO, Some(HardState::default()), at(0));
        let envelope = envelope(Message::Commit(Commit { commit: at(0) }));

        for _ in 0..2 * MAX_HELD_BACK {
            let token = durability.awaited(false).unwrap();
            durability.hold(token, envelope.clone());
        }

        assert_eq!(durability.held_back.len(), MAX_HELD_BACK);
    }
}
