//! Linearizable reads by ReadIndex, on the leader and on followers (Thesis §6.4),
//! and local reads. What the lease spares is in `lease`.
//!
//! A read gets the leader's commit index and may be served once a round that
//! began after its arrival is answered by a quorum, and the index is applied.
//! Rounds are counted by the leader; a late answer to an earlier one confirms
//! nothing. Before the first commit of its term a leader does not know what is
//! committed, and reads wait (Raft §8). Reads that arrive together share a round.

use std::collections::{BTreeMap, VecDeque};

use super::Raft;
use super::input::{Consistency, Ticket};
use super::output::Output;
use super::quorum::reached_by_quorum;
use super::role::{Leader, Role};
use crate::error::ReadError;
use crate::message::{Envelope, Message, ReadIndex, ReadIndexReply};
use crate::time::Timestamp;
use crate::types::{LogIndex, ReplicaId, RequestId};

/// Reads of this node that have their index and wait until it is applied.
pub(super) type ReadyReads = BTreeMap<LogIndex, Vec<ReadyBatch>>;

/// Some of them, with the moment at which they are given up.
#[derive(Clone, Debug)]
pub(super) struct ReadyBatch {
    tickets: Vec<Ticket>,
    deadline: Timestamp,
}

/// Most read requests of others that a leader keeps waiting.
const MAX_FORWARDED_READS: usize = 10_000;

/// A read that waits on the leader.
#[derive(Clone, Debug)]
pub(super) struct LeaderRead {
    origin: Origin,
    /// Confirmed by this round or a later one.
    round: u64,
    /// The read index; nothing before the first commit of the term.
    index: Option<LogIndex>,
    deadline: Timestamp,
}

#[derive(Clone, Debug)]
enum Origin {
    Own(Vec<Ticket>),
    Follower(ReplicaId, RequestId),
}

/// A follower's reads on their way to the leader.
#[derive(Clone, Debug, Default)]
pub(super) struct FollowerReads {
    /// Arrived while a request was under way; they share the next one.
    queued: Vec<Ticket>,
    /// One of the queued ones does not trust the lease.
    queued_need_round: bool,
    under_way: Option<ReadRequest>,
}

#[derive(Clone, Debug)]
struct ReadRequest {
    request: RequestId,
    lease: bool,
    tickets: Vec<Ticket>,
    retry_at: Timestamp,
    deadline: Timestamp,
}

impl Leader {
    fn own_reads(&self) -> impl Iterator<Item = &Vec<Ticket>> {
        self.reads.iter().filter_map(|read| match &read.origin {
            Origin::Own(tickets) => Some(tickets),
            Origin::Follower(..) => None,
        })
    }
}

impl Raft {
    pub(super) fn on_read(&mut self, consistency: Consistency, tickets: Vec<Ticket>) {
        if consistency == Consistency::Stale {
            let applied = self.log.last_applied();
            return self.read_at(applied, tickets);
        }
        let lease = consistency == Consistency::Lease;
        let pending = self.pending_reads();
        let room = self.config.max_pending_reads.saturating_sub(pending);
        let (accepted, refused) = tickets.split_at(room.min(tickets.len()));
        self.fail_reads(refused.to_vec(), &ReadError::Overloaded { pending });
        if accepted.is_empty() {
            return;
        }
        let by_lease = lease && self.lease_holds();
        match &mut self.role {
            Role::Leader(_) if by_lease => {
                let index = self.log.commit_index();
                self.answer_read(Origin::Own(accepted.to_vec()), index);
            }
            Role::Leader(_) => self.queue_read(Origin::Own(accepted.to_vec())),
            Role::Follower(follower) if follower.leader.is_some() => {
                follower.reads.queued.extend_from_slice(accepted);
                follower.reads.queued_need_round |= !lease;
                self.ask_for_read_index();
            }
            _ => self.fail_reads(accepted.to_vec(), &ReadError::NoLeader),
        }
    }

    /// A leader takes a read in; begins a round for it if none is under way.
    fn queue_read(&mut self, origin: Origin) {
        let deadline = self.now + self.config.request_timeout;
        let commit = self.log.commit_index();
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let index = (commit >= leader.first_index).then_some(commit);
        let round = leader.round + 1;
        leader.reads.push_back(LeaderRead {
            origin,
            round,
            index,
            deadline,
        });
        if self.confirmed_round() == Some(round - 1) {
            self.begin_round();
        }
    }

    /// The latest round that a quorum answered; a leader answers its own at once.
    fn confirmed_round(&self) -> Option<u64> {
        let Role::Leader(leader) = &self.role else {
            return None;
        };
        let own = self.config.replica.node;
        reached_by_quorum(self.log.membership(), |node| match node == own {
            true => leader.round,
            false => leader.followers.get(node).map_or(0, |p| p.acked_round),
        })
    }

    /// Serves the reads whose round is confirmed, and begins the round for those
    /// that arrived meanwhile.
    pub(super) fn confirm_reads(&mut self) {
        if matches!(&self.role, Role::Leader(leader) if leader.reads.is_empty()) {
            return;
        }
        let Some(confirmed) = self.confirmed_round() else {
            return;
        };
        let commit = self.log.commit_index();
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let mut done = Vec::new();
        while commit >= leader.first_index
            && leader
                .reads
                .front()
                .is_some_and(|read| read.round <= confirmed)
        {
            let read = leader.reads.pop_front().expect("front was just seen");
            done.push((read.origin, read.index.unwrap_or(commit)));
        }
        let next_round_is_wanted = leader.reads.back().is_some_and(|r| r.round > leader.round);
        let wants_round = next_round_is_wanted && leader.round == confirmed;
        for (origin, index) in done {
            self.answer_read(origin, index);
        }
        if wants_round {
            self.begin_round();
        }
    }

    fn answer_read(&mut self, origin: Origin, index: LogIndex) {
        match origin {
            Origin::Own(tickets) => self.read_at(index, tickets),
            Origin::Follower(replica, request) => {
                let commit = self.log.commit_index();
                let reply = ReadIndexReply {
                    request,
                    index: Some(index),
                    commit,
                };
                self.send(replica, Message::ReadIndexReply(reply));
            }
        }
    }

    /// A follower asks. Whoever does not lead says so, and the follower asks again.
    pub(super) fn on_read_index(&mut self, envelope: &Envelope, body: ReadIndex) {
        let has_room = match &self.role {
            Role::Leader(leader) => leader.reads.len() < MAX_FORWARDED_READS,
            _ => false,
        };
        if body.lease && self.lease_holds() {
            let index = self.log.commit_index();
            self.answer_read(Origin::Follower(envelope.from, body.request), index);
        } else if has_room {
            self.queue_read(Origin::Follower(envelope.from, body.request));
        } else {
            let commit = self.log.commit_index();
            let reply = ReadIndexReply {
                request: body.request,
                index: None,
                commit,
            };
            self.send(envelope.from, Message::ReadIndexReply(reply));
        }
    }

    pub(super) fn on_read_index_reply(&mut self, envelope: &Envelope, body: ReadIndexReply) {
        if envelope.term == self.hard_state.current_term && self.leader() == Some(envelope.from) {
            self.observe_commit(body.commit);
        }
        let Role::Follower(follower) = &mut self.role else {
            return;
        };
        let reads = &mut follower.reads;
        let answered = reads
            .under_way
            .take_if(|asked| asked.request == body.request);
        let Some(answered) = answered else { return };
        match body.index {
            Some(index) => {
                self.read_at(index, answered.tickets);
                self.ask_for_read_index();
            }
            // Asked again by the timer, perhaps of another leader by then.
            None => reads.under_way = Some(answered),
        }
    }

    /// A follower asks its leader for the queued reads, if no request is under way.
    fn ask_for_read_index(&mut self) {
        let (now, boot) = (self.now, self.boot);
        let sequence = self.read_requests + 1;
        let Role::Follower(follower) = &mut self.role else {
            return;
        };
        let Some(leader) = follower.leader else {
            return;
        };
        if follower.reads.under_way.is_some() || follower.reads.queued.is_empty() {
            return;
        }
        let request = RequestId { boot, sequence };
        let lease = !std::mem::take(&mut follower.reads.queued_need_round);
        follower.reads.under_way = Some(ReadRequest {
            request,
            lease,
            tickets: std::mem::take(&mut follower.reads.queued),
            retry_at: now + self.config.heartbeat_interval,
            deadline: now + self.config.request_timeout,
        });
        self.read_requests = sequence;
        self.send(leader, Message::ReadIndex(ReadIndex { request, lease }));
    }

    /// Lets reads wait until `index` is applied.
    fn read_at(&mut self, index: LogIndex, tickets: Vec<Ticket>) {
        let deadline = self.now + self.config.request_timeout;
        let batch = ReadyBatch { tickets, deadline };
        self.ready_reads.entry(index).or_default().push(batch);
    }

    /// Gives up on reads whose index was not applied in time.
    fn expire_ready_reads(&mut self) {
        let now = self.now;
        let mut late = Vec::new();
        self.ready_reads.retain(|_, batches| {
            let (due, kept) = std::mem::take(batches)
                .into_iter()
                .partition(|batch: &ReadyBatch| batch.deadline <= now);
            *batches = kept;
            late.extend(due.into_iter().flat_map(|batch: ReadyBatch| batch.tickets));
            !batches.is_empty()
        });
        self.fail_reads(late, &ReadError::Unconfirmed);
    }

    /// Asks again for what got no answer, and gives up on what waited too long.
    pub(super) fn check_reads(&mut self) {
        self.expire_ready_reads();
        let (now, interval) = (self.now, self.config.heartbeat_interval);
        let mut expired = Vec::new();
        let mut again = None;
        match &mut self.role {
            Role::Leader(leader) => {
                while leader
                    .reads
                    .front()
                    .is_some_and(|read| read.deadline <= now)
                {
                    let read = leader.reads.pop_front().expect("front was just seen");
                    if let Origin::Own(tickets) = read.origin {
                        expired.extend(tickets);
                    }
                }
            }
            Role::Follower(follower) => {
                let reads = &mut follower.reads;
                if let Some(late) = reads.under_way.take_if(|asked| asked.deadline <= now) {
                    expired.extend(late.tickets);
                }
                if let Some(asked) = reads.under_way.as_mut().filter(|a| a.retry_at <= now) {
                    asked.retry_at = now + interval;
                    let body = ReadIndex {
                        request: asked.request,
                        lease: asked.lease,
                    };
                    again = follower.leader.map(|leader| (leader, body));
                }
            }
            Role::PreCandidate(_) | Role::Candidate(_) => {}
        }
        self.fail_reads(expired, &ReadError::Unconfirmed);
        if let Some((leader, body)) = again {
            self.send(leader, Message::ReadIndex(body));
        }
        self.ask_for_read_index();
    }

    /// When `check_reads` has something to do.
    pub(super) fn read_deadline(&self) -> Option<Timestamp> {
        let ready = match self.ready_reads.is_empty() {
            true => None,
            false => {
                let batches = self.ready_reads.values().flatten();
                batches.map(|batch| batch.deadline).min()
            }
        };
        let of_role = match &self.role {
            Role::Leader(leader) => leader.reads.front().map(|read| read.deadline),
            Role::Follower(follower) => follower
                .reads
                .under_way
                .as_ref()
                .map(|asked| asked.retry_at.min(asked.deadline)),
            _ => None,
        };
        ready.into_iter().chain(of_role).min()
    }

    /// Hands out the reads whose index is applied.
    pub(super) fn serve_reads(&mut self) {
        if self.ready_reads.is_empty() {
            return;
        }
        while let Some(entry) = self.ready_reads.first_entry() {
            if *entry.key() > self.log.last_applied() {
                return;
            }
            let (index, batches) = entry.remove_entry();
            for ticket in batches.into_iter().flat_map(|batch| batch.tickets) {
                self.outputs.push_back(Output::ReadDone {
                    ticket,
                    result: Ok(index),
                });
            }
        }
    }

    fn fail_reads(&mut self, tickets: Vec<Ticket>, error: &ReadError) {
        for ticket in tickets {
            self.outputs.push_back(Output::ReadDone {
                ticket,
                result: Err(error.clone()),
            });
        }
    }

    /// A role ends, and with it the way its reads were to be confirmed.
    pub(super) fn fail_reads_of(&mut self, role: Role) {
        let waiting: VecDeque<Ticket> = match role {
            Role::Leader(leader) => leader.own_reads().flatten().copied().collect(),
            Role::Follower(follower) => {
                let under_way = follower.reads.under_way.map(|asked| asked.tickets);
                under_way
                    .into_iter()
                    .flatten()
                    .chain(follower.reads.queued)
                    .collect()
            }
            _ => return,
        };
        self.fail_reads(waiting.into(), &ReadError::Unconfirmed);
    }

    pub(super) fn pending_reads(&self) -> usize {
        let of_role = match &self.role {
            Role::Leader(leader) => leader.own_reads().map(Vec::len).sum(),
            Role::Follower(follower) => {
                let under_way = follower
                    .reads
                    .under_way
                    .as_ref()
                    .map_or(0, |r| r.tickets.len());
                under_way + follower.reads.queued.len()
            }
            _ => 0,
        };
        let ready = self.ready_reads.values().flatten();
        of_role + ready.map(|batch| batch.tickets.len()).sum::<usize>()
    }
}
