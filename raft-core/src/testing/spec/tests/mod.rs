//! Each rule against somebody who breaks it.

mod elections;
mod replication;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::membership::Membership;
use crate::time::Timestamp;
use crate::types::{LogId, LogIndex, ReplicaId, Term};

const PATIENCE: Duration = Duration::from_millis(100);

/// Three replicas, all of which run and have heard no leader for long.
struct Scene {
    group: Group,
    tokens: u64,
}

fn n(node: u64) -> ReplicaId {
    ReplicaId::first(node)
}

const fn at(index: u64) -> LogIndex {
    LogIndex::new(index)
}

fn late() -> Timestamp {
    Timestamp::ZERO + PATIENCE
}

fn item(term: u64, content: u64) -> Item {
    Item {
        term: Term::new(term),
        content,
        is_blank: content == 0,
        membership: None,
    }
}

fn change(term: u64, membership: Membership) -> Item {
    Item {
        membership: Some(Arc::new(membership)),
        ..item(term, 99)
    }
}

impl Scene {
    fn new() -> Self {
        let founders = Arc::new(Membership::of_ids(1..=3));
        let mut scene = Self {
            group: Group::new(Arc::clone(&founders)),
            tokens: 0,
        };
        for node in 1..=3 {
            let founders = Arc::clone(&founders);
            scene.does(node, Action::Join { founders });
            let now = Timestamp::ZERO;
            scene.does(node, Action::Start { now });
        }
        scene
    }

    /// It happens, or is refused with these words.
    fn tries(&mut self, node: u64, action: &Action) -> Result<(), String> {
        let outcome = self.group.step(n(node), PATIENCE, action);
        outcome.map_err(|refused| refused.reason)
    }

    #[track_caller]
    fn does(&mut self, node: u64, action: Action) {
        self.tries(node, &action).unwrap();
    }

    #[track_caller]
    fn may_not(&mut self, node: u64, action: Action, because: &str) {
        let reason = self.tries(node, &action).unwrap_err();
        assert!(reason.contains(because), "{reason}");
    }

    fn says(&mut self, node: u64, term: u64, fact: Fact) {
        let term = Term::new(term);
        self.does(node, Action::Say { term, fact });
    }

    /// Whatever it acts by is asked of its disk, and not done.
    fn asks(&mut self, node: u64, cut: Option<u64>, items: &[Item]) {
        self.tokens += 1;
        let write = Write {
            token: self.tokens,
            ballot: Some(self.group.replicas[&n(node)].ballot),
            reset: None,
            cut: cut.map(at),
            items: items.to_vec(),
        };
        self.does(node, Action::Ask { write });
    }

    fn saves(&mut self, node: u64, cut: Option<u64>, items: &[Item]) {
        self.asks(node, cut, items);
        self.does(node, Action::Done { writes: 1 });
    }

    /// `node` campaigns in `term`, which is its next, by the word of `friend`.
    fn campaigns(&mut self, node: u64, friend: u64, term: u64) {
        self.gives_its_word(friend, node, term);
        self.asks_for_votes(node, term);
    }

    fn gives_its_word(&mut self, friend: u64, node: u64, term: u64) {
        let would = Fact::WouldVote {
            term: Term::new(term),
            candidate: n(node),
        };
        let friends_term = self.group.replicas[&n(friend)].disk.ballot.term.get();
        self.does(friend, would_vote(node, term, self.last(node)));
        self.says(friend, friends_term, would);
    }

    fn asks_for_votes(&mut self, node: u64, term: u64) {
        self.does(node, Action::PreCampaign);
        self.does(node, Action::Campaign);
        self.saves(node, None, &[]);
        let last_log = self.last(node);
        let takes_over = false;
        self.says(
            node,
            term,
            Fact::Campaigns {
                last_log,
                takes_over,
            },
        );
    }

    fn last(&self, node: u64) -> LogId {
        self.group.replicas[&n(node)].log.last()
    }

    fn learns(&mut self, node: u64, term: u64) {
        let action = Action::LearnTerm {
            term: Term::new(term),
            asked: false,
            now: late(),
        };
        self.does(node, action);
    }

    fn votes(&mut self, node: u64, candidate: u64, term: u64) {
        self.learns(node, term);
        self.does(node, vote(candidate));
        self.saves(node, None, &[]);
        let fact = Fact::Votes {
            term: Term::new(term),
            candidate: n(candidate),
        };
        self.says(node, term, fact);
    }

    /// `node` leads `term` by the vote of `friend`, and has its blank entry on disk.
    fn elects(&mut self, node: u64, friend: u64, term: u64) {
        self.campaigns(node, friend, term);
        self.votes(friend, node, term);
        self.does(node, Action::Lead);
        self.appends(node, &[item(term, 0)]);
    }

    fn appends(&mut self, node: u64, items: &[Item]) {
        let action = Action::Append {
            items: items.to_vec(),
        };
        self.does(node, action);
        self.saves(node, None, items);
    }

    /// `node` takes these from the leader of its term, and says so.
    fn takes(&mut self, node: u64, term: u64, cut: Option<u64>, items: &[Item]) {
        self.does(node, accept(cut, items));
        self.saves(node, cut, items);
        let up_to = self.group.replicas[&n(node)].log.last();
        self.says(node, term, Fact::Holds { up_to });
    }
}

fn vote(candidate: u64) -> Action {
    Action::Vote {
        candidate: n(candidate),
        asked: true,
        now: late(),
    }
}

fn would_vote(candidate: u64, term: u64, last_log: LogId) -> Action {
    Action::WouldVote {
        candidate: n(candidate),
        term: Term::new(term),
        last_log,
        now: late(),
    }
}

fn accept(cut: Option<u64>, items: &[Item]) -> Action {
    Action::Accept {
        cut: cut.map(at),
        items: items.to_vec(),
    }
}

fn commit(index: u64) -> Action {
    Action::Commit { index: at(index) }
}
