//! The protocol, tested sentence by sentence. Here: the helpers that speak it.

mod absence;
mod attacks;
mod commit;
mod compaction;
mod damage;
mod damaged_memberships;
mod durability;
mod election;
mod joint;
mod known_bugs;
mod leases;
mod liars;
mod lost_votes;
mod nonsense;
mod paper;
mod proposals;
mod quorums;
mod reads;
mod reconfigure;
mod replication;
mod snapshots;
mod storage_truth;
mod timing;
mod together;
mod transfer;

use std::time::Duration;

use bytes::Bytes;

use super::{
    Consistency, Input, Output, Persist, Proposal, Raft, ReadLog, Restored, RoleKind, Ticket,
};
use crate::config::Config;
use crate::entry::{Entry, EntryKind, EntryMeta, LogSlice};
use crate::error::{ProposeError, ReadError};
use crate::hard_state::HardState;
use crate::membership::Membership;
use crate::message::{
    AppendEntries, AppendReply, AppendResult, Envelope, Heartbeat, HeartbeatReply, Message,
    PreVote, PreVoteReply, RequestVote, RequestVoteReply,
};
use crate::time::Timestamp;
use crate::types::{GroupId, LogId, LogIndex, ReplicaId, RequestId, Term};

/// Replica 1 of a group, with its disk under the test's control.
pub(super) struct Replica {
    pub(super) raft: Raft,
    now: Duration,
    /// Whether persist requests complete at once.
    disk_is_instant: bool,
    pub(super) unfinished: Vec<Persist>,
    pub(super) applied: Vec<Entry>,
    pub(super) failed: Vec<(u64, ProposeError)>,
    pub(super) reads: Vec<(u64, Result<LogIndex, ReadError>)>,
    pub(super) log_reads: Vec<ReadLog>,
    pub(super) committed_proposals: Vec<u64>,
    /// Everything else, events included.
    pub(super) others: Vec<Output>,
}

/// Replica 1 of a group of `size`, in `term`, with a durable log of entries of these terms.
pub(super) fn replica_of(size: u64, term: u64, log_terms: &[u64]) -> Replica {
    replica_with(size, term, log_terms, |_| {})
}

pub(super) fn replica_with(
    size: u64,
    term: u64,
    log_terms: &[u64],
    adjust: impl FnOnce(&mut Config),
) -> Replica {
    let mut restored = Restored::new_group(Membership::of_ids(1..=size));
    restored.hard_state = HardState {
        current_term: Term::new(term),
        voted_for: None,
    };
    restored.entries = (1..)
        .zip(log_terms)
        .map(|(i, &t)| EntryMeta {
            log_id: LogId::new(t, i),
            kind: EntryKind::Blank,
        })
        .collect();
    replica_from(restored, adjust)
}

/// Replica 1, started from what its disk holds.
pub(super) fn replica_from(restored: Restored, adjust: impl FnOnce(&mut Config)) -> Replica {
    let mut config = Config::new(ReplicaId::first(1), 7);
    adjust(&mut config);
    replica_with_config(config, restored)
}

/// A replica that finds this on its disk.
pub(super) fn replica_with_config(config: Config, restored: Restored) -> Replica {
    Replica {
        raft: Raft::restore(config, restored, Timestamp::ZERO).unwrap(),
        now: Duration::ZERO,
        disk_is_instant: true,
        unfinished: Vec::new(),
        applied: Vec::new(),
        failed: Vec::new(),
        reads: Vec::new(),
        log_reads: Vec::new(),
        committed_proposals: Vec::new(),
        others: Vec::new(),
    }
}

/// Replica 1, leading `term` over a log of these older terms, followers silent so far.
pub(super) fn leader_of(size: u64, term: u64, log_terms: &[u64]) -> Replica {
    let mut leader = replica_of(size, term - 1, log_terms);
    leader.win_election(size);
    leader
}

impl Replica {
    pub(super) fn with_slow_disk(mut self) -> Self {
        self.disk_is_instant = false;
        self
    }

    pub(super) fn win_election(&mut self, size: u64) {
        self.wait_for_election_timeout();
        // Damage has deadlines of its own.
        for _ in 0..1000 {
            if self.raft.status().role != RoleKind::Follower {
                break;
            }
            self.wait_for_election_timeout();
        }
        let proposed_term = self.term().next();
        for peer in 2..=size {
            let granted = Message::PreVoteReply(PreVoteReply {
                round: self.raft.pre_vote_round,
                proposed_term,
                granted: true,
            });
            self.receive(peer, self.term().get(), granted);
        }
        for peer in 2..=size {
            let vote_term = self.term();
            let granted = Message::RequestVoteReply(RequestVoteReply {
                vote_term,
                granted: true,
            });
            self.receive(peer, vote_term.get(), granted);
        }
    }

    pub(super) fn term(&self) -> Term {
        self.raft.status().term()
    }

    pub(super) fn commit_index(&self) -> u64 {
        self.raft.status().commit_index.get()
    }

    /// Lets time pass up to the election timeout and answers what is sent then.
    pub(super) fn wait_for_election_timeout(&mut self) -> Vec<(u64, Message)> {
        self.now = self.raft.poll_timeout().since_start();
        self.step(Input::Tick)
    }

    pub(super) fn wait(&mut self, duration: Duration) -> Vec<(u64, Message)> {
        self.now += duration;
        self.step(Input::Tick)
    }

    /// Takes in a message from `from`, in `term`; answers what is sent then.
    pub(super) fn receive(
        &mut self,
        from: u64,
        term: u64,
        message: Message,
    ) -> Vec<(u64, Message)> {
        self.step(arrival(from, term, message))
    }

    pub(super) fn propose(&mut self, ticket: u64) -> Vec<(u64, Message)> {
        let command = Bytes::from_static(b"command");
        self.step(Input::Propose(vec![Proposal {
            ticket: Ticket(ticket),
            command,
        }]))
    }

    pub(super) fn read(&mut self, ticket: u64) -> Vec<(u64, Message)> {
        self.step(Input::Read {
            consistency: Consistency::Linearizable,
            tickets: vec![Ticket(ticket)],
        })
    }

    /// The log store answers what it was asked for, with blank entries, until
    /// nothing more is asked.
    pub(super) fn read_back(&mut self) {
        while !self.log_reads.is_empty() {
            let read = self.log_reads.remove(0);
            let blank = |index: u64| {
                let index = LogIndex::new(index);
                let term = self.raft.term_at(index).expect("asked for what is there");
                Entry::blank(LogId { term, index })
            };
            let entries = (read.first.get()..=read.last.get()).map(blank).collect();
            let entries = LogSlice::new(entries).unwrap();
            self.step(Input::LogRead {
                token: read.token,
                entries,
                corrupt: None,
            });
        }
    }

    /// The disk finishes everything asked for up to now.
    pub(super) fn finish_writes(&mut self) -> Vec<(u64, Message)> {
        let requests = std::mem::take(&mut self.unfinished);
        match requests.last() {
            Some(last) => self.step(Input::Persisted(last.token)),
            None => Vec::new(),
        }
    }

    /// The request this replica's own proposals carry.
    pub(super) fn request(&self, sequence: u64) -> RequestId {
        RequestId {
            boot: self.raft.boot(),
            sequence,
        }
    }

    pub(super) fn step(&mut self, input: Input) -> Vec<(u64, Message)> {
        self.step_all(vec![input])
    }

    /// Takes in several things together.
    pub(super) fn step_all(&mut self, inputs: Vec<Input>) -> Vec<(u64, Message)> {
        self.raft
            .handle_all(Timestamp::after_start(self.now), inputs);
        let mut sent = Vec::new();
        while let Some(output) = self.raft.poll_output() {
            self.carry_out(output, &mut sent);
        }
        sent
    }

    fn carry_out(&mut self, output: Output, sent: &mut Vec<(u64, Message)>) {
        let now = Timestamp::after_start(self.now);
        match output {
            Output::Send(envelope) => sent.push((envelope.to.node.get(), envelope.message)),
            Output::Persist(persist) if self.disk_is_instant => {
                self.raft.handle(now, Input::Persisted(persist.token));
            }
            Output::Persist(persist) => self.unfinished.push(persist),
            Output::Apply(apply) => {
                let last = apply.entries.last().expect("an apply is never empty").index;
                self.applied.extend(apply.entries.into_entries());
                self.committed_proposals
                    .extend(apply.proposals.iter().map(|(_, t)| t.0));
                self.raft.handle(now, Input::Applied(last));
            }
            Output::ReadLog(read) => self.log_reads.push(read),
            Output::ProposalFailed { ticket, error } => self.failed.push((ticket.0, error)),
            Output::ReadDone { ticket, result } => self.reads.push((ticket.0, result)),
            other => self.others.push(other),
        }
    }
}

/// `message` comes from `from`, in `term`.
pub(super) fn arrival(from: u64, term: u64, message: Message) -> Input {
    Input::Message(Envelope {
        group: GroupId::default(),
        from: ReplicaId::first(from),
        to: ReplicaId::first(1),
        term: Term::new(term),
        message,
    })
}

pub(super) fn request_vote(last_log: LogId) -> Message {
    Message::RequestVote(RequestVote {
        last_log,
        leadership_transfer: false,
    })
}

pub(super) fn vote(term: u64, granted: bool) -> Message {
    Message::RequestVoteReply(RequestVoteReply {
        vote_term: Term::new(term),
        granted,
    })
}

pub(super) fn pre_vote(proposed_term: u64, last_log: LogId) -> Message {
    pre_vote_in(1, proposed_term, last_log)
}

pub(super) fn pre_vote_in(round: u64, proposed_term: u64, last_log: LogId) -> Message {
    Message::PreVote(PreVote {
        round,
        proposed_term: Term::new(proposed_term),
        last_log,
    })
}

pub(super) fn pre_vote_reply(round: u64, proposed_term: u64, granted: bool) -> Message {
    Message::PreVoteReply(PreVoteReply {
        round,
        proposed_term: Term::new(proposed_term),
        granted,
    })
}

/// An append in session 1 of blank entries of these terms after `previous`.
pub(super) fn append(previous: LogId, terms: &[u64], commit: u64) -> Message {
    let entries = (previous.index.get() + 1..)
        .zip(terms)
        .map(|(i, &t)| Entry::blank(LogId::new(t, i)))
        .collect();
    Message::AppendEntries(AppendEntries {
        session: 1,
        previous,
        entries: LogSlice::new(entries).unwrap(),
        commit: LogIndex::new(commit),
    })
}

/// An append in session 1 of one entry after `previous`.
pub(super) fn append_entry(previous: LogId, entry: Entry) -> Message {
    Message::AppendEntries(AppendEntries {
        session: 1,
        previous,
        entries: LogSlice::new(vec![entry]).unwrap(),
        commit: LogIndex::ZERO,
    })
}

pub(super) fn accepted(session: u64, received: LogId, durable: LogId) -> Message {
    Message::AppendReply(AppendReply {
        session,
        result: AppendResult::Accepted { received, durable },
    })
}

pub(super) fn rejected(session: u64, previous: u64, hint: LogId) -> Message {
    let previous = LogIndex::new(previous);
    Message::AppendReply(AppendReply {
        session,
        result: AppendResult::Rejected { previous, hint },
    })
}

pub(super) fn heartbeat(round: u64, commit: u64) -> Message {
    Message::Heartbeat(Heartbeat {
        session: 1,
        round,
        commit: LogIndex::new(commit),
    })
}

/// Out of any session it acknowledges and promises nothing.
pub(super) fn heartbeat_reply(session: u64, round: u64, agreed: LogId) -> Message {
    let millis = if session == 0 { 0 } else { 300 };
    Message::HeartbeatReply(HeartbeatReply {
        session,
        round,
        received: agreed,
        durable: agreed,
        promise: Duration::from_millis(millis),
    })
}

/// The session of a leader's replication to peer `n`, who is one of 2, 3, ….
pub(super) const fn session_of(peer: u64) -> u64 {
    peer - 1
}

/// The appends among what was sent to `peer`: previous entry and number of entries.
pub(super) fn appends_to(peer: u64, sent: &[(u64, Message)]) -> Vec<(LogId, usize)> {
    sent.iter()
        .filter(|(to, _)| *to == peer)
        .filter_map(|(_, message)| match message {
            Message::AppendEntries(body) => Some((body.previous, body.entries.len())),
            _ => None,
        })
        .collect()
}
