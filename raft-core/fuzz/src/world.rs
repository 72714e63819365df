//! The group, the network, and one choice after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use raft_core::message::{
    AppendEntries, AppendReply, AppendResult, HeartbeatReply, PreVoteReply, RequestVoteReply,
};
use raft_core::protocol::{Consistency, Input, PersistToken, Proposal, ReadToken, SnapshotToken};
use raft_core::{
    Envelope, LogId, LogIndex, LogSlice, Membership, Message, NodeId, ReplicaId, StorageHealth,
};

use crate::answers::Kind;
use crate::choices::Choices;
use crate::replica::Replica;
use crate::values::{change, command, membership};
use crate::{damage, nonsense, start};

/// Most messages in flight; beyond, the oldest are lost.
const MOST_IN_FLIGHT: usize = 300;

/// A few replicas and what is between them.
pub struct World {
    replicas: Vec<Replica>,
    in_flight: Vec<Envelope>,
    /// Whether anybody breaks the rules of Raft.
    lies: bool,
    /// What was committed, where nobody lies.
    committed: BTreeMap<LogIndex, LogId>,
}

impl World {
    /// A world as the first choices say; nothing if nobody can start there.
    pub fn begin(choices: &mut Choices<'_>) -> Option<Self> {
        let mode = choices.byte();
        let mut replicas = match mode & 3 {
            0 => vec![unsound_replica(choices)?],
            1 => vec![lone_replica(choices)?],
            _ => group(
                2 + u64::from(mode >> 2 & 1) + u64::from(mode >> 3 & 1),
                choices,
            ),
        };
        let lies = mode & 3 != 3;
        for replica in &mut replicas {
            replica.hears_lies = lies;
        }
        Some(Self {
            replicas,
            in_flight: Vec::new(),
            lies,
            committed: BTreeMap::new(),
        })
    }

    /// One thing happens to one replica.
    pub fn step(&mut self, choices: &mut Choices<'_>) {
        let who = match self.replicas.len() {
            1 => 0,
            count => choices.below(count),
        };
        match choices.byte() {
            0..=7 => self.replicas[who].reach_timeout(),
            8..=15 => let_time_pass(&mut self.replicas[who], choices),
            16..=47 => self.deliver_one(choices),
            48..=63 => self.deliver_all(),
            64..=111 if self.lies => self.lie_to(who, choices),
            64..=111 => self.deliver_all(),
            112..=159 => ask(&mut self.replicas[who], choices),
            160..=215 => self.complete(who, choices),
            216..=231 => self.trouble(who, choices),
            232..=251 if self.lies => play_along(&mut self.replicas[who], choices),
            _ => settle(&mut self.replicas[who]),
        }
        self.collect();
    }

    /// Takes what was sent, and compares what was applied.
    fn collect(&mut self) {
        for replica in &mut self.replicas {
            self.in_flight.append(&mut replica.outbox);
            for id in replica.handed_out.drain(..) {
                let known = *self.committed.entry(id.index).or_insert(id);
                assert!(known == id || self.lies, "{known} and {id} are committed");
            }
        }
        let excess = self.in_flight.len().saturating_sub(MOST_IN_FLIGHT);
        self.in_flight.drain(..excess);
    }

    fn deliver(&mut self, envelope: Envelope) {
        let mut replicas = self.replicas.iter_mut();
        if let Some(receiver) = replicas.find(|replica| replica.id() == envelope.to) {
            receiver.step(Input::Message(envelope));
        }
    }

    fn deliver_all(&mut self) {
        for envelope in std::mem::take(&mut self.in_flight) {
            self.deliver(envelope);
        }
    }

    /// One of the messages arrives, is lost, comes twice, or is changed on the way.
    fn deliver_one(&mut self, choices: &mut Choices<'_>) {
        if self.in_flight.is_empty() {
            return;
        }
        let at = choices.below(self.in_flight.len().min(256));
        let mut envelope = self.in_flight.remove(at);
        match choices.below(8) {
            0 => return,
            1 => self.in_flight.push(envelope.clone()),
            2 | 3 if self.lies => {
                let all = &self.replicas;
                let receiver = all.iter().find(|replica| replica.id() == envelope.to);
                if let Some(receiver) = receiver.or(all.first()) {
                    damage::damage(&mut envelope, &receiver.view(), choices);
                }
            }
            _ => {}
        }
        self.deliver(envelope);
    }

    fn lie_to(&mut self, who: usize, choices: &mut Choices<'_>) {
        let replica = &mut self.replicas[who];
        let view = replica.view();
        if choices.once_in(6) {
            let from = view.peer(choices);
            let term = match choices.coin() {
                true => view.status.term(),
                false => view.term(choices),
            };
            let last = view.log_id(choices);
            return replica.offer(from, term, last, membership(choices).into());
        }
        let envelope = nonsense::envelope(&view, choices);
        replica.step(Input::Message(envelope));
    }

    /// Something that a replica waits for is done, or seems to be.
    fn complete(&mut self, who: usize, choices: &mut Choices<'_>) {
        let replica = &mut self.replicas[who];
        match choices.below(16) {
            0..=3 => {
                let count = choices.below(4) + 1;
                if let Some(token) = replica.disk.finish(count) {
                    replica.step(Input::Persisted(token));
                }
                tell_of_repairs(replica);
            }
            4 => {
                // Once more, or for a token that was never given out.
                let done = replica.disk.last_done.0;
                let token = match choices.coin() {
                    true => done.saturating_sub(choices.below(3) as u64),
                    false => u64::MAX - choices.below(3) as u64,
                };
                replica.step(Input::Persisted(PersistToken(token)));
            }
            5..=7 => answer_read(replica, choices),
            8..=11 => {
                if let Some(input) = replica.machine.work(choices) {
                    replica.step(input);
                }
            }
            12 => {
                let durable = replica.machine.flush();
                let less = choices.below(4) as u64;
                let index = LogIndex::new(durable.get().saturating_sub(less));
                replica.step(Input::StateDurable(index));
            }
            13 => {
                if replica.machine.checkpoints > 0 {
                    replica.machine.checkpoints -= 1;
                    let durable = replica.machine.flush();
                    replica.step(Input::StateDurable(durable));
                    replica.step(Input::CheckpointEnded);
                }
            }
            14 if choices.coin() => self.snapshot_arrives(who),
            14 => {
                let order = replica.sending.first();
                let token = order.map_or(SnapshotToken(choices.byte().into()), |o| o.token);
                replica.step(Input::SnapshotProgress(token));
            }
            _ => self.snapshot_ends(who, choices),
        }
    }

    /// The oldest snapshot that `who` sends gets to its receiver.
    fn snapshot_arrives(&mut self, who: usize) {
        let sender = &self.replicas[who];
        let Some(order) = sender.sending.first().copied() else {
            return;
        };
        let (from, last) = (sender.id(), sender.machine.applied);
        let members = sender.membership_at(last.index);
        let mut replicas = self.replicas.iter_mut();
        if let Some(receiver) = replicas.find(|replica| replica.id() == order.to) {
            receiver.offer(from, order.term, last, members);
        }
    }

    /// Sending a snapshot ends; what the receiver says of it may be a lie.
    fn snapshot_ends(&mut self, who: usize, choices: &mut Choices<'_>) {
        let replica = &mut self.replicas[who];
        let view = replica.view();
        let said = match choices.below(4) {
            0 => None,
            1 if self.lies => Some(view.log_id(choices)),
            _ => Some(replica.machine.applied),
        };
        let token = match replica.sending.is_empty() {
            true => SnapshotToken(choices.byte().into()),
            false => replica.sending.remove(0).token,
        };
        replica.step(Input::SnapshotSent {
            token,
            installed: said,
        });
    }

    /// The disk, the state machine or the whole node has a bad moment.
    fn trouble(&mut self, who: usize, choices: &mut Choices<'_>) {
        let replica = &mut self.replicas[who];
        match choices.below(8) {
            0..=2 => replica.disk.damage(choices),
            3 => {
                let health = match choices.below(4) {
                    0 | 1 => StorageHealth::Healthy,
                    2 => StorageHealth::Full,
                    _ => StorageHealth::Stalled {
                        since: Duration::from_millis(choices.near(&[2000])),
                    },
                };
                replica.step(Input::StorageHealth(health));
            }
            4 | 5 => {
                // Some of what is under way gets done, without a word.
                let done = choices.below(replica.disk.under_way() + 1);
                replica.disk.finish(done);
                replica.restart();
            }
            6 => replica.is_lazy = true,
            _ => {
                let token = SnapshotToken(u64::MAX - choices.below(3) as u64);
                replica.step(Input::SnapshotRestored { token, ok: true });
                let token = ReadToken(u64::MAX - choices.below(3) as u64);
                let (entries, corrupt) = (LogSlice::empty(), Some(LogIndex::new(1)));
                replica.step(Input::LogRead {
                    token,
                    entries,
                    corrupt,
                });
            }
        }
    }
}

/// Whatever configuration and durable state, if they are accepted.
fn unsound_replica(choices: &mut Choices<'_>) -> Option<Replica> {
    let config = start::any_config(ReplicaId::first(1), choices);
    let mut replica = Replica::start(config, start::any_state(choices))?;
    replica.is_on_time = false;
    Some(replica)
}

/// A replica whose peers are all made up.
fn lone_replica(choices: &mut Choices<'_>) -> Option<Replica> {
    let shape = choices.byte();
    let own = ReplicaId {
        node: 1.into(),
        // Once in a while it has lost its vote, and the group knows an earlier life.
        incarnation: u64::from(shape >> 4 == 15).into(),
    };
    let config = start::tight_config(own, 7, choices);
    let first = match shape & 1 {
        0 => Membership::of_ids(1..=u64::from(shape >> 1 & 3) + 1),
        _ => membership(choices),
    };
    Replica::start(config, start::sound_state(first, choices))
}

/// Replicas that begin together, and one that joins later.
fn group(size: u64, choices: &mut Choices<'_>) -> Vec<Replica> {
    let first = Membership::of_ids(1..=size);
    let tight = start::tight_config(ReplicaId::first(1), 7, choices);
    let starts = (1..=size + 1).map(|node| {
        let config = raft_core::Config {
            replica: ReplicaId::first(node),
            seed: node,
            ..tight.clone()
        };
        let known = if node <= size {
            first.clone()
        } else {
            Membership::default()
        };
        Replica::start(config, raft_core::protocol::Restored::new_group(known))
    });
    starts.flatten().collect()
}

fn let_time_pass(replica: &mut Replica, choices: &mut Choices<'_>) {
    let millis = choices.one_of(&[1, 10, 50, 50, 100, 300, 500, 1000, 2000, 5000, 60_000]);
    replica.wait(Duration::from_millis(millis));
    replica.step(Input::Tick);
}

/// A client or an operator of this replica wants something.
fn ask(replica: &mut Replica, choices: &mut Choices<'_>) {
    let shape = choices.byte();
    let count = 1 + usize::from(shape >> 5);
    match shape & 15 {
        0..=5 => {
            let propose = |_| Proposal {
                ticket: replica.answers.open(Kind::Proposal),
                command: command(choices),
            };
            let proposals = (0..count).map(propose).collect();
            replica.step(Input::Propose(proposals));
        }
        6..=9 => {
            let tickets = (0..count).map(|_| replica.answers.open(Kind::Read));
            let tickets = tickets.collect();
            let consistency = match shape & 3 {
                0 => Consistency::Stale,
                1 => Consistency::Lease,
                _ => Consistency::Linearizable,
            };
            replica.step(Input::Read {
                consistency,
                tickets,
            });
        }
        10..=12 => {
            let ticket = replica.answers.open(Kind::Change);
            let change = change(choices);
            replica.step(Input::ChangeMembership { ticket, change });
        }
        13 | 14 => {
            let ticket = replica.answers.open(Kind::Transfer);
            let to = choices.coin().then(|| NodeId::new(choices.below(6) as u64));
            replica.step(Input::TransferLeadership { ticket, to });
        }
        _ => replica.step(Input::Checkpoint),
    }
}

fn answer_read(replica: &mut Replica, choices: &mut Choices<'_>) {
    if replica.disk.reads.is_empty() {
        return;
    }
    let at = choices.below(replica.disk.reads.len().min(256));
    let read = replica.disk.reads.remove(at);
    let (entries, corrupt) = replica.disk.answer(&read, choices);
    replica.step(Input::LogRead {
        token: read.token,
        entries,
        corrupt,
    });
}

fn tell_of_repairs(replica: &mut Replica) {
    for log_id in replica.disk.take_repaired() {
        replica.step(Input::Repaired(log_id));
    }
}

/// Everything that the replica waits for gets done.
fn settle(replica: &mut Replica) {
    replica.is_lazy = false;
    replica.carry_out_all();
    // Each round may ask for more; a replica at rest asks for nothing.
    for _ in 0..20 {
        let written = replica.disk.finish(usize::MAX);
        if let Some(token) = written {
            replica.step(Input::Persisted(token));
        }
        tell_of_repairs(replica);
        let mut all = Choices::new(&[]);
        for _ in 0..replica.disk.reads.len() {
            let read = replica.disk.reads.remove(0);
            let wanted = &mut Choices::new(&[1]);
            let (entries, corrupt) = replica.disk.answer(&read, wanted);
            replica.step(Input::LogRead {
                token: read.token,
                entries,
                corrupt,
            });
        }
        let worked = replica.machine.is_busy();
        while let Some(input) = replica.machine.work(&mut all) {
            replica.step(input);
        }
        if written.is_none() && !worked && replica.disk.reads.is_empty() {
            return;
        }
    }
}

/// Peers that are not there say what a replica hopes to hear.
fn play_along(replica: &mut Replica, choices: &mut Choices<'_>) {
    match choices.below(3) {
        0 => elect(replica),
        1 => acknowledge(replica, choices),
        _ => lead(replica, choices),
    }
}

fn say(replica: &mut Replica, from: ReplicaId, message: Message) {
    let (to, term) = (replica.id(), replica.view().status.term());
    replica.step(Input::Message(Envelope {
        group: 0.into(),
        from,
        to,
        term,
        message,
    }));
}

fn others(replica: &Replica) -> Vec<ReplicaId> {
    let members = replica.view().status.membership;
    let own = replica.id().node;
    members.replicas().filter(|r| r.node != own).collect()
}

fn elect(replica: &mut Replica) {
    replica.reach_timeout();
    let proposed_term = raft_core::Term::new(replica.view().status.term().get().saturating_add(1));
    for peer in others(replica) {
        let granted = true;
        let reply = PreVoteReply {
            round: replica.pre_vote_round,
            proposed_term,
            granted,
        };
        say(replica, peer, Message::PreVoteReply(reply));
    }
    settle(replica);
    let vote_term = replica.view().status.term();
    for peer in others(replica) {
        let granted = true;
        let reply = RequestVoteReply { vote_term, granted };
        say(replica, peer, Message::RequestVoteReply(reply));
    }
}

fn acknowledge(replica: &mut Replica, choices: &mut Choices<'_>) {
    let shape = choices.byte();
    let last = replica.last_log();
    for (at, peer) in (0..).zip(others(replica)) {
        if shape >> (at % 6) & 1 == 1 {
            continue;
        }
        let session = replica.session_with(peer.node);
        let message = match shape >> 6 & 1 {
            0 => Message::AppendReply(AppendReply {
                session,
                result: AppendResult::Accepted {
                    received: last,
                    durable: last,
                },
            }),
            _ => Message::HeartbeatReply(HeartbeatReply {
                session,
                round: replica.round(),
                received: last,
                durable: last,
                promise: replica.view().raft.config().election_timeout_min,
            }),
        };
        say(replica, peer, message);
    }
}

fn lead(replica: &mut Replica, choices: &mut Choices<'_>) {
    let view = replica.view();
    let leader = view
        .status
        .leader
        .filter(|leader| *leader != replica.id().node);
    let leader = leader.and_then(|node| view.status.membership.replica(node));
    let Some(from) = leader.or(others(replica).first().copied()) else {
        return;
    };
    let previous = view.status.last_log;
    let entries = view.entries(previous, choices);
    let commit = view.index(choices);
    let session = 1;
    say(
        replica,
        from,
        Message::AppendEntries(AppendEntries {
            session,
            previous,
            entries,
            commit,
        }),
    );
}
