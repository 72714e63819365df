//! A state of the whole group, and what can happen in it.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;

use super::Scope;
use super::fingerprint::{self, mix};
use super::node::Node;
use crate::membership::Membership;
use crate::message::Envelope;
use crate::protocol::{Input, Output, Proposal, RoleKind, Ticket};
use crate::testing::refinement::{Cause, Refinement, Step};
use crate::testing::spec::{Action, Counts, Refused};
use crate::types::ReplicaId;

/// How many replicas there are.
const SIZE: u64 = 3;

/// The group at one moment.
#[derive(Clone)]
pub(super) struct State {
    pub(super) nodes: Vec<Arc<Node>>,
    fingerprints: Vec<u64>,
    /// Messages under way, in the order in which they were sent.
    pub(super) messages: Vec<(u64, Arc<Envelope>)>,
    refinement: Refinement,
    founders: Arc<Membership>,
    proposals: u64,
    /// What is left of it may still happen.
    left: Scope,
    has_begun: bool,
}

/// Something that can happen next. Nodes are named by their place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Choice {
    /// A message arrives.
    Arrives(usize),
    /// A disk finishes its oldest write.
    Written(usize),
    /// A deadline comes.
    Deadline(usize),
    /// So much time passes that a leader counts as not heard any more.
    Silence(usize),
    /// A node crashes and starts again, with a beginning of its writes.
    Crash {
        node: usize,
        kept: usize,
        and_ballot: bool,
    },
    /// A client writes.
    Command(usize),
}

impl State {
    /// The group at the beginning of `scope`.
    pub(super) fn new(scope: Scope) -> Result<Self, Refused> {
        let founders = Arc::new(Membership::of_ids(1..=SIZE));
        let ids = (1..=SIZE).map(ReplicaId::first);
        let nodes: Vec<_> = ids.map(|id| Arc::new(Node::new(id, &founders))).collect();
        let mut state = Self {
            fingerprints: nodes.iter().map(|node| node.fingerprint()).collect(),
            nodes,
            messages: Vec::new(),
            refinement: Refinement::of(Arc::clone(&founders)),
            founders,
            proposals: 0,
            // The way to the beginning takes nothing away.
            left: Scope {
                deadlines: u8::MAX,
                ..scope
            },
            has_begun: false,
        };
        for place in 0..state.nodes.len() {
            state.start(place)?;
            state.forget_leader(place);
        }
        state.begin(scope.from)?;
        state.left = scope;
        // What led to the beginning is no part of what is explored.
        state.take_counts();
        Ok(state)
    }

    fn id(&self, place: usize) -> ReplicaId {
        self.nodes[place].raft.config().replica
    }

    pub(super) fn role(&self, place: usize) -> RoleKind {
        self.nodes[place].raft.status().role
    }

    /// All that can happen next.
    pub(super) fn choices(&self) -> Vec<Choice> {
        let mut choices = Vec::new();
        for (at, (fingerprint, _)) in self.messages.iter().enumerate() {
            let is_first = self.messages[..at].iter().all(|(f, _)| f != fingerprint);
            choices.extend(is_first.then_some(Choice::Arrives(at)));
        }
        for (place, node) in self.nodes.iter().enumerate() {
            let leads = self.role(place) == RoleKind::Leader;
            let term = node.raft.status().term().get();
            let may_time_out = leads || term < self.left.terms;
            // The first whose deadline comes is called 1: before, all are alike.
            let is_allowed = self.has_begun || place == 0;
            if !node.queue.is_empty() {
                choices.push(Choice::Written(place));
            }
            if self.left.deadlines > 0 && may_time_out && is_allowed {
                choices.push(Choice::Deadline(place));
            }
            if self.left.silences > 0 && !leads && self.hears_leader(place) {
                choices.push(Choice::Silence(place));
            }
            if self.left.crashes > 0 && self.has_begun {
                choices.extend(crashes(place, node));
            }
            if leads && node.raft.status().last_log.index.get() < self.left.entries {
                choices.push(Choice::Command(place));
            }
        }
        choices
    }

    fn hears_leader(&self, place: usize) -> bool {
        let node = &self.nodes[place];
        let replica = &self.refinement.group.replicas[&self.id(place)];
        node.clock.since(replica.heard_at) < node.patience()
    }

    /// `choice` happens.
    pub(super) fn apply(&mut self, choice: Choice) -> Result<(), Refused> {
        self.has_begun = true;
        match choice {
            Choice::Arrives(at) => {
                let (_, envelope) = self.messages.remove(at);
                let place = place_of(envelope.to);
                self.take_in(place, Input::Message(envelope.as_ref().clone()))
            }
            Choice::Written(place) => {
                let token = Arc::make_mut(&mut self.nodes[place]).finish_write();
                let token = token.expect("only who writes has something written");
                self.refinement.done_up_to(self.id(place), token.0)?;
                self.take_in(place, Input::Persisted(token))
            }
            Choice::Deadline(place) => {
                self.left.deadlines -= 1;
                let node = Arc::make_mut(&mut self.nodes[place]);
                node.clock = node.clock.max(node.raft.poll_timeout());
                self.take_in(place, Input::Tick)
            }
            Choice::Silence(place) => {
                self.left.silences -= 1;
                self.forget_leader(place);
                Ok(())
            }
            Choice::Crash {
                node,
                kept,
                and_ballot,
            } => self.crash(node, kept, and_ballot),
            Choice::Command(place) => {
                self.proposals += 1;
                let proposal = Proposal {
                    ticket: Ticket(self.proposals),
                    command: Bytes::copy_from_slice(&self.proposals.to_le_bytes()),
                };
                self.take_in(place, Input::Propose(vec![proposal]))
            }
        }
    }

    fn crash(&mut self, place: usize, kept: usize, and_ballot: bool) -> Result<(), Refused> {
        self.left.crashes -= 1;
        let id = self.id(place);
        self.refinement
            .happens(id, Action::Crash { kept, and_ballot })?;
        let founders = Arc::clone(&self.founders);
        Arc::make_mut(&mut self.nodes[place]).restart(kept, and_ballot, &founders);
        self.start(place)
    }

    /// The specification starts a node that was built just now; then it takes its first
    /// step, in which nothing happened.
    fn start(&mut self, place: usize) -> Result<(), Refused> {
        let (id, now) = (self.id(place), self.nodes[place].clock);
        if !self.refinement.group.replicas.contains_key(&id) {
            let founders = Arc::clone(&self.founders);
            self.refinement.happens(id, Action::Join { founders })?;
        }
        self.refinement.happens(id, Action::Start { now })?;
        self.settle(place, &[])?;
        Ok(())
    }

    /// Time passes for a node, and no deadline comes.
    pub(super) fn forget_leader(&mut self, place: usize) {
        let node = Arc::make_mut(&mut self.nodes[place]);
        node.clock = node.clock + node.patience();
        self.fingerprints[place] = node.fingerprint();
    }

    /// A node takes something in, and all that follows at once.
    fn take_in(&mut self, place: usize, input: Input) -> Result<(), Refused> {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let cause = Cause::of(&input);
            let node = Arc::make_mut(&mut self.nodes[place]);
            let clock = node.clock;
            node.raft.handle(clock, input);
            inputs.extend(self.settle(place, &[cause])?);
        }
        Ok(())
    }

    /// Has a step explained, and carries out what it asks for. Answers what follows.
    fn settle(&mut self, place: usize, causes: &[Cause]) -> Result<Vec<Input>, Refused> {
        let node = Arc::make_mut(&mut self.nodes[place]);
        let outputs: Vec<_> = std::iter::from_fn(|| node.raft.poll_output()).collect();
        let status = node.raft.status();
        self.refinement.explain(&Step {
            now: node.clock,
            patience: node.patience(),
            causes,
            status: &status,
            outputs: &outputs,
        })?;
        let mut follows = Vec::new();
        for output in outputs {
            match output {
                Output::Persist(persist) => node.queue.push_back(persist),
                Output::Send(envelope) => {
                    self.refinement.says(&envelope)?;
                    let envelope = Arc::new(envelope);
                    self.messages.push((fingerprint::of(&envelope), envelope));
                }
                Output::Apply(apply) => {
                    let last = apply.entries.last().expect("only entries are applied");
                    let index = last.index;
                    self.refinement
                        .happens(status.replica, Action::Apply { index })?;
                    follows.push(Input::Applied(index));
                }
                Output::ReadLog(read) => follows.push(Input::LogRead {
                    token: read.token,
                    entries: node.log.read(read.first, read.last, read.max_bytes),
                    corrupt: None,
                }),
                // Nobody waits for what else it says.
                _ => {}
            }
        }
        self.fingerprints[place] = node.fingerprint();
        Ok(follows)
    }

    /// Tells states apart.
    pub(super) fn fingerprint(&self) -> u64 {
        let nodes = self.fingerprints.iter().fold(0, |all, &one| mix(all, one));
        // What is under way has no order.
        let messages = self.messages.iter();
        let messages = messages.fold(0_u64, |all, (one, _)| all.wrapping_add(mix(7, *one)));
        let left = (self.left.crashes, self.left.deadlines, self.left.silences);
        let mut hasher = std::hash::DefaultHasher::new();
        (&self.refinement.group, left).hash(&mut hasher);
        mix(mix(nodes, messages), hasher.finish())
    }

    /// What happened since this was asked last, as the specification names it.
    pub(super) fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.refinement.counts)
    }

    /// `choice` in words.
    pub(super) fn describe(&self, choice: Choice) -> String {
        match choice {
            Choice::Arrives(at) => {
                let envelope = &self.messages[at].1;
                let Envelope {
                    from,
                    to,
                    term,
                    message,
                    ..
                } = envelope.as_ref();
                format!("{to} gets from {from} in {term}: {message:?}")
            }
            Choice::Written(place) => format!("the disk of {} finishes a write", self.id(place)),
            Choice::Deadline(place) => format!("a deadline of {} comes", self.id(place)),
            Choice::Silence(place) => format!("{} has heard no leader for long", self.id(place)),
            Choice::Command(place) => format!("a client writes to {}", self.id(place)),
            Choice::Crash {
                node,
                kept,
                and_ballot,
            } => {
                let (id, of) = (self.id(node), self.nodes[node].queue.len());
                let ballot = if and_ballot {
                    " and the next term and vote"
                } else {
                    ""
                };
                format!("{id} crashes, keeps {kept} of {of} writes{ballot}, and starts again")
            }
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages = self.messages.len();
        write!(
            f,
            "{} nodes, {messages} messages under way",
            self.nodes.len()
        )
    }
}

/// Every beginning of what a node writes may be what a crash leaves.
fn crashes(place: usize, node: &Node) -> Vec<Choice> {
    let mut choices = Vec::new();
    for kept in 0..=node.queue.len() {
        let next = node.queue.get(kept);
        let is_apart = next.is_some_and(|next| next.hard_state.is_some() && changes_log(next));
        for and_ballot in [false, true] {
            if !and_ballot || is_apart {
                choices.push(Choice::Crash {
                    node: place,
                    kept,
                    and_ballot,
                });
            }
        }
    }
    choices
}

fn changes_log(persist: &crate::protocol::Persist) -> bool {
    persist.truncate_from.is_some() || !persist.entries.is_empty()
}

pub(super) fn place_of(replica: ReplicaId) -> usize {
    usize::try_from(replica.node.get() - 1).expect("three nodes")
}
