//! Steps of a real replica, tampered with.

use std::time::Duration;

use super::*;
use crate::config::Config;
use crate::message::{Message, RequestVote};
use crate::protocol::{Input, Output, PersistToken, Raft, Restored};
use crate::time::Timestamp;
use crate::types::LogId;

/// A follower that is asked for its vote in term 1, and the specification beside it.
struct Asked {
    refinement: Refinement,
    raft: Raft,
    outputs: Vec<Output>,
    cause: Cause,
    now: Timestamp,
}

fn asked() -> Asked {
    let founders = Arc::new(Membership::of_ids(1..=3));
    let mut refinement = Refinement::of(Arc::clone(&founders));
    let (voter, candidate) = (ReplicaId::first(2), ReplicaId::first(1));
    for id in [voter, candidate] {
        let founders = Arc::clone(&founders);
        refinement.happens(id, Action::Join { founders }).unwrap();
        let now = Timestamp::ZERO;
        refinement.happens(id, Action::Start { now }).unwrap();
    }
    let config = Config::new(voter, 2);
    let now = Timestamp::ZERO + config.election_timeout_min;
    let restored = Restored::new_group(founders.as_ref().clone());
    let mut raft = Raft::restore(config, restored, Timestamp::ZERO).unwrap();
    campaigns(&mut refinement, candidate, voter);
    let input = request(1, false);
    let cause = Cause::of(&input);
    raft.handle(now, input);
    let outputs = std::iter::from_fn(|| raft.poll_output()).collect();
    Asked {
        refinement,
        raft,
        outputs,
        cause,
        now,
    }
}

/// The candidate asks the voter.
fn request(term: u64, leadership_transfer: bool) -> Input {
    Input::Message(Envelope {
        group: Default::default(),
        from: ReplicaId::first(1),
        to: ReplicaId::first(2),
        term: Term::new(term),
        message: Message::RequestVote(RequestVote {
            last_log: LogId::ZERO,
            leadership_transfer,
        }),
    })
}

/// The candidate asks in term 1, with the word of `friend`.
fn campaigns(refinement: &mut Refinement, candidate: ReplicaId, friend: ReplicaId) {
    use super::super::spec::{Ballot, Fact};
    let term = Term::new(1);
    let say = |term, fact| Action::Say { term, fact };
    let would = Fact::WouldVote { term, candidate };
    let write = Write {
        token: 1,
        ballot: Some(Ballot {
            term,
            vote: Some(candidate),
        }),
        ..Write::default()
    };
    let last_log = LogId::ZERO;
    let asked = Action::WouldVote {
        candidate,
        term,
        last_log,
        now: Timestamp::ZERO,
    };
    refinement.happens(friend, asked).unwrap();
    refinement
        .happens(friend, say(Term::default(), would))
        .unwrap();
    for action in [
        Action::PreCampaign,
        Action::Campaign,
        Action::Ask { write },
        Action::Done { writes: 1 },
        say(
            term,
            Fact::Campaigns {
                last_log,
                takes_over: false,
            },
        ),
    ] {
        refinement.happens(candidate, action).unwrap();
    }
}

impl Asked {
    fn explain(&mut self, patience: Duration, now: Timestamp) -> Result<(), String> {
        let step = Step {
            now,
            patience,
            causes: &[self.cause],
            status: &self.raft.status(),
            outputs: &self.outputs,
        };
        let explained = self.refinement.explain(&step);
        explained.map_err(|refused| refused.reason)
    }

    fn patience(&self) -> Duration {
        self.raft.config().election_timeout_min
    }
}

#[test]
fn a_vote_is_explained() {
    let mut asked = asked();
    asked.explain(asked.patience(), asked.now).unwrap();
    assert_eq!(asked.raft.status().term(), Term::new(1));
}

#[test]
fn a_vote_that_no_write_is_asked_for_is_refused() {
    let mut asked = asked();
    asked.outputs.retain(|o| !matches!(o, Output::Persist(_)));
    let reason = asked.explain(asked.patience(), asked.now).unwrap_err();
    assert!(reason.contains("asked its disk for"), "{reason}");
}

#[test]
fn a_vote_while_a_leader_may_be_there_is_refused() {
    let mut asked = asked();
    let early = Timestamp::ZERO;
    let reason = asked.explain(asked.patience(), early).unwrap_err();
    assert!(reason.contains("it heard a leader"), "{reason}");
}

/// Seed 48005 of swarm: both requests of a candidate came in one step.
#[test]
fn who_asks_in_two_terms_may_be_wanted_in_one_of_them() {
    let asked = asked();
    let causes = [(1, false), (2, true)].map(|(term, wanted)| Cause::of(&request(term, wanted)));
    let step = Step {
        now: asked.now,
        patience: asked.patience(),
        causes: &causes,
        status: &asked.raft.status(),
        outputs: &[],
    };
    let candidate = ReplicaId::first(1);
    assert!(step.is_asked_by(candidate, Term::new(1)));
    assert!(!step.is_asked_by(candidate, Term::new(2)));
    assert!(!step.is_asked_by(candidate, Term::new(3)));
}

#[test]
fn a_vote_that_is_said_before_it_is_durable_is_refused() {
    let mut asked = asked();
    asked.explain(asked.patience(), asked.now).unwrap();
    let token = asked.outputs.iter().find_map(|output| match output {
        Output::Persist(persist) => Some(persist.token),
        _ => None,
    });
    let mut before = asked.refinement.clone();
    asked
        .raft
        .handle(asked.now, Input::Persisted(token.unwrap()));
    let reply = std::iter::from_fn(|| asked.raft.poll_output()).find_map(|output| match output {
        Output::Send(envelope) => Some(envelope),
        _ => None,
    });
    let reply = reply.unwrap();
    let reason = before.says(&reply).unwrap_err().reason;
    assert!(reason.contains("its disk holds t0"), "{reason}");
    asked
        .refinement
        .done_up_to(ReplicaId::first(2), token.unwrap().0)
        .unwrap();
    asked.refinement.says(&reply).unwrap();
}

#[test]
fn a_state_that_no_action_leads_to_is_refused() {
    let mut asked = asked();
    asked.explain(asked.patience(), asked.now).unwrap();
    // It times out behind our back.
    let later = asked.now + 20 * asked.patience();
    asked.raft.handle(later, Input::Persisted(PersistToken(1)));
    asked.raft.handle(later, Input::Tick);
    asked.outputs.clear();
    let reason = asked.explain(asked.patience(), asked.now).unwrap_err();
    assert!(reason.contains("the rules have it at"), "{reason}");
}

#[test]
fn a_disk_that_holds_what_nobody_asked_for_is_refused() {
    let mut asked = asked();
    asked.explain(asked.patience(), asked.now).unwrap();
    let strange = HardState {
        current_term: Term::new(7),
        voted_for: None,
    };
    let crashed = asked
        .refinement
        .crashed(ReplicaId::first(2), strange, |_| true);
    assert!(crashed.is_err());
}
